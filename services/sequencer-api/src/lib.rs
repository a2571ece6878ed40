//! The contract between gateways and the sequencer of a metadata shard: one trait, its requests and answers, and its
//! transport over gRPC.
//!
//! Two implementations: [`Sequencer`] of the crate `eagre-sequencer`, called in process, and [`remote::RemoteSequencer`],
//! which speaks `eagre.internal.v1` to [`server::SequencerServer`]. [`conformance`] holds both to the same behaviour.

mod check;
mod commit;
pub mod conformance;
mod error;
mod index;
mod ping;
pub mod remote;
pub mod server;
mod wire;

pub use check::RequestFault;
pub use commit::{
    BatchOutcome, CommitAnswer, CommitBatch, CommitFailure, CommitReply, CommitRequest, CommitRun, CommitStream,
    INLINE_BYTES_MAX, PartOf, ProducerSequence, RefusalReason,
};
pub use error::{CreateTopicError, SequencerError, TopicError};
pub use index::{Joined, PartitionBounds, Tail, TailUpdate, TailUpdates};
pub use ping::{Peers, PingAnswer, Pinged};
pub use wire::parsers;

use async_trait::async_trait;
use bytes::Bytes;
use eagre_model::{ProducerId, Run, TopicConfig, TopicPartition, TopicRecord};

/// An answer with the bytes of inline runs holds no more than this, but for its first run.
pub const INLINE_READ_BYTES_MAX: usize = 1 << 20;
/// So many inline runs may be asked for at a time.
pub const INLINE_READ_RUNS_MAX: usize = 1_000;

/// What a gateway asks of a metadata shard. In process and over gRPC.
///
/// Every answer is *durable*: it never shows what a crash could take back. Every answer about the present (bounds,
/// topics) is linearizable: the holder proves its claim before it gives one.
#[async_trait]
pub trait Sequencer: Send + Sync {
    /// Registers a gateway and gives it an incarnation that nobody had or will have.
    async fn join(&self) -> Result<Joined, SequencerError>;

    /// Opens the ordered commit stream of an incarnation. The stream ends when the sequencer does; every commit that is
    /// not answered by then has an unknown outcome and is to be sent again, in order, on the next stream.
    async fn open_commits(&self, incarnation: u64) -> Result<CommitStream, SequencerError>;

    /// Tails of all partitions: a snapshot, then deltas. It ends when the reader falls behind or the sequencer stops;
    /// then subscribe anew.
    async fn subscribe(&self) -> Result<TailUpdates, SequencerError>;

    /// Bounds in the order of the request; `None` where there is no such partition.
    async fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<PartitionBounds>>, SequencerError>;

    /// Up to `max_rows` index rows in offset order, beginning with the one that covers `offset`. Empty when `offset` is
    /// at or above the high watermark or the partition does not exist.
    async fn read_index(
        &self,
        partition: TopicPartition,
        offset: i64,
        max_rows: usize,
    ) -> Result<Vec<Run>, SequencerError>;

    /// The bytes of inline runs, each named by its last offset; in the order of the question. `None`: there is no such
    /// inline run (any more); ask the index again. The answer ends early, but not without an element, at
    /// [`INLINE_READ_BYTES_MAX`].
    async fn read_inline(
        &self,
        partition: TopicPartition,
        last_offsets: &[i64],
    ) -> Result<Vec<Option<Bytes>>, SequencerError>;

    /// The first run whose records reach `timestamp_ms` or later, if there is one.
    async fn find_by_time(&self, partition: TopicPartition, timestamp_ms: i64) -> Result<Option<Run>, SequencerError>;

    /// Creates a topic, elastic when `partitions` is left out.
    async fn create_topic_with(
        &self,
        name: &str,
        partitions: Option<u32>,
        config: TopicConfig,
    ) -> Result<TopicRecord, CreateTopicError>;

    /// The same with nothing set.
    async fn create_topic(&self, name: &str, partitions: Option<u32>) -> Result<TopicRecord, CreateTopicError> {
        self.create_topic_with(name, partitions, TopicConfig::default()).await
    }

    /// Deletes a topic; it is gone when the answer comes.
    async fn delete_topic(&self, name: &str) -> Result<(), TopicError>;

    /// The record of a live topic.
    async fn topic(&self, name: &str) -> Result<TopicRecord, TopicError>;

    /// Up to `max` live topics whose names come after `after`, in the order of their names.
    async fn topics(&self, after: &str, max: usize) -> Result<Vec<TopicRecord>, SequencerError>;

    /// A producer id that nobody had or will have; its epoch is 0.
    async fn init_producer(&self) -> Result<ProducerId, SequencerError>;
}
