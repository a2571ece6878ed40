//! `result.json` back into a [`RunResult`].

use std::fmt;

use serde::Deserialize;

use crate::result::{FORMAT, RunResult};

/// Why a text is no result that this version can read.
#[derive(Debug)]
pub enum ReadError {
    /// It is of another version.
    Format {
        /// What it says of itself.
        found: u64,
    },
    /// It is not JSON, was cut off, or is not a result.
    Malformed(serde_json::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format { found } => write!(
                f,
                "the result has format {found}, and this version of eagre-loadtest reads format {FORMAT}: take the version \
                 that wrote it, or run the load test again"
            ),
            Self::Malformed(error) if error.is_eof() => write!(f, "the result ends too early, it was cut off: {error}"),
            Self::Malformed(error) => write!(f, "this is not the result of a load test: {error}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Format { .. } => None,
            Self::Malformed(error) => Some(error),
        }
    }
}

/// Read first, because the rest of another format need not fit.
#[derive(Deserialize)]
struct Head {
    format: u64,
}

impl RunResult {
    /// Reads the text of a `result.json`.
    ///
    /// # Errors
    /// Another format, or no result at all.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        let head: Head = serde_json::from_str(text).map_err(ReadError::Malformed)?;
        if head.format != u64::from(FORMAT) {
            return Err(ReadError::Format { found: head.format });
        }
        serde_json::from_str(text).map_err(ReadError::Malformed)
    }
}
