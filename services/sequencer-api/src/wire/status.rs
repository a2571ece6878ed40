//! Errors. What the sequencer said is told from what happened on the way by a metadata entry: a status without it was
//! made by the transport, so whether the request was executed is not known.

use tonic::{Code, Status, metadata::MetadataValue};

use super::Malformed;
use crate::{CreateTopicError, SequencerError, TopicError};

const KIND: &str = "eagre-error";

const UNAVAILABLE: &str = "unavailable";
const OUTCOME_UNKNOWN: &str = "outcome-unknown";
const UNKNOWN_TOPIC: &str = "unknown-topic";
const TOPIC_EXISTS: &str = "topic-exists";
const INVALID_NAME: &str = "invalid-name";
const INVALID_PARTITIONS: &str = "invalid-partitions";

/// Why there is no usable answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The sequencer or the transport failed the call.
    Status(Box<Status>),
    /// The answer makes no sense.
    Malformed(Malformed),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

fn status(code: Code, kind: &'static str, message: &str) -> Status {
    let mut status = Status::new(code, message);
    status.metadata_mut().insert(KIND, MetadataValue::from_static(kind));
    status
}

pub(crate) fn sequencer_status(error: SequencerError) -> Status {
    match error {
        SequencerError::Unavailable(why) => status(Code::Unavailable, UNAVAILABLE, &why),
        SequencerError::OutcomeUnknown(why) => status(Code::Unknown, OUTCOME_UNKNOWN, &why),
    }
}

pub(crate) fn topic_status(error: TopicError) -> Status {
    match error {
        TopicError::UnknownTopic => status(Code::NotFound, UNKNOWN_TOPIC, &error.to_string()),
        TopicError::Sequencer(error) => sequencer_status(error),
    }
}

pub(crate) fn create_status(error: CreateTopicError) -> Status {
    match error {
        CreateTopicError::Exists => status(Code::AlreadyExists, TOPIC_EXISTS, &error.to_string()),
        CreateTopicError::InvalidName(why) => status(Code::InvalidArgument, INVALID_NAME, &why),
        CreateTopicError::InvalidPartitions(why) => status(Code::InvalidArgument, INVALID_PARTITIONS, &why),
        CreateTopicError::Sequencer(error) => sequencer_status(error),
    }
}

impl From<Malformed> for Status {
    /// A request that was not looked at.
    fn from(malformed: Malformed) -> Self {
        status(Code::InvalidArgument, UNAVAILABLE, &malformed.to_string())
    }
}

fn kind(status: &Status) -> Option<&str> {
    status.metadata().get(KIND)?.to_str().ok()
}

/// Of a call that changes nothing: it may be made again whatever happened.
pub(crate) fn read_failure(failure: Failure) -> SequencerError {
    match failure {
        Failure::Status(status) => SequencerError::Unavailable(status.message().to_owned()),
        Failure::Malformed(malformed) => SequencerError::Unavailable(format!("its answer: {malformed}")),
    }
}

/// Of a call that changes something: unless the sequencer said so, it is not known that nothing was done.
pub(crate) fn write_failure(failure: Failure) -> SequencerError {
    match failure {
        Failure::Status(status) if kind(&status) == Some(UNAVAILABLE) => {
            SequencerError::Unavailable(status.message().to_owned())
        }
        Failure::Status(status) => SequencerError::OutcomeUnknown(status.message().to_owned()),
        Failure::Malformed(malformed) => SequencerError::OutcomeUnknown(format!("its answer: {malformed}")),
    }
}

/// Of a call that concerns a topic; `otherwise` is for all that does not.
pub(crate) fn topic_failure(failure: Failure, otherwise: fn(Failure) -> SequencerError) -> TopicError {
    match &failure {
        Failure::Status(status) if kind(status) == Some(UNKNOWN_TOPIC) => TopicError::UnknownTopic,
        _ => otherwise(failure).into(),
    }
}

/// Of a creation.
pub(crate) fn create_failure(failure: Failure) -> CreateTopicError {
    if let Failure::Status(status) = &failure {
        match kind(status) {
            Some(TOPIC_EXISTS) => return CreateTopicError::Exists,
            Some(INVALID_NAME) => return CreateTopicError::InvalidName(status.message().to_owned()),
            Some(INVALID_PARTITIONS) => return CreateTopicError::InvalidPartitions(status.message().to_owned()),
            _ => {}
        }
    }
    write_failure(failure).into()
}
