//! Kind 21: from which number on a gateway may have inline objects, so that a start finds them without a look at all that were.
//!
//! key: slot 0, upload epoch u64, incarnation u64
//! value v1: number

use bytes::Bytes;
use eagre_model::{ObjectId, UploadEpoch};

use super::{RowKind, SHARD_SLOT, read_shard_row};
use crate::codec::{Reader, RowError, Writer};

/// The kind; the value is the number.
#[derive(Debug)]
pub enum InlineHead {}

/// What one gateway committed under one upload epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectStream {
    /// The epoch.
    pub epoch: UploadEpoch,
    /// The gateway.
    pub incarnation: u64,
}

impl ObjectStream {
    /// That of an object.
    pub fn of(object: ObjectId) -> Self {
        Self { epoch: object.epoch, incarnation: object.incarnation }
    }

    /// The object of this number.
    pub fn object(self, number: u64) -> ObjectId {
        ObjectId { epoch: self.epoch, incarnation: self.incarnation, number }
    }

    /// A key of this kind that begins with it.
    pub(super) fn write(self, kind: u8) -> Writer {
        let mut writer = Writer::key(kind, SHARD_SLOT);
        writer.u64(self.epoch.0).u64(self.incarnation);
        writer
    }

    /// The inverse.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, RowError> {
        Ok(Self { epoch: UploadEpoch(reader.u64()?), incarnation: reader.u64()? })
    }
}

impl RowKind for InlineHead {
    const KIND: u8 = 21;
    type Key = ObjectStream;
    type Value = u64;

    fn encode_key(key: &ObjectStream) -> Bytes {
        key.write(Self::KIND).finish()
    }

    fn decode_key(bytes: &[u8]) -> Result<ObjectStream, RowError> {
        let mut reader = read_shard_row(bytes, Self::KIND)?;
        let stream = ObjectStream::read(&mut reader)?;
        reader.end()?;
        Ok(stream)
    }

    fn encode_value(_: &ObjectStream, number: &u64) -> Bytes {
        Writer::value(1).varint(*number).finish()
    }

    fn decode_value(_: &ObjectStream, bytes: &[u8]) -> Result<u64, RowError> {
        let mut reader = Reader::value(bytes)?;
        let number = reader.varint()?;
        reader.end()?;
        Ok(number)
    }
}
