//! Kind 22: the record of an inline commit. Such commits are many, and their records are of no use as soon as they are answered: so
//! those of one gateway stand in a ring, and a later one takes the place of an earlier one without a deletion.
//!
//! key: slot 0, upload epoch u64, incarnation u64, place u8: the number modulo 64
//! value v1: number, then the fields of kind 8

use bytes::Bytes;
use eagre_model::ObjectId;

use super::{Object, ObjectStream, RowKind, read_shard_row};
use crate::codec::{Reader, RowError, Writer};

/// A record in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineRecord {
    /// Of the commit.
    pub number: u64,
    /// Its record.
    pub record: Object,
}

/// Places of a ring. Part of the format.
pub const INLINE_RECORDS: u64 = 64;

/// A place in the ring of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InlinePlace {
    /// Whose ring.
    pub stream: ObjectStream,
    /// Below [`INLINE_RECORDS`].
    pub place: u8,
}

impl InlinePlace {
    /// Where the record of this commit stands.
    pub fn of(object: ObjectId) -> Self {
        let place = u8::try_from(object.number % INLINE_RECORDS).expect("less than 64");
        Self { stream: ObjectStream::of(object), place }
    }
}

impl RowKind for InlineRecord {
    const KIND: u8 = 22;
    type Key = InlinePlace;
    type Value = Self;

    fn encode_key(key: &InlinePlace) -> Bytes {
        key.stream.write(Self::KIND).u8(key.place).finish()
    }

    fn decode_key(bytes: &[u8]) -> Result<InlinePlace, RowError> {
        let mut reader = read_shard_row(bytes, Self::KIND)?;
        let (stream, place) = (ObjectStream::read(&mut reader)?, reader.u8()?);
        reader.end()?;
        if u64::from(place) >= INLINE_RECORDS {
            return Err(RowError::OutOfRange("place"));
        }
        Ok(InlinePlace { stream, place })
    }

    fn encode_value(_: &InlinePlace, value: &Self) -> Bytes {
        let mut writer = Writer::value(1);
        writer.varint(value.number);
        value.record.write(&mut writer);
        writer.finish()
    }

    fn decode_value(key: &InlinePlace, bytes: &[u8]) -> Result<Self, RowError> {
        let mut reader = Reader::value(bytes)?;
        let number = reader.varint()?;
        let record = Object::read(&mut reader)?;
        reader.end()?;
        if InlinePlace::of(key.stream.object(number)) != *key {
            return Err(RowError::OutOfRange("number"));
        }
        Ok(Self { number, record })
    }
}
