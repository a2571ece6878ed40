//! Kind 20: the bytes of an inline object, the batches of one commit, while they are in no object of the bucket. It is there as long as
//! one of its runs is inline.
//!
//! key: slot 0, upload epoch u64, incarnation u64, number u64: the id of the object that it is instead of
//! value v1: count of runs, then of each: topic number, partition, last offset; length of the bytes, then these, in which
//!   the positions of runs count

use bytes::Bytes;
use eagre_model::{ObjectId, TopicNumber, TopicPartition};

use super::{RowKind, RunKey, object};
use crate::codec::{Reader, RowError, Writer};

/// A run takes three bytes or more.
const RUN_BYTES_MIN: usize = 3;

/// An inline object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineObject {
    /// The rows of its runs, of kind 6. Some may be in another object by now.
    pub runs: Vec<RunKey>,
    /// All batches as they came, those that were refused too. They end the value, see [`Changes::put_shared`](crate::Changes::put_shared).
    pub bytes: Bytes,
}

impl InlineObject {
    fn read(bytes: &[u8]) -> Result<(Vec<RunKey>, usize), RowError> {
        let mut reader = Reader::value(bytes)?;
        let count = reader.count(RUN_BYTES_MIN)?;
        let mut runs = Vec::with_capacity(count);
        for _ in 0..count {
            let topic = TopicNumber(reader.varint()?);
            let partition = TopicPartition { topic, partition: reader.u32_varint("partition")? };
            runs.push(RunKey { partition, last_offset: reader.natural_varint("last offset")? });
        }
        let length = reader.count(1)?;
        reader.take(length)?;
        reader.end()?;
        Ok((runs, length))
    }
}

impl RowKind for InlineObject {
    const KIND: u8 = 20;
    type Key = ObjectId;
    type Value = Self;

    fn encode_key(key: &ObjectId) -> Bytes {
        object::encode_key(Self::KIND, key)
    }

    fn decode_key(bytes: &[u8]) -> Result<ObjectId, RowError> {
        object::decode_key(bytes, Self::KIND)
    }

    fn encode_value(_: &ObjectId, value: &Self) -> Bytes {
        let mut writer = Writer::value_of(1, value.bytes.len() + 16 * value.runs.len() + 12);
        writer.varint(value.runs.len() as u64);
        for RunKey { partition, last_offset } in &value.runs {
            writer.varint(partition.topic.0).varint(u64::from(partition.partition)).natural_varint(*last_offset);
        }
        writer.varint(value.bytes.len() as u64).raw(&value.bytes).finish()
    }

    fn decode_value(key: &ObjectId, bytes: &[u8]) -> Result<Self, RowError> {
        Self::decode_shared(key, &Bytes::copy_from_slice(bytes))
    }

    fn decode_shared(_: &ObjectId, value: &Bytes) -> Result<Self, RowError> {
        let (runs, length) = Self::read(value)?;
        Ok(Self { runs, bytes: value.slice(value.len() - length..) })
    }
}
