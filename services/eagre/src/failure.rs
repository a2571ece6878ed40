//! Why a command failed, for the person who gave it.

use eagre_client::{InvalidEndpoint, ReadError, TopicError};

/// Exit status of a command that failed.
const FAILED: u8 = 1;
/// Exit status of a command that was given wrongly; clap's own.
const USAGE: u8 = 2;

/// What went wrong and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
    /// The exit status.
    pub status: u8,
}

impl Failure {
    /// The command could not do what it was asked for.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, status: FAILED }
    }

    /// The command was given wrongly.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, status: USAGE }
    }

    /// The same failure with advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn unreachable(what: String) -> Self {
        Self::new(what).hint("start it with `eagre dev`, or name another one with --endpoint or EAGRE_ENDPOINT")
    }

    fn unknown_topic(topic: &str) -> Self {
        Self::new(format!("topic {topic:?} does not exist"))
            .hint(format!("create it with `eagre topic create {topic}`, or see `eagre topic list`"))
    }

    fn foreign(what: String) -> Self {
        Self::new(what).hint("is this the gRPC address of an Eagre service of this version?")
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {}", self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<InvalidEndpoint> for Failure {
    fn from(error: InvalidEndpoint) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<TopicError> for Failure {
    fn from(error: TopicError) -> Self {
        let what = error.to_string();
        match error {
            TopicError::UnknownTopic(topic) => Self::unknown_topic(&topic),
            TopicError::Exists(topic) => {
                Self::new(what).hint(format!("see `eagre topic describe {topic}`, or choose another name"))
            }
            TopicError::InvalidName(_) => Self::usage(what),
            TopicError::Invalid(_) => Self::new(what),
            TopicError::Unavailable(_) => Self::unreachable(what),
            TopicError::OutcomeUnknown(_) => {
                Self::new(what).hint("it may have been done; see `eagre topic list` before trying again")
            }
            TopicError::Protocol(_) => Self::foreign(what),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let what = error.to_string();
        match error {
            ReadError::UnknownTopic(topic) => Self::unknown_topic(&topic),
            ReadError::TopicRecreated(_) => Self::new(what).hint("start again to read the new one"),
            ReadError::UnknownPartition { topic, .. } => {
                Self::new(what).hint(format!("see `eagre topic describe {topic}`"))
            }
            ReadError::OffsetOutOfRange { .. } => {
                Self::new(what).hint("--from beginning reads from the first record that there is")
            }
            ReadError::Corrupt(_) => Self::new(what).hint("see the service's log"),
            ReadError::InvalidName(_) => Self::usage(what),
            ReadError::Invalid(_) => Self::new(what),
            ReadError::Unavailable(_) => Self::unreachable(what),
            ReadError::Protocol(_) => Self::foreign(what),
        }
    }
}
