//! What the judge says.

use std::fmt;

use crate::{Moment, Partition};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub kind: ViolationKind,
    /// Where.
    pub partition: Partition,
    /// When it showed.
    pub at: Moment,
    /// What was seen, with values, offsets and times.
    pub sentence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in partition {} at {}: {}", self.kind, self.partition, self.at, self.sentence)
    }
}

/// The promises that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ViolationKind {
    /// Two values were seen at one offset.
    InconsistentOffset,
    /// An acked offset holds another value than the acked one.
    OffsetUntrue,
    /// One value stands at two offsets.
    Duplicate,
    /// A read returned bytes that nobody sent.
    CorruptRecord,
    /// A reader was told that stored bytes are damaged.
    Unreadable,
    /// An acked record below the end of the log was never read.
    LostWrite,
    /// An acked record lies beyond the end of the log.
    Unseen,
    /// A record that was read before is not in the log any more.
    Vanished,
    /// A record became visible whose every send had failed for certain.
    AbortedRead,
    /// The whole log, read at the end, has a hole or overlaps itself.
    OffsetGap,
    /// A reader that went on from where it was left something out.
    PollSkip,
    /// A reader that went on from where it was saw something again.
    PollNonmonotonic,
    /// Of two records that one producer sent one after the other the later one stands first.
    SendNonmonotonic,
    /// The end of a log was stated below a record that had been acked or read before.
    StaleEnd,
    /// The end of a log was stated below what had been stated before.
    EndWentBack,
    /// A gateway showed a lower high watermark than before.
    WatermarkWentBack,
    /// A reader got a record that lies above the high watermark that came with it.
    ReadAboveWatermark,
    /// The order of offsets contradicts the order in which the operations happened.
    NotLinearizable,
    /// One sequence of one producer was acked at two offsets.
    IdempotenceBroken,
    /// A producer's batches stand in the log with a gap between their sequences.
    SequenceGap,
    /// A producer's batches stand in the log out of the order of their sequences, or one twice.
    SequenceDisorder,
    /// A batch of an older producer epoch stands behind one of a newer epoch.
    OldEpochAppended,
    /// A batch of an older producer epoch was acked after a newer epoch had been.
    ZombieAcked,
    /// A batch was appended under a producer id that nobody was given.
    MadeUpIdAccepted,
    /// The index does not tile the log.
    IndexNotTiled,
    /// The index refers to bytes that are not there or not what they were.
    IndexDangling,
}
