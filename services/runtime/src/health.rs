//! `grpc.health.v1`: the same answer as `/readyz`, for load balancers that speak gRPC.

use std::{pin::Pin, time::Duration};

use eagre_proto::v1::{fetch_service_server, produce_service_server, topic_service_server};
use futures::{Stream, StreamExt as _, stream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

use crate::state::NodeState;

/// How often a watched answer is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Whose health may be asked for. The empty name is the whole process.
const SERVICES: [&str; 4] =
    ["", topic_service_server::SERVICE_NAME, produce_service_server::SERVICE_NAME, fetch_service_server::SERVICE_NAME];

/// The service. Whoever watches is let go at `stop`.
pub(crate) fn service(state: NodeState, stop: CancellationToken) -> HealthServer<impl Health> {
    HealthServer::new(NodeHealth { state, stop })
}

struct NodeHealth {
    state: NodeState,
    stop: CancellationToken,
}

async fn status(state: &NodeState) -> ServingStatus {
    match state.ready().await {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[async_trait]
impl Health for NodeHealth {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if SERVICES.contains(&service.as_str()) {
            Ok(Response::new(answer(status(&self.state).await)))
        } else {
            Err(Status::not_found(format!("there is no service {service:?}; ask for \"\" or {:?}", &SERVICES[1..])))
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let state = SERVICES.contains(&service.as_str()).then(|| self.state.clone());
        let changes = stream::unfold(None, move |told: Option<ServingStatus>| {
            let state = state.clone();
            async move {
                loop {
                    let now = match &state {
                        Some(state) => status(state).await,
                        None => ServingStatus::ServiceUnknown,
                    };
                    if told != Some(now) {
                        return Some((Ok(answer(now)), Some(now)));
                    }
                    sleep(LOOK).await;
                }
            }
        });
        let stopped = self.stop.clone().cancelled_owned();
        Ok(Response::new(Box::pin(changes.take_until(stopped))))
    }
}
