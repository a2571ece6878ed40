//! What is stored: one file a row kind; its header is the data model.
//!
//! A key is the kind's number, a slot, then the fields big-endian, so that keys sort as their fields do. The slot of a
//! topic's rows is its number modulo 256; slots are what a later release gives to metadata shards. Rows of the shard
//! itself stand in slot 0. A value is a version byte, then fields; integers are LEB128 varints unless said otherwise,
//! signed ones zigzag. `docs/formats.md` has every field.
//!
//! Numbers of kinds and versions are never changed or reused; `docs/formats.md` lists those that are reserved.

mod free;
mod inline_bytes;
mod inline_head;
mod inline_object;
mod inline_record;
mod meta;
mod object;
mod partition;
mod producer;
mod run;
mod tail;
mod topic;
mod topic_name;
mod topic_producer;

pub use free::Free;
pub use inline_bytes::InlineBytes;
pub use inline_head::{InlineHead, ObjectStream};
pub use inline_object::InlineObject;
pub use inline_record::{INLINE_RECORDS, InlinePlace, InlineRecord};
pub use meta::{Meta, MetaName, MetaValue};
pub use object::{Object, Outcome, OutcomeMismatch, Outcomes};
pub use partition::Partition;
pub use producer::{Producer, ProducerKey, SequenceRange, WINDOW_BATCHES, next_sequence};
pub use run::{RunKey, RunRow};
pub use tail::Tail;
pub use topic::{Topic, TopicState};
pub use topic_name::TopicName;
pub use topic_producer::{
    NumberedRequest, RequestPart, TopicProducer, TopicProducerKey, WINDOW_PARTS, WINDOW_REQUESTS,
};

use bytes::Bytes;
use eagre_model::{TopicNumber, TopicPartition};

use crate::codec::{Reader, RowError, Writer};

/// Version of the rows as a whole, in the row [`MetaName::Format`]. 1: beside a log of SlateDB's own. 2: producers without
/// the time of their last append. 3: inline bytes beside each run.
pub const ROWS_FORMAT: u64 = 4;

/// The oldest version whose rows this one reads, or makes its own at the first start.
pub const ROWS_FORMAT_READ_MIN: u64 = 2;

/// A kind of row: its number, its key and its value.
pub trait RowKind {
    /// The first byte of every key. Never changed, never reused.
    const KIND: u8;
    /// Sorts as its bytes do.
    type Key: Send + Sync;
    /// What is stored under the key.
    type Value: Send + Sync;

    /// The whole key, kind and slot included.
    fn encode_key(key: &Self::Key) -> Bytes;
    /// The inverse. Never panics.
    fn decode_key(bytes: &[u8]) -> Result<Self::Key, RowError>;
    /// The value; what the key says already is left out.
    fn encode_value(key: &Self::Key, value: &Self::Value) -> Bytes;
    /// The inverse. Never panics.
    fn decode_value(key: &Self::Key, bytes: &[u8]) -> Result<Self::Value, RowError>;
    /// The same without a copy of what is large.
    fn decode_shared(key: &Self::Key, value: &Bytes) -> Result<Self::Value, RowError> {
        Self::decode_value(key, value)
    }
}

/// Slot of the rows that belong to the shard itself.
const SHARD_SLOT: u8 = 0;

/// Slot of a topic's rows.
fn slot(topic: TopicNumber) -> u8 {
    topic.0.to_be_bytes()[7]
}

fn topic_key(kind: u8, topic: TopicNumber) -> Writer {
    let mut writer = Writer::key(kind, slot(topic));
    writer.u64(topic.0);
    writer
}

fn partition_key(kind: u8, of: TopicPartition) -> Writer {
    let mut writer = topic_key(kind, of.topic);
    writer.u32(of.partition);
    writer
}

fn read_topic(bytes: &[u8], kind: u8) -> Result<(Reader<'_>, TopicNumber), RowError> {
    let (mut reader, found) = Reader::key(bytes, kind)?;
    let topic = TopicNumber(reader.u64()?);
    if found == slot(topic) { Ok((reader, topic)) } else { Err(RowError::ForeignKey) }
}

fn read_partition(bytes: &[u8], kind: u8) -> Result<(Reader<'_>, TopicPartition), RowError> {
    let (mut reader, topic) = read_topic(bytes, kind)?;
    let partition = reader.u32()?;
    Ok((reader, TopicPartition { topic, partition }))
}

fn read_shard_row(bytes: &[u8], kind: u8) -> Result<Reader<'_>, RowError> {
    let (reader, found) = Reader::key(bytes, kind)?;
    if found == SHARD_SLOT { Ok(reader) } else { Err(RowError::ForeignKey) }
}

#[cfg(test)]
mod tests;
