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
    admission::{Admitted, MessageBounds, Returned},
    metrics,
    refusal::Refusal,
};

/// Requests that carry no records.
pub(crate) const SMALL_MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Elements of a produce request: records, and headers of all of them. A ready batch is one value, whatever it holds.
pub(crate) const PRODUCE_ELEMENTS_MAX: usize = 50_000;
/// Of other requests: more partitions than these may name.
const SMALL_ELEMENTS_MAX: usize = 20_000;
/// A request between nodes: a commit, with the bytes of the largest object that goes inside of one.
pub(crate) const INTERNAL_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Of services that take names and nothing else.
const NAMES_BYTES_MAX: usize = 64 << 10;

fn bounds(shared: &Shared, bytes_max: usize, elements_max: usize) -> MessageBounds {
    let settings = &shared.settings;
    let (arrival_max, grant_max) = (settings.message_arrival_max, settings.answer_after_max);
    MessageBounds { bytes_max, elements_max, arrival_max, grant_max }
}

/// All services of the gateway.
pub(crate) fn routes(shared: &Arc<Shared>) -> Routes {
    let produce =
        ProduceServiceServer::new(produce::Produce(shared.clone())).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let fetch = FetchServiceServer::new(fetch::Fetch(shared.clone()))
        .max_decoding_message_size(SMALL_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let topics =
        TopicServiceServer::new(topics::Topics(shared.clone())).max_decoding_message_size(SMALL_MESSAGE_BYTES_MAX);
    let large = bounds(shared, MESSAGE_BYTES_MAX, PRODUCE_ELEMENTS_MAX);
    let small = bounds(shared, SMALL_MESSAGE_BYTES_MAX, SMALL_ELEMENTS_MAX);
    Routes::new(Admitted::new(topics, shared.small_budget.clone(), small, Returned::WithTheCall))
        .add_service(Admitted::new(produce, shared.budget.clone(), large, Returned::ByService))
        .add_service(Admitted::new(fetch, shared.small_budget.clone(), small, Returned::WithTheCall))
}

/// A service that other nodes call.
pub(crate) fn internal<S>(shared: &Shared, service: S) -> Admitted<S> {
    let bounds = bounds(shared, INTERNAL_MESSAGE_BYTES_MAX, SMALL_ELEMENTS_MAX);
    Admitted::new(service, shared.internal_budget.clone(), bounds, Returned::WithTheCall)
}

/// A service whose requests are names.
pub(crate) fn names<S>(shared: &Shared, service: S) -> Admitted<S> {
    let bounds = bounds(shared, NAMES_BYTES_MAX, SMALL_ELEMENTS_MAX);
    Admitted::new(service, shared.small_budget.clone(), bounds, Returned::WithTheCall)
}

/// A refusal on its way out of a call.
fn refuse(refusal: Refusal) -> Status {
    metrics::refused(&refusal);
    refusal.into()
}
