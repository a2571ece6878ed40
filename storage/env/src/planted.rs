//! Known bugs that the simulation switches on to prove that its judge finds them.

/// One planted bug. Compiled to nothing unless the feature `planted-bugs` is on, which only the simulation turns on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlantedBug {
    /// The gateway commits an object whose PUT has not ended.
    AckBeforePut,
    /// The sequencer answers a commit before its flush.
    AckBeforeFlush,
    /// A duplicate of a tentative batch is answered before the flush of the first one.
    DuplicateFromTentative,
    /// The duplicate check looks at the first batch of a run only.
    WholeRunDuplicateCheck,
    /// The upload epoch floor is checked before the commit record is looked up.
    FloorBeforeRecord,
    /// A fenced flush is reported as a definite failure.
    FencedIsFailure,
    /// After a reconnect unanswered commits are sent again in the wrong order.
    ResendOutOfOrder,
    /// Producer state is not rebuilt after a restart.
    ProducerStateLost,
    /// A batch of an older producer epoch is accepted.
    OldEpochAccepted,
    /// The high watermark is published before the flush.
    WatermarkBeforeFlush,
    /// The holder answers without asking whether its claim still stands.
    AuthoritySkipped,
    /// After a failed flush the next base offset is taken from the durable tail of the abandoned store.
    OffsetReused,
    /// The page cache mixes up two objects.
    StaleCachePage,
    /// A read that came back short is served as it is.
    TruncatedRead,
    /// A flush of metadata is done when its own object of the log is there, whatever becomes of earlier ones.
    FlushOutOfOrder,
    /// A new writer of the log goes on right behind its fence, where objects of the writer before it may lie.
    FenceTooShort,
    /// A create that meets an object takes it for its own, whoever made it.
    RivalTakenForOwn,
    /// A PUT of the layer before the bucket that was given up counts as done.
    TimeoutIsSuccess,
    /// Inline runs are made visible before they are durable: their bytes are in memory, after all.
    InlineServedTentative,
    /// Inline runs are joined across what lies between them, and swapped without a look at what they are now.
    SwapWithoutCheck,
    /// The index refers to an object of inline runs whose PUT has not ended.
    SwapBeforePut,
    /// A request that is numbered per topic and was appended before is appended again.
    WindowForgotten,
    /// A producer whose state was forgotten begins anew, with what it sent long ago.
    ExpiredStateAccepted,
    /// Whoever makes a producer id up may write under it.
    UnissuedIdAccepted,
    /// What a gateway commits first in a term is taken for new, though it may have been committed in the one before.
    ResentTakenForNew,
}

impl PlantedBug {
    /// Every planted bug, in the order of the table in `docs/testing.md`.
    pub const ALL: [PlantedBug; 25] = [
        Self::AckBeforePut,
        Self::AckBeforeFlush,
        Self::DuplicateFromTentative,
        Self::WholeRunDuplicateCheck,
        Self::FloorBeforeRecord,
        Self::FencedIsFailure,
        Self::ResendOutOfOrder,
        Self::ProducerStateLost,
        Self::OldEpochAccepted,
        Self::WatermarkBeforeFlush,
        Self::AuthoritySkipped,
        Self::OffsetReused,
        Self::StaleCachePage,
        Self::TruncatedRead,
        Self::FlushOutOfOrder,
        Self::FenceTooShort,
        Self::RivalTakenForOwn,
        Self::TimeoutIsSuccess,
        Self::InlineServedTentative,
        Self::SwapWithoutCheck,
        Self::SwapBeforePut,
        Self::WindowForgotten,
        Self::ExpiredStateAccepted,
        Self::UnissuedIdAccepted,
        Self::ResentTakenForNew,
    ];
}
