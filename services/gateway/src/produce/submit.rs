//! From a request that has found its topic to batches in the pipeline.

use std::sync::Arc;

use eagre_model::TopicRecord;
use eagre_proto::v1::ProduceRequest;

use super::{
    answer::Reply,
    edge::{self, Place},
    open::PendingBatch,
    scatter,
};
use crate::{Shared, admission::Grant, metrics};

/// Checks a request and hands it to the pipeline. The reply is given in any case. What a request of one partition was granted for
/// its decoding is returned at once; one that is placed by keys becomes up to as many batches as it had records, so its parts keep it.
pub(crate) fn submit(
    shared: &Shared,
    topic: &Arc<TopicRecord>,
    place: Place,
    request: ProduceRequest,
    reply: Reply,
    mut grant: Option<Grant>,
) {
    match place {
        Place::Partition(partition) => {
            // Until it is a batch.
            let _decoded = grant.as_mut().and_then(Grant::decoded);
            let ticket = reply.ticket(partition);
            let now_ms = shared.env.clock.unix_ms();
            match edge::check(topic, request.payload, request.producer, &shared.settings.batch_limits, now_ms) {
                Ok(batch) => {
                    let pending = PendingBatch { topic: topic.clone(), partition, batch, ticket, grant };
                    hand_over(shared, vec![pending]);
                }
                Err(refusal) => ticket.answer(Err(refusal)),
            }
        }
        Place::ByKey => scatter::submit(shared, topic, request, reply, grant),
    }
}

/// The batches of one request into the pipeline.
pub(super) fn hand_over(shared: &Shared, batches: Vec<PendingBatch>) {
    for PendingBatch { batch, .. } in &batches {
        metrics::accepted(batch.valid.header.record_count.unsigned_abs(), batch.bytes.len());
    }
    shared.pipeline.submit(batches);
}
