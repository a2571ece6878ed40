//! Kind 1: facts about the shard, by name.
//!
//! key: slot 0, name (ASCII, to the end)
//! value v1: type byte (1 number, 2 text), then a varint or a text

use bytes::Bytes;

use super::{RowKind, SHARD_SLOT, read_shard_row};
use crate::codec::{Reader, RowError, Writer};

/// The kind; see [`MetaName`] for what there is.
#[derive(Debug)]
pub enum Meta {}

/// The names. Never changed or reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetaName {
    /// Text: the bucket's cluster id, so that rows copied into another bucket are noticed.
    ClusterId,
    /// Number: version of the rows as a whole; a program refuses one that it does not know.
    Format,
    /// Number: the next incarnation to give to a gateway.
    NextIncarnation,
    /// Number: the first producer id that no block has taken.
    NextProducerId,
    /// Number: the next topic number.
    NextTopicNumber,
    /// Number: below it, the state of a producer may have been forgotten; from it on, none has been.
    ProducersForgottenBelow,
    /// Number: E, the upload epoch for new objects.
    UploadEpoch,
    /// Number: F, the floor; commits of objects below it are refused unless their record exists.
    UploadFloor,
}

impl MetaName {
    /// Every name, in the order of the keys.
    pub const ALL: [MetaName; 8] = [
        Self::ClusterId,
        Self::Format,
        Self::NextIncarnation,
        Self::NextProducerId,
        Self::NextTopicNumber,
        Self::ProducersForgottenBelow,
        Self::UploadEpoch,
        Self::UploadFloor,
    ];

    /// As it stands in the key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterId => "cluster-id",
            Self::Format => "format",
            Self::NextIncarnation => "next-incarnation",
            Self::NextProducerId => "next-producer-id",
            Self::NextTopicNumber => "next-topic-number",
            Self::ProducersForgottenBelow => "producers-forgotten-below",
            Self::UploadEpoch => "upload-epoch",
            Self::UploadFloor => "upload-floor",
        }
    }
}

/// The value of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetaValue {
    /// A number.
    Number(u64),
    /// Text.
    Text(String),
}

impl MetaValue {
    /// The number, if it is one.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

impl RowKind for Meta {
    const KIND: u8 = 1;
    type Key = MetaName;
    type Value = MetaValue;

    fn encode_key(key: &MetaName) -> Bytes {
        Writer::key(Self::KIND, SHARD_SLOT).raw(key.as_str().as_bytes()).finish()
    }

    fn decode_key(bytes: &[u8]) -> Result<MetaName, RowError> {
        let mut reader = read_shard_row(bytes, Self::KIND)?;
        let name = reader.take(reader.remaining())?;
        MetaName::ALL.into_iter().find(|known| known.as_str().as_bytes() == name).ok_or(RowError::OutOfRange("name"))
    }

    fn encode_value(_: &MetaName, value: &MetaValue) -> Bytes {
        match value {
            MetaValue::Number(number) => Writer::value(1).u8(1).varint(*number).finish(),
            MetaValue::Text(text) => Writer::value(1).u8(2).text(text).finish(),
        }
    }

    fn decode_value(_: &MetaName, bytes: &[u8]) -> Result<MetaValue, RowError> {
        let mut reader = Reader::value(bytes)?;
        let value = match reader.u8()? {
            1 => MetaValue::Number(reader.varint()?),
            2 => MetaValue::Text(reader.text("text")?),
            _ => return Err(RowError::OutOfRange("type")),
        };
        reader.end()?;
        Ok(value)
    }
}
