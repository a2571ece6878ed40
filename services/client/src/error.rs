//! Why a call failed. The variants are the caller's decisions.

use std::error::Error as _;

use eagre_proto::v1::{ErrorReason, FetchError, ProduceError};
use tonic::Code;
use tonic_types::StatusExt;

/// A failure of a call about topics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// There is no such topic.
    #[error("topic {0:?} does not exist")]
    UnknownTopic(String),
    /// The name is taken.
    #[error("topic {0:?} exists already")]
    Exists(String),
    /// The name is not allowed; says which rule was broken.
    #[error("{0}")]
    InvalidName(String),
    /// What was asked for is not allowed, as the partition count; says which rule was broken.
    #[error("{0}")]
    Invalid(String),
    /// The service could not be reached or is not ready. Nothing was changed; try again later.
    #[error("{0}")]
    Unavailable(String),
    /// Whether the change was made is not known; describe the topic to find out.
    #[error("{0}")]
    OutcomeUnknown(String),
    /// The endpoint gave an answer that this client does not understand: it may be another service or version.
    #[error("{0}")]
    Protocol(String),
}

impl TopicError {
    /// Of a call that changes nothing: that its outcome is unknown means that there was no answer.
    pub(crate) fn of_question(self) -> Self {
        match self {
            Self::OutcomeUnknown(message) => Self::Unavailable(message),
            error => error,
        }
    }
}

/// Why a record was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Definitely not appended: there is no such topic (any more).
    #[error("topic {0:?} does not exist")]
    UnknownTopic(String),
    /// Definitely not appended: the topic has no such partition.
    #[error("topic {topic:?} has no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// What was asked for.
        partition: u32,
    },
    /// Definitely not appended: the record is over the limit, which the message names.
    #[error("{0}")]
    TooLarge(String),
    /// Definitely not appended, and never will be as it is; says why.
    #[error("{0}")]
    Refused(String),
    /// Definitely not appended: it could not be delivered before its time was over. Says what was in the way.
    #[error("not delivered in time: {0}")]
    Expired(String),
    /// It may have been appended, or may yet be.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
}

impl SendError {
    /// The record is not in the log and never will be. Otherwise that is not known.
    ///
    /// ```
    /// use eagre_client::SendError;
    ///
    /// let expired = SendError::Expired("the service was away".into());
    /// assert!(expired.is_definite(), "it can be sent again without becoming two");
    /// let unknown = SendError::OutcomeUnknown("the connection broke".into());
    /// assert!(!unknown.is_definite());
    /// ```
    pub fn is_definite(&self) -> bool {
        !matches!(self, Self::OutcomeUnknown(_))
    }
}

/// A failure to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no such topic (any more).
    #[error("topic {0:?} does not exist")]
    UnknownTopic(String),
    /// The topic was deleted and another one was made under its name; what was read so far belongs to the old one.
    #[error("topic {0:?} was deleted and created again")]
    TopicRecreated(String),
    /// The topic has no such partition.
    #[error("topic {topic:?} has no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// What was asked for.
        partition: u32,
    },
    /// The offset lies outside of what the partition holds.
    #[error("{message}")]
    OffsetOutOfRange {
        /// Names the partition and what it holds.
        message: String,
        /// The first offset that can be read.
        log_start_offset: i64,
        /// One above the last one.
        high_watermark: i64,
    },
    /// Stored or transmitted bytes are damaged.
    #[error("{0}")]
    Corrupt(String),
    /// The topic's name is not allowed; says which rule was broken.
    #[error("{0}")]
    InvalidName(String),
    /// The request is not valid; says why.
    #[error("{0}")]
    Invalid(String),
    /// The service could not be reached or is not ready; try again later.
    #[error("{0}")]
    Unavailable(String),
    /// The endpoint gave an answer that this client does not understand: it may be another service or version.
    #[error("{0}")]
    Protocol(String),
}

/// A failed call, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct CallFailure {
    pub kind: FailureKind,
    pub message: String,
    /// Log start and high watermark, where the answer carries them.
    pub range: Option<(i64, i64)>,
}

/// What a failed call lets the caller do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The service answered.
    Answered(ErrorReason),
    /// The request was never sent.
    Unreachable,
    /// The connection broke or the answer did not come: the outcome is unknown.
    Broken,
    /// A status without one of our reasons.
    Foreign,
}

impl CallFailure {
    pub fn broken(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Broken, message: message.into(), range: None }
    }

    /// One partition of a fetch stream has ended.
    pub fn of_partition(error: FetchError) -> Self {
        Self { kind: FailureKind::Answered(error.reason()), message: error.message, range: None }
    }

    /// Takes a status apart. `endpoint` is named where the message is about the connection.
    pub fn of_status(status: &tonic::Status, endpoint: &str) -> Self {
        if let Some(info) = status.get_details_error_info()
            && let Some(reason) = ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason))
        {
            let number = |name| info.metadata.get(name).and_then(|text| text.parse().ok());
            let range = number("log_start_offset").zip(number("high_watermark"));
            return Self { kind: FailureKind::Answered(reason), message: status.message().to_owned(), range };
        }
        let mut cause = status.source();
        let mut deepest = None;
        while let Some(error) = cause {
            if error.is::<tonic::ConnectError>() {
                let message = format!("cannot reach {endpoint}: {}", root_cause(error));
                return Self { kind: FailureKind::Unreachable, message, range: None };
            }
            deepest = Some(error.to_string());
            cause = error.source();
        }
        let detail = deepest.unwrap_or_else(|| status.message().to_owned());
        match status.code() {
            // A status without a reason is made by the transport, ours or a proxy's.
            Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled | Code::DeadlineExceeded => {
                Self::broken(format!("the connection to {endpoint} broke: {detail}"))
            }
            code => Self {
                kind: FailureKind::Foreign,
                message: format!("{endpoint} answered {:?}: {detail}", code),
                range: None,
            },
        }
    }

    /// The same failure, with what the service said to the attempt before: it knows more than a call that got no answer.
    /// `repeatable`: the call changes nothing, or as much when it is made twice.
    pub fn after(self, said: Option<&Self>, repeatable: bool) -> Self {
        match (self.kind, said) {
            (FailureKind::Broken, Some(said)) if repeatable => said.clone(),
            // This attempt may have done it: only its own outcome counts.
            (FailureKind::Broken, Some(said)) => {
                Self { message: format!("{}; tried again: {}", said.message, self.message), ..self }
            }
            _ => self,
        }
    }

    /// The same call may succeed when it is made again; `repeatable` when it does no harm to make it twice.
    pub fn is_worth_repeating(&self, repeatable: bool) -> bool {
        match self.kind {
            FailureKind::Unreachable | FailureKind::Answered(ErrorReason::Unavailable) => true,
            FailureKind::Broken | FailureKind::Answered(ErrorReason::OutcomeUnknown) => repeatable,
            FailureKind::Answered(_) | FailureKind::Foreign => false,
        }
    }

    pub fn into_topic_error(self, topic: &str) -> TopicError {
        match self.kind {
            FailureKind::Unreachable => TopicError::Unavailable(self.message),
            FailureKind::Broken => TopicError::OutcomeUnknown(self.message),
            FailureKind::Foreign => TopicError::Protocol(self.message),
            FailureKind::Answered(reason) => match reason {
                ErrorReason::UnknownTopic | ErrorReason::UnknownPartition => TopicError::UnknownTopic(topic.to_owned()),
                ErrorReason::TopicExists => TopicError::Exists(topic.to_owned()),
                ErrorReason::InvalidTopicName => TopicError::InvalidName(self.message),
                ErrorReason::InvalidArgument | ErrorReason::TooLarge => TopicError::Invalid(self.message),
                ErrorReason::Unavailable => TopicError::Unavailable(self.message),
                ErrorReason::OutcomeUnknown => TopicError::OutcomeUnknown(self.message),
                ErrorReason::Unspecified
                | ErrorReason::InvalidBatch
                | ErrorReason::CorruptBatch
                | ErrorReason::OffsetOutOfRange
                | ErrorReason::OutOfOrderSequence
                | ErrorReason::ProducerFenced
                | ErrorReason::SequenceTooOld
                | ErrorReason::StoredDataCorrupt
                | ErrorReason::UnissuedProducerId
                | ErrorReason::UnknownProducerId => TopicError::Protocol(self.message),
            },
        }
    }

    /// `topic` and `partition` are what the request was about, where it was about one.
    pub fn into_read_error(self, topic: &str, partition: Option<u32>) -> ReadError {
        match self.kind {
            FailureKind::Unreachable | FailureKind::Broken => ReadError::Unavailable(self.message),
            FailureKind::Foreign => ReadError::Protocol(self.message),
            FailureKind::Answered(reason) => match reason {
                ErrorReason::UnknownTopic => ReadError::UnknownTopic(topic.to_owned()),
                ErrorReason::UnknownPartition => match partition {
                    Some(partition) => ReadError::UnknownPartition { topic: topic.to_owned(), partition },
                    None => ReadError::Invalid(self.message),
                },
                ErrorReason::OffsetOutOfRange => match self.range {
                    Some((log_start_offset, high_watermark)) => {
                        ReadError::OffsetOutOfRange { message: self.message, log_start_offset, high_watermark }
                    }
                    None => ReadError::Protocol(self.message),
                },
                ErrorReason::StoredDataCorrupt => ReadError::Corrupt(self.message),
                ErrorReason::InvalidTopicName => ReadError::InvalidName(self.message),
                ErrorReason::InvalidArgument | ErrorReason::TooLarge => ReadError::Invalid(self.message),
                ErrorReason::Unavailable | ErrorReason::OutcomeUnknown => ReadError::Unavailable(self.message),
                ErrorReason::Unspecified
                | ErrorReason::InvalidBatch
                | ErrorReason::CorruptBatch
                | ErrorReason::TopicExists
                | ErrorReason::OutOfOrderSequence
                | ErrorReason::ProducerFenced
                | ErrorReason::SequenceTooOld
                | ErrorReason::UnissuedProducerId
                | ErrorReason::UnknownProducerId => ReadError::Protocol(self.message),
            },
        }
    }
}

/// What the answer to a batch means for its partition's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in the log.
    Appended { base_offset: i64 },
    /// Definite, and final.
    Refused(SendError),
    /// Definite: batches before it are missing.
    OutOfOrder(String),
    /// To be sent again.
    Again { maybe_appended: bool },
    /// Whether it was appended will never be known.
    Unknowable(String),
    /// This attempt was not appended. The service does not take the producer id here any more.
    ProducerForgotten(String),
}

impl Verdict {
    pub fn of_error(error: ProduceError, topic: &str, partition: u32) -> Self {
        let reason = error.reason();
        let message = error.message;
        match reason {
            // The gateway knew a topic that is gone, and has forgotten it: there may be another one of that name.
            ErrorReason::UnknownTopic if error.retriable => Self::Again { maybe_appended: false },
            ErrorReason::UnknownTopic => Self::Refused(SendError::UnknownTopic(topic.to_owned())),
            ErrorReason::UnknownPartition => {
                Self::Refused(SendError::UnknownPartition { topic: topic.to_owned(), partition })
            }
            ErrorReason::TooLarge => Self::Refused(SendError::TooLarge(message)),
            ErrorReason::OutOfOrderSequence => Self::OutOfOrder(message),
            ErrorReason::SequenceTooOld => Self::Unknowable(message),
            ErrorReason::UnissuedProducerId | ErrorReason::UnknownProducerId => Self::ProducerForgotten(message),
            ErrorReason::Unavailable | ErrorReason::OutcomeUnknown => {
                Self::Again { maybe_appended: error.outcome_unknown }
            }
            ErrorReason::Unspecified
            | ErrorReason::InvalidArgument
            | ErrorReason::InvalidBatch
            | ErrorReason::CorruptBatch
            | ErrorReason::TopicExists
            | ErrorReason::InvalidTopicName
            | ErrorReason::OffsetOutOfRange
            | ErrorReason::ProducerFenced
            | ErrorReason::StoredDataCorrupt => {
                // A reason of a later version: its flags say what to do.
                match (error.retriable, error.outcome_unknown) {
                    (true, maybe_appended) => Self::Again { maybe_appended },
                    (false, true) => Self::Unknowable(message),
                    (false, false) => Self::Refused(SendError::Refused(message)),
                }
            }
        }
    }
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(reason: ErrorReason, retriable: bool, outcome_unknown: bool) -> Verdict {
        let error = ProduceError {
            reason: reason.into(),
            message: "why".into(),
            outcome_unknown,
            retriable,
            ..Default::default()
        };
        Verdict::of_error(error, "orders", 7)
    }

    #[test]
    fn a_reason_of_a_later_version_is_decided_by_its_flags() {
        let later = |retriable, outcome_unknown| {
            let error =
                ProduceError { reason: 9_999, message: "new".into(), outcome_unknown, retriable, ..Default::default() };
            Verdict::of_error(error, "orders", 0)
        };
        assert_eq!(later(true, true), Verdict::Again { maybe_appended: true });
        assert_eq!(later(true, false), Verdict::Again { maybe_appended: false });
        assert_eq!(later(false, true), Verdict::Unknowable("new".into()));
        assert_eq!(later(false, false), Verdict::Refused(SendError::Refused("new".into())));
    }

    #[test]
    fn known_reasons_name_the_topic_and_partition() {
        assert_eq!(
            answer(ErrorReason::UnknownPartition, false, false),
            Verdict::Refused(SendError::UnknownPartition { topic: "orders".into(), partition: 7 })
        );
        assert_eq!(answer(ErrorReason::OutcomeUnknown, true, true), Verdict::Again { maybe_appended: true });
    }

    #[test]
    fn a_topic_that_is_gone_is_looked_up_again_where_the_answer_says_so() {
        assert_eq!(answer(ErrorReason::UnknownTopic, true, false), Verdict::Again { maybe_appended: false });
        let unknown = Verdict::Refused(SendError::UnknownTopic("orders".into()));
        assert_eq!(answer(ErrorReason::UnknownTopic, false, false), unknown);
    }

    #[test]
    fn a_status_with_a_reason_is_an_answer() {
        let mut details = tonic_types::ErrorDetails::new();
        let metadata = [("log_start_offset", "3"), ("high_watermark", "9")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        details.set_error_info("OFFSET_OUT_OF_RANGE", "eagre", metadata);
        let status = tonic::Status::with_error_details(Code::OutOfRange, "offset 12 is out of range", details);
        let error = CallFailure::of_status(&status, "http://here").into_read_error("orders", Some(0));
        let message = "offset 12 is out of range".to_owned();
        assert_eq!(error, ReadError::OffsetOutOfRange { message, log_start_offset: 3, high_watermark: 9 });
    }

    #[test]
    fn a_status_without_a_reason_is_not() {
        let unknown = CallFailure::of_status(&tonic::Status::unavailable("gone"), "http://here");
        assert_eq!(unknown.kind, FailureKind::Broken);
        assert!(!unknown.is_worth_repeating(false) && unknown.is_worth_repeating(true));
        let foreign = CallFailure::of_status(&tonic::Status::unimplemented("what?"), "http://here");
        assert_eq!(foreign.kind, FailureKind::Foreign);
    }

    #[test]
    fn what_the_service_said_outlives_an_attempt_without_an_answer() {
        let said = CallFailure {
            kind: FailureKind::Answered(ErrorReason::Unavailable),
            message: "the bucket does not serve".into(),
            range: None,
        };
        let broken = || CallFailure::broken("there did not answer for 0.3 s");
        let asked = broken().after(Some(&said), true);
        assert_eq!((asked.kind, asked.message.as_str()), (said.kind, "the bucket does not serve"));
        let changed = broken().after(Some(&said), false);
        assert_eq!(changed.kind, FailureKind::Broken, "it may have been done");
        assert!(changed.message.starts_with("the bucket does not serve; ") && changed.message.contains("0.3 s"));
        assert_eq!(broken().after(None, true).message, broken().message);
    }
}
