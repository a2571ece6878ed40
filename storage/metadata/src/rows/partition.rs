//! Kind 4: what rarely changes of a partition. Its residue class stands in the topic's record.
//!
//! key: slot, topic number u64, partition u32
//! value v1: log start offset

use bytes::Bytes;
use eagre_model::TopicPartition;

use super::{RowKind, partition_key, read_partition};
use crate::codec::{Reader, RowError, Writer};

/// A partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// The first offset that can be read.
    pub log_start_offset: i64,
}

impl RowKind for Partition {
    const KIND: u8 = 4;
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
        Writer::value(1).natural_varint(value.log_start_offset).finish()
    }

    fn decode_value(_: &TopicPartition, bytes: &[u8]) -> Result<Self, RowError> {
        let mut reader = Reader::value(bytes)?;
        let log_start_offset = reader.natural_varint("log start offset")?;
        reader.end()?;
        Ok(Self { log_start_offset })
    }
}
