//! Kind 5: where a partition's log ends. Written with every commit that appends to it; absent while it is empty.
//!
//! key: slot, topic number u64, partition u32
//! value v1: next offset, size in bytes, signed prefix-max timestamp ms

use bytes::Bytes;
use eagre_model::TopicPartition;

use super::{RowKind, partition_key, read_partition};
use crate::codec::{Reader, RowError, Writer};

/// The end of a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The offset that the next record gets.
    pub next_offset: i64,
    /// Bytes of all batches in the log.
    pub size_bytes: u64,
    /// The highest record timestamp so far, milliseconds since the epoch.
    pub prefix_max_timestamp_ms: i64,
}

impl Tail {
    /// A log without records; lower than every timestamp.
    pub const EMPTY: Tail = Tail { next_offset: 0, size_bytes: 0, prefix_max_timestamp_ms: i64::MIN };
}

impl RowKind for Tail {
    const KIND: u8 = 5;
    type Key = TopicPartition;
    type Value = Self;

    fn encode_key(key: &TopicPartition) -> Bytes {
        partition_key(Self::KIND, *key).finish()
    }

    fn decode_key(bytes: &[u8]) -> Result<TopicPartition, RowError> {
        let (reader, partition) = read_partition(bytes, Self::KIND)?;
        reader.end()?;
        Ok(partition)
    }

    fn encode_value(_: &TopicPartition, value: &Self) -> Bytes {
        Writer::value(1)
            .natural_varint(value.next_offset)
            .varint(value.size_bytes)
            .signed(value.prefix_max_timestamp_ms)
            .finish()
    }

    fn decode_value(_: &TopicPartition, bytes: &[u8]) -> Result<Self, RowError> {
        let mut reader = Reader::value(bytes)?;
        let next_offset = reader.natural_varint("next offset")?;
        let size_bytes = reader.varint()?;
        let prefix_max_timestamp_ms = reader.signed()?;
        reader.end()?;
        Ok(Self { next_offset, size_bytes, prefix_max_timestamp_ms })
    }
}
