//! The public API on the HTTP port: JSON for `curl` and for whoever has nothing else, gRPC-web for browsers.
//!
//! Both are translations: every request becomes a call of the gRPC services in this process, so the rules, the errors and
//! the memory budget are the same. Answers carry no CORS headers, so a browser lets pages of this origin in, and no
//! others; JSON is refused without its content type, which another page cannot send unasked.

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tonic::{body::Body, codegen::Service, service::Routes};
use tonic_web::GrpcWebLayer;
use tower::Layer;

use super::{answer::AnswerBudget, body::JsonBudget, error::ApiError, fetch, produce, topics};
use crate::memory::JsonMemory;

/// What the handlers share.
#[derive(Clone)]
pub(super) struct Api {
    /// The gRPC services.
    pub routes: Routes,
    pub budget: JsonBudget,
    pub answers: AnswerBudget,
}

/// The API over the gRPC services of a gateway.
pub(crate) fn router(routes: Routes, memory: JsonMemory) -> Router {
    let routes = routes.prepare();
    Router::new()
        .route("/v1/topics", get(topics::list).post(topics::create))
        .route("/v1/topics/{topic}", get(topics::describe).delete(topics::delete))
        .route("/v1/topics/{topic}/records", get(fetch::fetch).post(produce::produce))
        .route("/v1/producers", post(produce::init_producer))
        .method_not_allowed_fallback(|| async {
            ApiError::of_http(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take that method; / lists what there is",
            )
        })
        .fallback(grpc_web)
        .with_state(Api {
            routes,
            budget: JsonBudget::new(memory.requests_bytes, memory.objects_bytes),
            answers: AnswerBudget::new(memory.answers_bytes),
        })
}

/// Whatever is no path of the JSON API is one of a gRPC service, or of nothing.
async fn grpc_web(State(api): State<Api>, request: Request) -> Response {
    let is_grpc_web = |request: &Request| {
        let content_type = request.headers().get("content-type")?.to_str().ok()?;
        Some(content_type.starts_with("application/grpc-web"))
    };
    if is_grpc_web(&request) != Some(true) {
        return ApiError::of_http(StatusCode::NOT_FOUND, "there is no such path; / lists what there is")
            .into_response();
    }
    let mut service = GrpcWebLayer::new().layer(api.routes);
    let Ok(answer) = service.call(request.map(Body::new)).await;
    answer.map(axum::body::Body::new)
}
