//! Whose answer it is: when the request came, its span, and how its end is counted.

use eagre_trace::TRACEPARENT;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tracing::Span;

use super::answer::Answer;
use crate::{metrics, refusal::Refusal};

/// Of one produce request, from when it was read until it is answered.
#[derive(Debug)]
pub(crate) struct Origin {
    began: Instant,
    span: Span,
}

impl Origin {
    /// Of a request that was just read. `caller` is what it says of the caller's trace.
    pub fn new(caller: Option<&str>, topic: &str) -> Self {
        Self { began: Instant::now(), span: eagre_trace::produce(caller, topic) }
    }

    /// None where the request is not traced.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// The request has its answer, the only one.
    pub fn answered(&self, answer: &Answer) {
        match answer {
            Ok(_) => metrics::acked(self.began.elapsed()),
            Err(refusal) => metrics::refused(refusal),
        }
        eagre_trace::answered(&self.span, answer.as_ref().err().map(Refusal::name));
    }
}

/// What a call says of its caller's trace.
pub(crate) fn caller(metadata: &MetadataMap) -> Option<&str> {
    metadata.get(TRACEPARENT)?.to_str().ok()
}
