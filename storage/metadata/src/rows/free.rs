//! Kind 9: what a deleted topic leaves to be freed. The rows of its partitions and the bytes that they refer to go in
//! bounded steps; the row goes last.
//!
//! key: slot, topic number u64
//! value v1: signed time of the deletion ms, partitions, size in bytes

use bytes::Bytes;
use eagre_model::TopicNumber;

use super::{RowKind, read_topic, topic_key};
use crate::codec::{Reader, RowError, Writer};

/// A deleted topic that still holds space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// Milliseconds since the epoch.
    pub deleted_at_ms: i64,
    /// Partitions 0..n whose rows are to go.
    pub partitions: u32,
    /// Bytes of all their batches.
    pub size_bytes: u64,
}

impl RowKind for Free {
    const KIND: u8 = 9;
    type Key = TopicNumber;
    type Value = Self;

    fn encode_key(key: &TopicNumber) -> Bytes {
        topic_key(Self::KIND, *key).finish()
    }

    fn decode_key(bytes: &[u8]) -> Result<TopicNumber, RowError> {
        let (reader, topic) = read_topic(bytes, Self::KIND)?;
        reader.end()?;
        Ok(topic)
    }

    fn encode_value(_: &TopicNumber, value: &Self) -> Bytes {
        Writer::value(1)
            .signed(value.deleted_at_ms)
            .varint(u64::from(value.partitions))
            .varint(value.size_bytes)
            .finish()
    }

    fn decode_value(_: &TopicNumber, bytes: &[u8]) -> Result<Self, RowError> {
        let mut reader = Reader::value(bytes)?;
        let deleted_at_ms = reader.signed()?;
        let partitions = reader.u32_varint("partitions")?;
        let size_bytes = reader.varint()?;
        reader.end()?;
        Ok(Self { deleted_at_ms, partitions, size_bytes })
    }
}
