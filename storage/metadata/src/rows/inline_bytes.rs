//! Kind 10: the bytes of an inline run, under the key of its run. Written up to format 3; a start that raises the format makes rows of
//! kind 20 of them.
//!
//! key: slot, topic number u64, partition u32, last offset u64
//! value v1: length, then the batches

use bytes::Bytes;

use super::{RowKind, RunKey};
use crate::codec::{Reader, RowError, Writer};

/// The kind; the value is the batches of the run as they came.
#[derive(Debug)]
pub enum InlineBytes {}

impl RowKind for InlineBytes {
    const KIND: u8 = 10;
    type Key = RunKey;
    type Value = Bytes;

    fn encode_key(key: &RunKey) -> Bytes {
        key.encode(Self::KIND)
    }

    fn decode_key(bytes: &[u8]) -> Result<RunKey, RowError> {
        RunKey::decode(bytes, Self::KIND)
    }

    fn encode_value(_: &RunKey, batches: &Bytes) -> Bytes {
        Writer::value_of(1, batches.len() + 6).varint(batches.len() as u64).raw(batches).finish()
    }

    fn decode_value(_: &RunKey, bytes: &[u8]) -> Result<Bytes, RowError> {
        let mut reader = Reader::value(bytes)?;
        let count = reader.count(1)?;
        let batches = Bytes::copy_from_slice(reader.take(count)?);
        reader.end()?;
        Ok(batches)
    }
}
