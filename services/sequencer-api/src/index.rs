//! Tails and bounds of partitions.

use eagre_model::{Run, TopicNumber, TopicPartition, UploadEpoch};
use tokio::sync::mpsc;

/// What a gateway gets when it joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Never given before, never given again.
    pub incarnation: u64,
    /// The epoch for new objects.
    pub upload_epoch: UploadEpoch,
    /// A UUID that the bucket got when it was made.
    pub cluster_id: String,
}

/// Durable bounds of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionBounds {
    /// The first offset that can be read.
    pub log_start_offset: i64,
    /// One above the last durable offset.
    pub high_watermark: i64,
    /// Bytes of the record batches.
    pub size_bytes: u64,
}

/// The durable tail of a partition, as pushed to gateways. A hint: it wakes readers and lets what lies below it be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Which partition.
    pub partition: TopicPartition,
    /// The first offset that can be read.
    pub log_start_offset: i64,
    /// One above the last durable offset.
    pub high_watermark: i64,
    /// The runs that this delta added, in offset order; empty in a snapshot.
    pub runs: Vec<Run>,
}

/// One message of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailUpdate {
    /// 0: the snapshot of all partitions. Then 1, 2, 3...: deltas.
    pub number: u64,
    /// Partitions that are new or changed.
    pub tails: Vec<Tail>,
    /// Topics that are gone.
    pub deleted_topics: Vec<TopicNumber>,
}

/// A subscription. Bounded: a reader that falls behind is cut off and subscribes anew.
pub type TailUpdates = mpsc::Receiver<std::sync::Arc<TailUpdate>>;
