//! What an error of the store means for the request that met it.

use std::{error::Error as StdError, fmt, io, time::Duration};

use object_store::Error;

/// What becomes of a request after its try failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same again would be answered the same: no right, no such object, another one there, a wrong request.
    Definite,
    /// The store wants fewer requests. Nothing was done.
    Throttled,
    /// It took too long. The store may do it yet.
    TimedOut,
    /// The store or the way to it failed. It may have done it, or do it yet.
    Failed,
}

/// The store asked for fewer requests, as 503 SlowDown and 429 do. The source of an [`Error::Generic`] of stores of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("503 slow down")]
pub struct SlowDown;

/// A try was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {after:?}")]
pub(crate) struct TimedOut {
    pub(crate) after: Duration,
}

/// How the client of object_store 0.14 begins what it says of an answer that is no success. The type of that error is
/// private, so its words are read; a test holds them against that version.
const STATUS_PREFIX: &str = "Server returned non-2xx status code: ";
/// The same for an answer of 200 whose body is an error, as S3 gives for some requests.
const BODY_PREFIX: &str = "Server returned error response: ";
const REDIRECT_PREFIX: &str = "Received redirect without LOCATION";

impl Verdict {
    /// Of an error as the store gave it.
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::NotFound { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::UnknownConfigurationKey { .. } => Self::Definite,
            Error::Generic { source, .. } => Self::of_source(source.as_ref()),
            // A task that was lost, and what later versions add.
            _ => Self::Failed,
        }
    }

    fn of_source(source: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(source);
        while let Some(error) = next {
            if error.is::<SlowDown>() {
                return Self::Throttled;
            }
            if error.is::<TimedOut>() {
                return Self::TimedOut;
            }
            if let Some(error) = error.downcast_ref::<io::Error>()
                && error.kind() == io::ErrorKind::TimedOut
            {
                return Self::TimedOut;
            }
            if let Some(verdict) = Self::of_words(&error.to_string()) {
                return verdict;
            }
            next = error.source();
        }
        Self::Failed
    }

    fn of_words(words: &str) -> Option<Self> {
        if let Some(rest) = words.strip_prefix(STATUS_PREFIX) {
            let status = rest.get(..3)?.parse().ok()?;
            return Some(Self::of_status(status, rest));
        }
        if let Some(body) = words.strip_prefix(BODY_PREFIX) {
            return Some(if body.contains("SlowDown") { Self::Throttled } else { Self::Failed });
        }
        words.starts_with(REDIRECT_PREFIX).then_some(Self::Definite)
    }

    fn of_status(status: u16, words: &str) -> Self {
        match status {
            429 | 503 => Self::Throttled,
            408 => Self::TimedOut,
            // S3 says so of a body that came too slowly.
            400 if words.contains("RequestTimeout") => Self::TimedOut,
            300..=499 => Self::Definite,
            _ => Self::Failed,
        }
    }

    /// Whether another try may fare better.
    pub(crate) fn may_pass(self) -> bool {
        match self {
            Self::Definite => false,
            Self::Throttled | Self::TimedOut | Self::Failed => true,
        }
    }
}

/// An error of this layer's own, in the store's type.
pub(crate) fn failure(source: impl StdError + Send + Sync + 'static) -> Error {
    Error::Generic { store: "bucket", source: Box::new(source) }
}

/// What this layer says of a request that it does not pass on, or cannot judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It waited for its turn until its time was over.
    NoTurn,
    /// Too many wait already.
    Crowded,
    /// Whether the object there is ours could not be told.
    OwnerUnknown,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoTurn => "the request had to wait too long for those before it; nothing was sent",
            Self::Crowded => "too many requests wait for the bucket; nothing was sent",
            Self::OwnerUnknown => "an object is there, and whether this request made it cannot be told now",
        })
    }
}

impl StdError for Trouble {}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error within others, as the client nests them.
    #[derive(Debug)]
    struct Chain(&'static str, Option<Box<Chain>>);

    impl fmt::Display for Chain {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl StdError for Chain {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            self.1.as_deref().map(|inner| inner as &(dyn StdError + 'static))
        }
    }

    fn nested(words: &'static str) -> Error {
        let outer = "Error performing PUT http://localhost/b/wal/1 in 1.2ms - Server returned non-2xx status code";
        failure(Chain(outer, Some(Box::new(Chain(words, None)))))
    }

    #[test]
    fn words_of_the_client() {
        for (words, expected) in [
            ("Server returned non-2xx status code: 503 Service Unavailable: <Code>SlowDown</Code>", Verdict::Throttled),
            ("Server returned non-2xx status code: 429 Too Many Requests: ", Verdict::Throttled),
            ("Server returned non-2xx status code: 500 Internal Server Error: ", Verdict::Failed),
            ("Server returned non-2xx status code: 502 Bad Gateway: ", Verdict::Failed),
            ("Server returned non-2xx status code: 504 Gateway Timeout: ", Verdict::Failed),
            ("Server returned non-2xx status code: 408 Request Timeout: ", Verdict::TimedOut),
            ("Server returned non-2xx status code: 400 Bad Request: <Code>RequestTimeout</Code>", Verdict::TimedOut),
            ("Server returned non-2xx status code: 400 Bad Request: <Code>ExpiredToken</Code>", Verdict::Definite),
            ("Server returned non-2xx status code: 301 Moved Permanently: ", Verdict::Definite),
            ("Server returned error response: <Code>SlowDown</Code>", Verdict::Throttled),
            ("Server returned error response: <Code>InternalError</Code>", Verdict::Failed),
            ("Received redirect without LOCATION, this normally indicates a wrong region", Verdict::Definite),
            ("HTTP error: connection reset by peer", Verdict::Failed),
        ] {
            assert_eq!(Verdict::of(&nested(words)), expected, "{words}");
        }
    }

    #[test]
    fn kinds() {
        let source = || Box::<dyn StdError + Send + Sync>::from("as the store said");
        for definite in [
            Error::NotFound { path: "a".into(), source: source() },
            Error::AlreadyExists { path: "a".into(), source: source() },
            Error::Precondition { path: "a".into(), source: source() },
            Error::PermissionDenied { path: "a".into(), source: source() },
            Error::Unauthenticated { path: "a".into(), source: source() },
            Error::NotImplemented { operation: "x".into(), implementer: "y".into() },
        ] {
            assert_eq!(Verdict::of(&definite), Verdict::Definite, "{definite}");
        }
        assert_eq!(Verdict::of(&failure(SlowDown)), Verdict::Throttled);
        assert_eq!(Verdict::of(&failure(TimedOut { after: Duration::from_secs(1) })), Verdict::TimedOut);
        assert_eq!(Verdict::of(&failure(io::Error::from(io::ErrorKind::TimedOut))), Verdict::TimedOut);
        assert_eq!(Verdict::of(&failure(io::Error::from(io::ErrorKind::ConnectionReset))), Verdict::Failed);
        assert!(!Verdict::Definite.may_pass() && Verdict::Failed.may_pass());
    }
}
