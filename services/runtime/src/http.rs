//! The HTTP port: metrics, liveness and readiness, and the public [`api`] in JSON and as gRPC-web.

mod answer;
mod api;
mod body;
mod error;
mod fetch;
mod produce;
mod query;
mod shape;
mod topics;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use eagre_env::{Connection, Listener};
use eagre_trace::Seldom;
use tokio_util::sync::CancellationToken;
use tonic::{async_trait, codegen::Service};

/// What the HTTP port asks of the process behind it.
#[async_trait]
pub trait Observed: Send + Sync + 'static {
    /// The metrics in Prometheus' text format.
    fn render_metrics(&self) -> String;

    /// `Err` says what the process is waiting for before it can serve.
    async fn ready(&self) -> Result<(), String>;

    /// The public API; `None` until the process can serve.
    fn api(&self) -> Option<Router>;
}

pub(crate) use api::router as api;

/// How long accepting pauses after an error of the socket, such as a shortage of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

struct Accepting {
    listener: Box<dyn Listener>,
    trouble: Seldom,
}

impl axum::serve::Listener for Accepting {
    type Io = Box<dyn Connection>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    if let Some(held_back) = self.trouble.turn() {
                        tracing::warn!(%error, held_back, "http connection not accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.listener.local_addr())
    }
}

/// What there is, for whoever opens the address in a browser.
const INDEX: &str = "Eagre\n\n/v1/topics            GET lists topics, POST creates one\n/v1/topics/T          GET describes a topic, DELETE deletes it\n/v1/topics/T/records  POST appends records, GET reads some\n/v1/producers         POST gives a producer id\n/eagre.v1.*           gRPC-web\n/metrics  metrics for Prometheus\n/healthz  200 when the process answers\n/readyz   200 when a record that comes now can be acknowledged, else 503 and what it waits for\n";

/// Serves until `stop`: `/` names the others, the API, `/metrics`, `/healthz` (the process answers), `/readyz` (503 with the reason
/// until it can serve), and `more`.
pub(crate) async fn serve(
    listener: Box<dyn Listener>,
    observed: Arc<dyn Observed>,
    more: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/metrics", get(|State(observed): State<Arc<dyn Observed>>| async move { observed.render_metrics() }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(call_api)
        .with_state(observed)
        .merge(more);
    axum::serve(Accepting { listener, trouble: Seldom::new() }, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn call_api(State(observed): State<Arc<dyn Observed>>, request: Request) -> Response {
    match observed.api() {
        Some(mut api) => api.call(request).await.into_response(),
        None => error::ApiError::unavailable("the service is starting; try again").into_response(),
    }
}

async fn ready(State(observed): State<Arc<dyn Observed>>) -> (StatusCode, String) {
    match observed.ready().await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}
