//! Kind 2: which topic has a name now. One row a live topic.
//!
//! key: slot 0, name (UTF-8, to the end); so one scan lists the topics in the order of their names
//! value v1: topic number

use bytes::Bytes;
use eagre_model::TopicNumber;

use super::{RowKind, SHARD_SLOT, read_shard_row};
use crate::codec::{Reader, RowError, Writer};

/// The kind.
#[derive(Debug)]
pub enum TopicName {}

impl RowKind for TopicName {
    const KIND: u8 = 2;
    type Key = String;
    type Value = TopicNumber;

    fn encode_key(key: &String) -> Bytes {
        Writer::key(Self::KIND, SHARD_SLOT).raw(key.as_bytes()).finish()
    }

    fn decode_key(bytes: &[u8]) -> Result<String, RowError> {
        let mut reader = read_shard_row(bytes, Self::KIND)?;
        let name = reader.take(reader.remaining())?;
        String::from_utf8(name.to_vec()).map_err(|_| RowError::OutOfRange("name"))
    }

    fn encode_value(_: &String, value: &TopicNumber) -> Bytes {
        Writer::value(1).varint(value.0).finish()
    }

    fn decode_value(_: &String, bytes: &[u8]) -> Result<TopicNumber, RowError> {
        let mut reader = Reader::value(bytes)?;
        let number = TopicNumber(reader.varint()?);
        reader.end()?;
        Ok(number)
    }
}
