//! The gRPC surface: one file a service. Requests are checked here, answers and refusals take their form here.

mod fetch;
mod produce;
mod topics;

use std::sync::Arc;

use eagre_proto::v1::{
    fetch_service_server::FetchServiceServer, produce_service_server::ProduceServiceServer,
    topic_service_server::TopicServiceServer,
};
use eagre_transport::MESSAGE_BYTES_MAX;
use tonic::{Status, service::Routes};

use crate::{
    Shared,
    admission::{Admitted, MessageBounds},
    metrics,
    refusal::Refusal,
};

/// Requests that carry no records.
pub(crate) const SMALL_MESSAGE_BYTES_MAX: usize = 4 << 20;

/// All services of the gateway.
pub(crate) fn routes(shared: &Arc<Shared>) -> Routes {
    let bounds = MessageBounds {
        bytes_max: MESSAGE_BYTES_MAX,
        arrival_max: shared.settings.message_arrival_max,
        grant_max: shared.settings.answer_after_max,
    };
    let produce =
        ProduceServiceServer::new(produce::Produce(shared.clone())).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let fetch = FetchServiceServer::new(fetch::Fetch(shared.clone()))
        .max_decoding_message_size(SMALL_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let topics =
        TopicServiceServer::new(topics::Topics(shared.clone())).max_decoding_message_size(SMALL_MESSAGE_BYTES_MAX);
    let small = MessageBounds { bytes_max: SMALL_MESSAGE_BYTES_MAX, ..bounds };
    Routes::new(Admitted::new(topics, shared.small_budget.clone(), small))
        .add_service(Admitted::new(produce, shared.budget.clone(), bounds))
        .add_service(Admitted::new(fetch, shared.small_budget.clone(), small))
}

/// A refusal on its way out of a call.
fn refuse(refusal: Refusal) -> Status {
    metrics::refused(&refusal);
    refusal.into()
}
