//! Errors in JSON: what a gRPC status says in its details, as `docs/errors.md` has it.

use std::collections::BTreeMap;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use eagre_proto::v1::{ErrorReason, FetchError};
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::answer::Json;

const INVALID_ARGUMENT: &str = "INVALID_ARGUMENT";
const TOO_LARGE: &str = "TOO_LARGE";
const UNAVAILABLE: &str = "UNAVAILABLE";

/// A request that was refused, or whose outcome is not known.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    said: Box<Said>,
}

#[derive(Debug, Serialize)]
struct Said {
    /// Of `docs/errors.md`.
    reason: String,
    message: String,
    /// `definite` or `unknown`.
    outcome: String,
    retriable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Wrapped {
    error: Box<Said>,
}

impl ApiError {
    /// A request that the HTTP port refuses by itself: always definite.
    fn refused(status: StatusCode, reason: &str, message: impl Into<String>) -> Self {
        let said = Said {
            reason: reason.to_owned(),
            message: message.into(),
            outcome: "definite".to_owned(),
            retriable: false,
            retry_after_ms: None,
            field: None,
            metadata: BTreeMap::new(),
        };
        Self { status, said: Box::new(said) }
    }

    /// A path, method or content type that is not understood.
    pub fn of_http(status: StatusCode, message: impl Into<String>) -> Self {
        Self::refused(status, INVALID_ARGUMENT, message)
    }

    /// A field that is missing, out of range or malformed.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        let mut error = Self::refused(StatusCode::BAD_REQUEST, INVALID_ARGUMENT, message);
        error.said.field = Some(field.to_owned());
        error
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::refused(StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        let mut error = Self::refused(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, message);
        (error.said.retriable, error.said.retry_after_ms) = (true, Some(200));
        error
    }
}

impl From<&FetchError> for ApiError {
    fn from(error: &FetchError) -> Self {
        let reason = error.reason();
        let status = match reason {
            ErrorReason::UnknownTopic | ErrorReason::UnknownPartition => StatusCode::NOT_FOUND,
            ErrorReason::OffsetOutOfRange => StatusCode::RANGE_NOT_SATISFIABLE,
            ErrorReason::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let name = reason.as_str_name();
        let mut said = Self::refused(status, name.strip_prefix("ERROR_REASON_").unwrap_or(name), &*error.message);
        said.said.retriable = error.retriable;
        said
    }
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        let info = status.get_details_error_info();
        let (reason, metadata) = info.map(|info| (info.reason, info.metadata)).unwrap_or_default();
        let mut metadata: BTreeMap<String, String> = metadata.into_iter().collect();
        // One that is not the gateway's own says nothing of the outcome.
        let outcome = metadata.remove("outcome").unwrap_or_else(|| "unknown".to_owned());
        let retriable = metadata.remove("retriable").is_some_and(|retriable| retriable == "true");
        let retry = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
        let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        let said = Said {
            message: status.message().to_owned(),
            outcome,
            retriable,
            retry_after_ms: retry.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
            field: violations.into_iter().next().map(|violation| violation.field),
            metadata,
            reason: if reason.is_empty() { "OUTCOME_UNKNOWN".to_owned() } else { reason },
        };
        Self { status: http_status(status.code(), &said.reason), said: Box::new(said) }
    }
}

/// As the page of errors says.
fn http_status(code: Code, reason: &str) -> StatusCode {
    match code {
        Code::InvalidArgument if reason == TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists => StatusCode::CONFLICT,
        Code::OutOfRange => StatusCode::RANGE_NOT_SATISFIABLE,
        Code::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::DeadlineExceeded | Code::Cancelled => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(Wrapped { error: self.said })).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_errors_is_true() {
        let page = include_str!("../../../../docs/errors.md");
        let codes = [
            ("INVALID_ARGUMENT", Code::InvalidArgument),
            ("NOT_FOUND", Code::NotFound),
            ("ALREADY_EXISTS", Code::AlreadyExists),
            ("OUT_OF_RANGE", Code::OutOfRange),
            ("FAILED_PRECONDITION", Code::FailedPrecondition),
            ("UNAVAILABLE", Code::Unavailable),
            ("UNKNOWN", Code::Unknown),
            ("DATA_LOSS", Code::DataLoss),
        ];
        let mut rows = 0;
        for row in page.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let (reason, code, http) = (cells[1], cells[2], cells[3]);
            let code = codes.iter().find(|(name, _)| *name == code).map(|(_, code)| *code);
            assert_eq!(code.map(|code| http_status(code, reason).as_u16().to_string()), Some(http.to_owned()), "{row}");
            rows += 1;
        }
        assert!(rows >= 15, "{rows}");
    }
}
