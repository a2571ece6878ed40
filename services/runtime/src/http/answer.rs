//! Answers in JSON.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{
        StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;

use super::error::ApiError;

/// What one takes while it is put together: its records, one more message, and their text.
const BUILDING_BYTES: usize = 8 << 20;
/// So long it may have to wait for that.
const TURN_MAX: Duration = Duration::from_secs(10);
/// It is given to the connection in pieces of this size,
const PIECE_BYTES: usize = 64 << 10;
/// and each must be taken after so long, or the connection ends.
const TAKEN_MAX: Duration = Duration::from_secs(30);

/// A body of one JSON value.
pub(super) struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => not_json(&error),
        }
    }
}

fn not_json(error: &serde_json::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("the answer is no JSON: {error}\n")).into_response()
}

/// The memory of answers that hold records: of those that clients have not taken too.
#[derive(Debug, Clone)]
pub(super) struct AnswerBudget(Arc<Semaphore>);

/// The right to put one answer together.
#[derive(Debug)]
pub(super) struct Turn(OwnedSemaphorePermit);

impl AnswerBudget {
    /// What answers that hold records may take together, which is one at least.
    pub fn new(bytes: usize) -> Self {
        assert!(bytes >= BUILDING_BYTES, "an answer can be put together");
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// Waits for a turn.
    ///
    /// # Errors
    ///
    /// Clients do not take the answers that they have asked for.
    pub async fn turn(&self) -> Result<Turn, ApiError> {
        match timeout(TURN_MAX, self.0.clone().acquire_many_owned(permits(BUILDING_BYTES))).await {
            Ok(Ok(permit)) => Ok(Turn(permit)),
            Ok(Err(_)) | Err(_) => {
                Err(ApiError::unavailable(format!("there was no room for the answer for {TURN_MAX:?}; try again")))
            }
        }
    }
}

/// A body of one JSON value that is charged until the client has taken it.
pub(super) struct Charged<T>(pub Json<T>, pub Option<Turn>);

impl<T: Serialize> IntoResponse for Charged<T> {
    fn into_response(self) -> Response {
        let Self(json, turn) = self;
        let Some(Turn(mut permit)) = turn else { return json.into_response() };
        let bytes = match serde_json::to_vec(&json.0) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => return not_json(&error),
        };
        drop(json);
        drop(permit.split(permit.num_permits().saturating_sub(bytes.len())));
        let headers = [(CONTENT_TYPE, "application/json".to_owned()), (CONTENT_LENGTH, bytes.len().to_string())];
        let (pieces, taken) = mpsc::channel::<Result<Bytes, std::convert::Infallible>>(1);
        tokio::spawn(async move {
            let mut rest = bytes;
            while !rest.is_empty() {
                let piece = rest.split_to(rest.len().min(PIECE_BYTES));
                if !matches!(timeout(TAKEN_MAX, pieces.send(Ok(piece))).await, Ok(Ok(()))) {
                    // The connection ends before the length that was said.
                    return;
                }
            }
            drop(permit);
        });
        (headers, Body::from_stream(ReceiverStream::new(taken))).into_response()
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
