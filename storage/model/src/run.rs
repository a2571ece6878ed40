//! What the index says of stored bytes, and what a topic's record says.

use crate::{ObjectId, TopicNumber};

/// Where the bytes of a run are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// In the WAL object that the run names.
    Wal,
    /// In the metadata, beside the run. The object that it names is the one by which they were committed; nothing is
    /// stored at its key.
    Inline,
}

/// Consecutive accepted batches of one partition inside one object: the unit of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// Whether there is an object with the bytes.
    pub kind: RunKind,
    /// The object that they are in, or were to be in.
    pub object: ObjectId,
    /// First byte in the object.
    pub position_bytes: u64,
    /// Bytes of all batches.
    pub length_bytes: u32,
    /// Number of batches.
    pub batches: u32,
    /// CRC-32C of the bytes as stored.
    pub crc32c: u32,
    /// The highest record timestamp of this run and all before it in the partition, milliseconds since the epoch.
    pub prefix_max_timestamp_ms: i64,
}

impl Run {
    /// The offset after the last one.
    pub fn next_offset(&self) -> i64 {
        self.last_offset + 1
    }
}

/// The keys whose hash h satisfies h mod modulus = remainder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResidueClass {
    /// Below the modulus.
    pub remainder: u32,
    /// A power of two.
    pub modulus: u32,
}

/// How a topic's keys find their partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// The partition count was given: murmur2 mod count, as Kafka.
    Fixed {
        /// How many partitions.
        partitions: u32,
    },
    /// The topic is elastic: partition p owns `classes[p]`.
    Elastic {
        /// One class a partition; together they cover every hash once.
        classes: Vec<ResidueClass>,
    },
}

impl Placement {
    /// The number of partitions.
    pub fn partitions(&self) -> u32 {
        match self {
            Self::Fixed { partitions } => *partitions,
            Self::Elastic { classes } => u32::try_from(classes.len()).unwrap_or(u32::MAX),
        }
    }
}

/// A topic's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRecord {
    /// Never reused.
    pub number: TopicNumber,
    /// A valid topic name.
    pub name: String,
    /// A random id, unlike that of any other topic.
    pub id: u128,
    /// Milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Fixed or elastic.
    pub placement: Placement,
    /// Grows with every change of the partitions or their classes.
    pub partition_map_version: u64,
    /// What was asked for when it was made.
    pub config: TopicConfig,
}

/// What may be set of a topic. What is left out is the service's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicConfig {
    /// The largest record batch that it takes, in bytes as they are sent: Kafka's `max.message.bytes`.
    pub max_message_bytes: Option<u32>,
}
