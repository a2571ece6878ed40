//! Why a public call is refused, and how that is said on the wire: mapped once, here.

use std::{collections::BTreeMap, time::Duration};

use eagre_model::{ProducerEpoch, batch::BatchError, names::validate_topic_name};
use eagre_proto::v1::{ErrorReason, FetchError, ProduceError};
use eagre_sequencer_api::{CreateTopicError, RefusalReason, SequencerError, TopicError};
use tonic::{Code, Status};
use tonic_types::{BadRequest, ErrorDetail, ErrorInfo, RetryInfo, StatusExt};

/// The `domain` of every `google.rpc.ErrorInfo` of the service.
pub(crate) const ERROR_DOMAIN: &str = "eagre";

/// The service or the bucket is away for a moment.
const RETRY_AFTER_REFUSAL: Duration = Duration::from_millis(200);
/// What is on its way may still arrive.
const RETRY_AFTER_SILENCE: Duration = Duration::from_millis(1_000);

/// Why a call was refused or its outcome is not known: the public vocabulary of errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{why}")]
    InvalidArgument { field: &'static str, why: String },
    #[error("{0}")]
    InvalidBatch(String),
    #[error("{0}; send it again")]
    CorruptBatch(String),
    #[error("{0}; split it")]
    TooLarge(String),
    #[error("there is no topic {topic:?}; create it first")]
    UnknownTopic { topic: String },
    #[error("topic {topic:?} has no partition {partition}: it has {partitions}, numbered from 0; name one of these")]
    UnknownPartition { topic: String, partition: u32, partitions: u32 },
    #[error("topic {topic:?} has another id than this request means: it was deleted and made anew; look it up again")]
    AnotherTopic { topic: String },
    #[error("topic {topic:?} was deleted while this was under way; look the topic up again")]
    TopicGone { topic: String },
    #[error("there is a topic {topic:?} already; use it, or take another name")]
    TopicExists { topic: String },
    #[error("{why}")]
    InvalidTopicName { field: &'static str, why: String },
    #[error(
        "offset {offset} is out of range: this partition can be read from {log_start_offset} to {high_watermark}; begin there"
    )]
    OffsetOutOfRange { offset: i64, log_start_offset: i64, high_watermark: i64 },
    #[error("batches before this one are missing: its first sequence should be {expected}; send those before it first")]
    OutOfOrderSequence { expected: i32 },
    #[error("epoch {} of this producer id has written here; take a new producer id", .current.0)]
    ProducerFenced { current: ProducerEpoch },
    #[error(
        "this sequence lies before the batches that are remembered; whether it was appended is not known any more; read the log to find out, then go on with a new producer id"
    )]
    SequenceTooOld,
    #[error("this producer id was never given out; ask InitProducer for one")]
    UnissuedProducerId,
    #[error(
        "nothing is remembered of this producer here (any more); this attempt was not appended, and whether an earlier one was is not known; ask InitProducer for a new id and go on with that"
    )]
    UnknownProducerId,
    #[error("{0}; try again")]
    Unavailable(String),
    #[error("{0}; send the same again to find out")]
    OutcomeUnknown(String),
    #[error(
        "some of the records may have been appended, and would be there twice if sent again; number requests with a producer id to send them again safely: {0}"
    )]
    MaybePartly(String),
    #[error("{0}; run a check of the bucket")]
    StoredDataCorrupt(String),
}

/// A reason's name without its prefix.
pub(crate) fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

impl Refusal {
    /// The reason on the wire, and the gRPC code that fits it.
    fn wire(&self) -> (ErrorReason, Code) {
        match self {
            Self::InvalidArgument { .. } => (ErrorReason::InvalidArgument, Code::InvalidArgument),
            Self::InvalidBatch(_) => (ErrorReason::InvalidBatch, Code::InvalidArgument),
            Self::CorruptBatch(_) => (ErrorReason::CorruptBatch, Code::InvalidArgument),
            Self::TooLarge(_) => (ErrorReason::TooLarge, Code::InvalidArgument),
            Self::UnknownTopic { .. } | Self::AnotherTopic { .. } | Self::TopicGone { .. } => {
                (ErrorReason::UnknownTopic, Code::NotFound)
            }
            Self::UnknownPartition { .. } => (ErrorReason::UnknownPartition, Code::NotFound),
            Self::TopicExists { .. } => (ErrorReason::TopicExists, Code::AlreadyExists),
            Self::InvalidTopicName { .. } => (ErrorReason::InvalidTopicName, Code::InvalidArgument),
            Self::OffsetOutOfRange { .. } => (ErrorReason::OffsetOutOfRange, Code::OutOfRange),
            Self::OutOfOrderSequence { .. } => (ErrorReason::OutOfOrderSequence, Code::FailedPrecondition),
            Self::ProducerFenced { .. } => (ErrorReason::ProducerFenced, Code::FailedPrecondition),
            Self::SequenceTooOld => (ErrorReason::SequenceTooOld, Code::FailedPrecondition),
            Self::UnissuedProducerId => (ErrorReason::UnissuedProducerId, Code::FailedPrecondition),
            Self::UnknownProducerId => (ErrorReason::UnknownProducerId, Code::FailedPrecondition),
            Self::Unavailable(_) => (ErrorReason::Unavailable, Code::Unavailable),
            Self::OutcomeUnknown(_) | Self::MaybePartly(_) => (ErrorReason::OutcomeUnknown, Code::Unknown),
            Self::StoredDataCorrupt(_) => (ErrorReason::StoredDataCorrupt, Code::DataLoss),
        }
    }

    /// It may have been appended, or may yet be.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown(_) | Self::MaybePartly(_) | Self::SequenceTooOld | Self::UnknownProducerId)
    }

    /// The same request may succeed when sent again.
    fn is_retriable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::OutcomeUnknown(_)
                | Self::CorruptBatch(_)
                | Self::TopicGone { .. }
                | Self::OutOfOrderSequence { .. }
        )
    }

    /// Others can be read on.
    pub fn is_of_one_partition(&self) -> bool {
        matches!(
            self,
            Self::UnknownTopic { .. }
                | Self::UnknownPartition { .. }
                | Self::TopicGone { .. }
                | Self::OffsetOutOfRange { .. }
                | Self::StoredDataCorrupt(_)
        )
    }

    /// The reason's name without its prefix: the label of metrics and the `reason` of the `google.rpc.ErrorInfo`.
    pub fn name(&self) -> &'static str {
        reason_name(self.wire().0)
    }

    /// What a program may want to know beside the reason.
    fn metadata(&self) -> BTreeMap<&'static str, String> {
        let outcome = if self.is_outcome_unknown() { "unknown" } else { "definite" };
        let mut metadata =
            BTreeMap::from([("outcome", outcome.to_owned()), ("retriable", self.is_retriable().to_string())]);
        let details = match self {
            Self::OffsetOutOfRange { log_start_offset, high_watermark, .. } => {
                vec![("log_start_offset", log_start_offset.to_string()), ("high_watermark", high_watermark.to_string())]
            }
            Self::UnknownTopic { topic }
            | Self::AnotherTopic { topic }
            | Self::TopicGone { topic }
            | Self::TopicExists { topic } => {
                vec![("topic", topic.clone())]
            }
            Self::UnknownPartition { topic, partitions, .. } => {
                vec![("topic", topic.clone()), ("partitions", partitions.to_string())]
            }
            Self::OutOfOrderSequence { expected } => vec![("expected_sequence", expected.to_string())],
            Self::ProducerFenced { current } => vec![("current_epoch", current.0.to_string())],
            Self::InvalidArgument { .. }
            | Self::InvalidBatch(_)
            | Self::CorruptBatch(_)
            | Self::TooLarge(_)
            | Self::InvalidTopicName { .. }
            | Self::SequenceTooOld
            | Self::UnissuedProducerId
            | Self::UnknownProducerId
            | Self::Unavailable(_)
            | Self::OutcomeUnknown(_)
            | Self::MaybePartly(_)
            | Self::StoredDataCorrupt(_) => vec![],
        };
        metadata.extend(details);
        metadata
    }

    /// How long to wait before the same request is sent again, where that helps by itself.
    fn retry_delay(&self) -> Option<Duration> {
        match self {
            // Damaged on its way: another try is as good at once.
            Self::CorruptBatch(_) => Some(Duration::ZERO),
            Self::TopicGone { .. } | Self::Unavailable(_) => Some(RETRY_AFTER_REFUSAL),
            Self::OutcomeUnknown(_) => Some(RETRY_AFTER_SILENCE),
            Self::InvalidArgument { .. }
            | Self::InvalidBatch(_)
            | Self::TooLarge(_)
            | Self::UnknownTopic { .. }
            | Self::AnotherTopic { .. }
            | Self::UnknownPartition { .. }
            | Self::TopicExists { .. }
            | Self::InvalidTopicName { .. }
            | Self::OffsetOutOfRange { .. }
            // Others have to be sent before it.
            | Self::OutOfOrderSequence { .. }
            | Self::ProducerFenced { .. }
            | Self::SequenceTooOld
            | Self::UnissuedProducerId
            | Self::UnknownProducerId
            | Self::MaybePartly(_)
            | Self::StoredDataCorrupt(_) => None,
        }
    }

    /// The field of the request that is wrong, where one is.
    fn field(&self) -> Option<&'static str> {
        match self {
            Self::InvalidArgument { field, .. } | Self::InvalidTopicName { field, .. } => Some(field),
            Self::InvalidBatch(_) | Self::CorruptBatch(_) | Self::TooLarge(_) => Some("payload"),
            Self::UnknownPartition { .. } => Some("partition"),
            Self::OffsetOutOfRange { .. } => Some("position"),
            Self::UnknownTopic { .. }
            | Self::AnotherTopic { .. }
            | Self::TopicGone { .. }
            | Self::TopicExists { .. }
            | Self::OutOfOrderSequence { .. }
            | Self::ProducerFenced { .. }
            | Self::SequenceTooOld
            | Self::UnissuedProducerId
            | Self::UnknownProducerId
            | Self::Unavailable(_)
            | Self::OutcomeUnknown(_)
            | Self::MaybePartly(_)
            | Self::StoredDataCorrupt(_) => None,
        }
    }

    /// A field that is missing, out of range or malformed.
    pub fn invalid(field: &'static str, why: impl Into<String>) -> Self {
        Self::InvalidArgument { field, why: why.into() }
    }

    /// As an answer of a produce stream.
    pub fn into_produce_error(self) -> ProduceError {
        ProduceError {
            reason: self.wire().0.into(),
            message: self.to_string(),
            outcome_unknown: self.is_outcome_unknown(),
            retriable: self.is_retriable(),
            retry_after_ms: self.retry_delay().map(|delay| u32::try_from(delay.as_millis()).unwrap_or(u32::MAX)),
            field: self.field().unwrap_or_default().to_owned(),
        }
    }

    /// As the end of one partition of a fetch stream.
    pub fn to_fetch_error(&self) -> FetchError {
        FetchError { reason: self.wire().0.into(), message: self.to_string(), retriable: self.is_retriable() }
    }

    /// What the sequencer said of a batch.
    pub fn of_batch(reason: RefusalReason, topic: &str) -> Self {
        match reason {
            RefusalReason::UnknownPartition => Self::TopicGone { topic: topic.to_owned() },
            RefusalReason::OutOfOrderSequence { expected } => Self::OutOfOrderSequence { expected },
            RefusalReason::ProducerFenced { current } => Self::ProducerFenced { current },
            RefusalReason::SequenceTooOld => Self::SequenceTooOld,
            RefusalReason::UnissuedProducerId => Self::UnissuedProducerId,
            RefusalReason::UnknownProducerId => Self::UnknownProducerId,
        }
    }

    /// A failure to change a topic.
    pub fn of_topic(error: TopicError, topic: &str) -> Self {
        match error {
            TopicError::UnknownTopic => Self::UnknownTopic { topic: topic.to_owned() },
            TopicError::Sequencer(error) => error.into(),
        }
    }

    /// A failed question, which changes nothing.
    pub fn of_read(error: SequencerError) -> Self {
        Self::Unavailable(error.to_string())
    }

    /// A failure to look a topic up.
    pub fn of_lookup(error: TopicError, topic: &str) -> Self {
        match error {
            TopicError::UnknownTopic => Self::UnknownTopic { topic: topic.to_owned() },
            TopicError::Sequencer(error) => Self::of_read(error),
        }
    }

    /// A failure to create a topic.
    pub fn of_creation(error: CreateTopicError, topic: &str) -> Self {
        match error {
            CreateTopicError::Exists => Self::TopicExists { topic: topic.to_owned() },
            CreateTopicError::InvalidName(why) => Self::InvalidTopicName { field: "name", why },
            CreateTopicError::InvalidPartitions(why) => Self::invalid("partitions", why),
            CreateTopicError::Sequencer(error) => error.into(),
        }
    }
}

/// Checks a name that came from outside, before anything is done with it: it may be as long as a message, and a refusal
/// that says it again must fit into the headers of an answer.
pub(crate) fn check_topic_name(field: &'static str, name: &str) -> Result<(), Refusal> {
    validate_topic_name(name).map_err(|error| Refusal::InvalidTopicName { field, why: error.to_string() })
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let info = ErrorInfo {
            reason: refusal.name().to_owned(),
            domain: ERROR_DOMAIN.to_owned(),
            metadata: refusal.metadata().into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        };
        let mut details: Vec<ErrorDetail> = vec![info.into()];
        if let Some(delay) = refusal.retry_delay() {
            details.push(RetryInfo::new(Some(delay)).into());
        }
        if let Some(field) = refusal.field() {
            details.push(BadRequest::with_violation(field, refusal.to_string()).into());
        }
        Status::with_error_details_vec(refusal.wire().1, refusal.to_string(), details)
    }
}

impl From<SequencerError> for Refusal {
    fn from(error: SequencerError) -> Self {
        match error {
            SequencerError::Unavailable(_) => Self::Unavailable(error.to_string()),
            SequencerError::OutcomeUnknown(_) => Self::OutcomeUnknown(error.to_string()),
        }
    }
}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Invalid(_) => Self::InvalidBatch(error.to_string()),
            BatchError::Corrupt { .. } => Self::CorruptBatch(error.to_string()),
            BatchError::TooLarge { .. } => Self::TooLarge(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
