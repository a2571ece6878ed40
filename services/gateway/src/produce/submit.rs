//! From a request that has found its topic to batches in the pipeline.

use std::sync::Arc;

use eagre_model::{TopicPartition, TopicRecord};
use eagre_proto::v1::ProduceRequest;

use super::{
    answer::{Reply, Ticket},
    edge::{self, CheckedBatch, Place},
    open::PendingBatch,
    scatter,
};
use crate::{Shared, admission::Grant, metrics};

/// Checks a request and hands it to the pipeline. The reply is given in any case.
pub(crate) fn submit(
    shared: &Shared,
    topic: &Arc<TopicRecord>,
    place: Place,
    request: ProduceRequest,
    reply: Reply,
    grant: Option<Grant>,
) {
    match place {
        Place::Partition(partition) => {
            let ticket = reply.ticket(partition);
            let now_ms = shared.env.clock.unix_ms();
            match edge::check(topic, request.payload, request.producer, &shared.settings.batch_limits, now_ms) {
                Ok(batch) => hand_over(shared, topic, partition, batch, ticket, grant),
                Err(refusal) => ticket.answer(Err(refusal)),
            }
        }
        Place::ByKey => scatter::submit(shared, topic, request, reply, grant),
    }
}

/// Into the pipeline.
pub(super) fn hand_over(
    shared: &Shared,
    topic: &Arc<TopicRecord>,
    partition: TopicPartition,
    batch: CheckedBatch,
    ticket: Ticket,
    grant: Option<Grant>,
) {
    metrics::accepted(batch.valid.header.record_count.unsigned_abs(), batch.bytes.len());
    shared.pipeline.submit(PendingBatch { topic: topic.clone(), partition, batch, ticket, grant });
}
