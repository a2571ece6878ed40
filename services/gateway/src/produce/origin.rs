//! Whose answer it is: when the request came, and how its end is counted.

use tokio::time::Instant;

use super::answer::Answer;
use crate::metrics;

/// Of one produce request, from when it was read until it is answered.
#[derive(Debug)]
pub(crate) struct Origin {
    began: Instant,
}

impl Origin {
    /// Of a request that was just read.
    pub fn new() -> Self {
        Self { began: Instant::now() }
    }

    /// The request has its answer, the only one.
    pub fn answered(&self, answer: &Answer) {
        match answer {
            Ok(_) => metrics::acked(self.began.elapsed()),
            Err(refusal) => metrics::refused(refusal),
        }
    }
}
