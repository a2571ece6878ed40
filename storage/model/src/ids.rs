//! Ids and numbers. What is persisted of them is never changed or reused.

use std::fmt;

/// A metadata shard: a slice of topics with its own SlateDB and sequencer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u32);

impl ShardId {
    /// The only shard there is today.
    pub const FIRST: ShardId = ShardId(0);
}

/// Number of a topic, given once and never again, even when the topic is deleted and its name reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicNumber(pub u64);

/// A partition of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicNumber,
    /// From 0.
    pub partition: u32,
}

/// A producer, as the service numbered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId(pub i64);

/// Epoch of a producer: a higher one fences off the lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerEpoch(pub i16);

/// Epoch of uploads; see "Upload epochs" in `docs/ARCHITECTURE.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadEpoch(pub u64);

/// A WAL object. Never reused: the incarnation is new for every start of a gateway, the number counts its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// The upload epoch known when the object was opened.
    pub epoch: UploadEpoch,
    /// The gateway's incarnation.
    pub incarnation: u64,
    /// From 0, per incarnation.
    pub number: u64,
}

impl ObjectId {
    /// The object's key in the bucket, below the bucket's prefix.
    pub fn key(&self) -> String {
        format!("wal/{:020}/{:020}-{:020}", self.epoch.0, self.incarnation, self.number)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}-{}", self.epoch.0, self.incarnation, self.number)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic.0, self.partition)
    }
}
