//! Why a command failed, for the person who gave it: what, where, and what to do.

use std::path::Path;

use eagre_client::{InvalidEndpoint, ReadError, TopicError};

use crate::place::Place;

/// Exit status of a command that failed.
const FAILED: u8 = 1;
/// Exit status of a command that was given wrongly; clap's own.
const USAGE: u8 = 2;

/// What went wrong and what to do about it. `report` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub what: String,
    /// Where: of a file, of an input, of the command line.
    pub place: Option<Box<Place>>,
    /// How the command is spelled, where it was spelled wrongly.
    pub usage: Option<String>,
    /// What else is known.
    pub notes: Vec<String>,
    /// What to do; each a sentence of its own.
    pub help: Vec<String>,
    /// The exit status.
    pub status: u8,
}

impl Failure {
    /// The command could not do what it was asked for.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), place: None, usage: None, notes: Vec::new(), help: Vec::new(), status: FAILED }
    }

    /// The command was given wrongly.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { status: USAGE, ..Self::new(what) }
    }

    /// The same failure with advice, after what was advised before.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The same failure with something that helps to understand it.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The same failure with the place of what is wrong.
    pub fn at(mut self, place: impl Into<Option<Place>>) -> Self {
        self.place = place.into().map(Box::new);
        self
    }

    /// A file that a command was given cannot be read, written or made. `verb` is what was tried.
    pub fn of_file(verb: &str, path: &Path, error: &std::io::Error, help: &str) -> Self {
        Self::new(format!("cannot {verb} {}: {error}", path.display())).help(help)
    }

    /// The system gives no threads or signals.
    pub fn of_system(what: &str, error: &std::io::Error) -> Self {
        Self::new(format!("cannot {what}: {error}")).help("the system is short of something; see `ulimit -a`")
    }

    fn unreachable(what: String) -> Self {
        Self::new(what)
            .help("start it with `eagre dev`, or name another one with --endpoint or EAGRE_ENDPOINT")
            .help("one that is there says at /readyz of its HTTP port what it waits for")
    }

    fn unknown_topic(topic: &str) -> Self {
        Self::new(format!("topic {topic:?} does not exist"))
            .help(format!("create it with `eagre topic create {topic}`, or see `eagre topic list`"))
    }

    fn invalid_name(what: String) -> Self {
        Self::usage(what).help("a name is 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'; not . or ..")
    }

    fn foreign(what: String) -> Self {
        Self::new(what).help("is this the gRPC address of an Eagre service of this version? see `eagre version`")
    }
}

impl From<InvalidEndpoint> for Failure {
    fn from(error: InvalidEndpoint) -> Self {
        Self::usage(error.to_string()).help("write --endpoint http://HOST:PORT, or set EAGRE_ENDPOINT so")
    }
}

impl From<TopicError> for Failure {
    fn from(error: TopicError) -> Self {
        let what = error.to_string();
        match error {
            TopicError::UnknownTopic(topic) => Self::unknown_topic(&topic),
            TopicError::Exists(topic) => Self::new(what)
                .help(format!("see `eagre topic describe {topic}`, choose another name, or say --if-not-exists")),
            TopicError::InvalidName(_) => Self::invalid_name(what),
            TopicError::Invalid(_) => Self::new(what).help("`eagre topic create --help` says what is allowed"),
            TopicError::Unavailable(_) => Self::unreachable(what),
            TopicError::OutcomeUnknown(_) => {
                Self::new(what).help("it may have been done; see `eagre topic list` before trying again")
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
            ReadError::TopicRecreated(_) => Self::new(what).help("start again to read the new one"),
            ReadError::UnknownPartition { topic, .. } => {
                Self::new(what).help(format!("`eagre topic describe {topic}` lists its partitions"))
            }
            ReadError::OffsetOutOfRange { .. } => {
                Self::new(what).help("--from beginning reads from the first record that there is")
            }
            ReadError::Corrupt(_) => {
                Self::new(what).help("the service's log says which object is damaged; --from can begin behind it")
            }
            ReadError::InvalidName(_) => Self::invalid_name(what),
            ReadError::Invalid(_) => Self::new(what).help("`eagre consume --help` says what is allowed"),
            ReadError::Unavailable(_) => Self::unreachable(what),
            ReadError::Protocol(_) => Self::foreign(what),
        }
    }
}
