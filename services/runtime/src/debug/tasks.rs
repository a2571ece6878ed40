//! `/debug/tasks`: what every task waits for, for whoever looks for one that is stuck.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{
    runtime::{Dump, Handle},
    sync::Semaphore,
    task::spawn_blocking,
    time::timeout,
};

use super::refused;

/// The runtime brings its workers to rest for a dump, and never does while one of them is busy for long.
const REST_MAX: Duration = Duration::from_secs(5);

/// `GET /debug/tasks`, one at a time.
pub(super) fn routes() -> Router {
    Router::new().route("/debug/tasks", get(tasks)).with_state(Arc::new(Semaphore::new(1)))
}

async fn tasks(State(one_at_a_time): State<Arc<Semaphore>>) -> Response {
    let Ok(turn) = one_at_a_time.try_acquire_owned() else {
        return refused(StatusCode::CONFLICT, "another dump is being taken; ask again when it is done");
    };
    let Ok(dump) = timeout(REST_MAX, Handle::current().dump()).await else {
        let what = format!("the tasks did not come to rest within {REST_MAX:?}: one of them is busy; take a profile");
        return refused(StatusCode::SERVICE_UNAVAILABLE, &what);
    };
    // Names are looked up in the debug information, which takes seconds.
    let written = spawn_blocking(move || {
        let _turn = turn;
        text(&dump)
    });
    match written.await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response(),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("cannot read the dump: {error}")),
    }
}

fn text(dump: &Dump) -> String {
    let mut text = String::new();
    for task in dump.tasks().iter() {
        // Writing to a string does not fail.
        writeln!(text, "task {}\n{}\n", task.id(), task.trace()).ok();
    }
    text
}
