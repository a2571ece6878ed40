//! The commit of a WAL object: judged batch by batch.

use bytes::Bytes;
use eagre_model::{ObjectId, ProducerEpoch, ProducerId, TopicPartition, UploadEpoch};
use tokio::sync::mpsc;

/// The most bytes that may travel inside a commit.
pub const INLINE_BYTES_MAX: usize = 1 << 20;

/// Asks to judge the batches of one object and to give offsets to those that are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRequest {
    /// The object. Its PUT is done, or there is none and its bytes are here. Never reused, so that a repetition is known
    /// by it.
    pub object: ObjectId,
    /// Length of the whole object; of inline bytes.
    pub object_length_bytes: u64,
    /// One a partition, in the order of their bytes.
    pub runs: Vec<CommitRun>,
    /// The trace of the commit, as W3C's header has it. Never part of what is judged or remembered.
    pub traceparent: Option<String>,
    /// The batches of all runs and nothing else, at most [`INLINE_BYTES_MAX`]: the sequencer stores them, and there is no
    /// object. `None`: they are in the object.
    pub inline: Option<Bytes>,
    /// The gateway will never again ask for the commit of its objects with a lower number: each of them was answered, or
    /// never asked for.
    pub settled_below: u64,
}

/// Consecutive batches of one partition in the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRun {
    /// Whose they are.
    pub partition: TopicPartition,
    /// First byte in the object; the batches follow each other without a gap.
    pub position_bytes: u64,
    /// In the order in which they are to be appended. Never empty.
    pub batches: Vec<CommitBatch>,
}

/// What the sequencer needs to know of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitBatch {
    /// Bytes of the whole batch.
    pub length_bytes: u32,
    /// Records, at least 1; the batch takes so many offsets.
    pub record_count: u32,
    /// CRC-32C of all its bytes as stored. The sequencer combines them to the CRC of a run.
    pub crc32c: u32,
    /// Milliseconds since the epoch.
    pub max_timestamp_ms: i64,
    /// As in the batch's header.
    pub attributes: i16,
    /// `None`: not idempotent.
    pub producer: Option<ProducerSequence>,
    /// The batch holds a part of a request that is numbered per topic: the sequence is that of the request's first record.
    /// `None`: it is numbered per partition, or not at all.
    pub part: Option<PartOf>,
}

/// A request that is numbered per topic. Its parts, one a partition, come in one commit and are judged together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartOf {
    /// Tells the requests of one commit apart; a lower one was taken before.
    pub number: u32,
    /// Records of all parts together.
    pub records: u32,
    /// The version of the partition map by which they were placed.
    pub partition_map_version: u64,
}

/// A batch's place in its producer's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerSequence {
    /// The producer.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Sequence of the batch's first record; counts modulo 2^31.
    pub first_sequence: i32,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchOutcome {
    /// It is in the log.
    Appended {
        /// Offset of its first record.
        base_offset: i64,
    },
    /// It was in the log already.
    Duplicate {
        /// Offset of its first record.
        base_offset: i64,
    },
    /// Its request was in the log already, by another partition map, or so long ago that only this is remembered.
    DuplicateElsewhere,
    /// It is not in the log, and this attempt never will be.
    Refused(RefusalReason),
}

/// Why a batch was not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// The partition does not exist (any more).
    UnknownPartition,
    /// Batches before it are missing.
    OutOfOrderSequence {
        /// The sequence that would have been accepted.
        expected: i32,
    },
    /// A newer epoch has written to the partition.
    ProducerFenced {
        /// That epoch.
        current: ProducerEpoch,
    },
    /// The sequence lies before the remembered window: whether it was appended before is not known any more.
    SequenceTooOld,
    /// The producer id was never given out.
    UnissuedProducerId,
    /// Nothing is known of the producer there, and what was known may have been forgotten: this attempt is not appended,
    /// and whether one before it was is not known any more.
    UnknownProducerId,
}

/// Outcomes of one object's batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitAnswer {
    /// One a batch: in the order of the runs, then of their batches.
    pub outcomes: Vec<BatchOutcome>,
}

/// Why nothing of an object was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitFailure {
    /// Definite. The object's upload epoch is below the floor: upload the batches again under a new object id.
    #[error("the upload epoch of the object is below the floor; the present one is {}", .upload_epoch.0)]
    EpochBelowFloor {
        /// The epoch to use from now on.
        upload_epoch: UploadEpoch,
    },
    /// Definite. The same object id came with other batches: a bug of the gateway.
    #[error("the object id was committed before with other batches")]
    Mismatch,
}

/// The answer to one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitReply {
    /// Which object.
    pub object: ObjectId,
    /// Its outcome.
    pub result: Result<CommitAnswer, CommitFailure>,
    /// A hint: whether bytes may come inside of commits for now. What comes inline all the same is judged like any other.
    pub takes_inline: bool,
}

/// The ordered commit stream of one gateway incarnation. Replies come in the order of the requests. When either side is
/// closed, whatever is unanswered has an unknown outcome.
#[derive(Debug)]
pub struct CommitStream {
    /// Bounded: sending waits while the sequencer is busy.
    pub requests: mpsc::Sender<CommitRequest>,
    /// Bounded.
    pub replies: mpsc::Receiver<CommitReply>,
}
