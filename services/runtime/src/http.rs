//! The HTTP port: metrics, liveness and readiness, and the public [`api`] in JSON and as gRPC-web.

mod answer;
mod api;
#[cfg(test)]
mod attacks;
mod body;
mod error;
mod fetch;
mod produce;
mod query;
mod shape;
mod topics;

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use eagre_transport::{Acceptor, Guarded};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::task::JoinSet;
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

/// What there is, for whoever opens the address in a browser.
const INDEX: &str = "Eagre\n\n/v1/topics            GET lists topics, POST creates one\n/v1/topics/T          GET describes a topic, DELETE deletes it\n/v1/topics/T/records  POST appends records, GET reads some\n/v1/producers         POST gives a producer id\n/eagre.v1.*           gRPC-web\n/metrics  metrics for Prometheus\n/healthz  200 when the process answers\n/readyz   200 when a record that comes now can be acknowledged, else 503 and what it waits for\n";

/// The head of a request must be whole after so long, the first one and each that follows on the same connection.
const HEAD_MAX: Duration = Duration::from_secs(20);
/// The head of a request may have so many bytes, and a connection takes no more memory for what it reads and writes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Serves until `stop`: `/` names the others, the API, `/metrics`, `/healthz` (the process answers), `/readyz` (503 with the reason
/// until it can serve), and `more`.
pub(crate) async fn serve(mut acceptor: Acceptor, observed: Arc<dyn Observed>, more: Router, stop: CancellationToken) {
    let router = Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/metrics", get(|State(observed): State<Arc<dyn Observed>>| async move { observed.render_metrics() }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(call_api)
        .with_state(observed)
        .merge(more);
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            stream = acceptor.next() => stream,
        };
        connections.spawn(connection(stream, router.clone(), stop.clone()));
    }
    drop(acceptor);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection until it ends; when the server stops, until the present request is answered.
async fn connection(stream: Guarded, router: Router, stop: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).max_buf_size(HEAD_BYTES_MAX);
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        biased;
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "an http connection broke");
    }
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
