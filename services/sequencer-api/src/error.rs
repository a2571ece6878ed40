//! Why the sequencer gives no answer. The variants are the caller's decisions.

/// A failure of a call that decides nothing about a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SequencerError {
    /// This process does not hold the shard, or could not prove it in time. Nothing was done; ask again, after a pause.
    #[error("the sequencer is not available: {0}")]
    Unavailable(String),
    /// It is not known whether the change was made.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
}

/// A failure that concerns one topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// There is no live topic of that name.
    #[error("unknown topic")]
    UnknownTopic,
    /// See [`SequencerError`].
    #[error(transparent)]
    Sequencer(#[from] SequencerError),
}

/// A failure to create a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateTopicError {
    /// A live topic has that name.
    #[error("the topic exists")]
    Exists,
    /// Illegal or too long; says which rule was broken.
    #[error("{0}")]
    InvalidName(String),
    /// The partition count is 0 or over the limit; says which.
    #[error("{0}")]
    InvalidPartitions(String),
    /// See [`SequencerError`].
    #[error(transparent)]
    Sequencer(#[from] SequencerError),
}
