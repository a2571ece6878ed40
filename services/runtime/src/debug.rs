//! What a developer asks a running process: where its time goes, and what its tasks wait for. Served only when asked for.

mod profile;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tasks;

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
};

/// `/debug/pprof/profile`, and `/debug/tasks` where the runtime can tell.
pub(crate) fn routes() -> Router {
    let routes = profile::routes();
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    let routes = routes.merge(tasks::routes());
    routes
}

fn refused(status: StatusCode, what: &str) -> Response {
    (status, format!("{what}\n")).into_response()
}
