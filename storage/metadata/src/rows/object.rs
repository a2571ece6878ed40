//! Kind 8: the commit record of an object: what became of each of its batches. A commit that comes again is answered
//! from it, and only from it.
//!
//! key: slot 0, upload epoch u64, incarnation u64, number u64; so the objects below a floor are one range
//! value v1: request hash (16 bytes big-endian), live bytes, count of stretches, then the stretches: outcome byte, count
//!   of batches, and for 1 appended and 2 duplicate the base offset of the first batch (the others follow it without a
//!   gap); 3 unknown partition; for 4 out of order the expected sequence; for 5 fenced the current epoch; 6 too old;
//!   7 duplicate whose place is not said; 8 producer id that was never given out; 9 producer of whom nothing is known any
//!   more

use bytes::Bytes;
use eagre_model::{ObjectId, ProducerEpoch, UploadEpoch};

use super::{RowKind, SHARD_SLOT, read_shard_row};
use crate::codec::{Reader, RowError, Writer};

/// A commit record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Hash of the whole request: the same object id with another hash is a bug.
    pub request_hash: u128,
    /// Bytes of the object that runs refer to.
    pub live_bytes: u64,
    /// What became of each batch, in the order of the request.
    pub outcomes: Outcomes,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log.
    Appended {
        /// Offset of its first record.
        base_offset: i64,
    },
    /// It was in the log already.
    Duplicate {
        /// Offset of its first record.
        base_offset: i64,
    },
    /// The partition does not exist.
    UnknownPartition,
    /// Batches before it are missing.
    OutOfOrderSequence {
        /// The sequence that would have been accepted.
        expected: i32,
    },
    /// A newer epoch has written to the partition.
    ProducerFenced {
        /// That epoch.
        current: ProducerEpoch,
    },
    /// Before the remembered window.
    SequenceTooOld,
    /// It was in the log already; where is not remembered, or by another partition map.
    DuplicateElsewhere,
    /// Its producer id was never given out.
    UnissuedProducerId,
    /// Nothing is known of its producer there, though something may have been.
    UnknownProducerId,
}

/// Outcomes of all batches, stored as stretches of equal ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcomes(Vec<Stretch>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    /// Of the first batch; appended ones and duplicates follow each other without a gap.
    first: Outcome,
    /// At least 1.
    batches: u32,
}

/// The record counts given are not those of the batches that were judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the commit record is of another number of batches")]
pub struct OutcomeMismatch;

impl Outcomes {
    /// From the outcome and the record count of every batch.
    pub fn new(batches: impl IntoIterator<Item = (Outcome, u32)>) -> Self {
        let mut stretches: Vec<Stretch> = Vec::new();
        // What the next batch's outcome must be to prolong the last stretch.
        let mut prolonging = None;
        for (outcome, records) in batches {
            match stretches.last_mut() {
                Some(last) if prolonging == Some(outcome) && last.batches < u32::MAX => last.batches += 1,
                _ => stretches.push(Stretch { first: outcome, batches: 1 }),
            }
            prolonging = outcome.followed_by(records);
        }
        Self(stretches)
    }

    /// The outcome of every batch, given their record counts in the same order.
    pub fn expand(&self, record_counts: impl IntoIterator<Item = u32>) -> Result<Vec<Outcome>, OutcomeMismatch> {
        let mut counts = record_counts.into_iter();
        let mut outcomes = Vec::with_capacity(counts.size_hint().0);
        for stretch in &self.0 {
            let mut next = Some(stretch.first);
            for _ in 0..stretch.batches {
                let (outcome, records) = next.zip(counts.next()).ok_or(OutcomeMismatch)?;
                outcomes.push(outcome);
                next = outcome.followed_by(records);
            }
        }
        if counts.next().is_some() { Err(OutcomeMismatch) } else { Ok(outcomes) }
    }
}

impl Outcome {
    /// The outcome of a next batch that belongs to the same stretch.
    fn followed_by(self, records: u32) -> Option<Self> {
        let after = |base: i64| base.checked_add(i64::from(records));
        match self {
            Self::Appended { base_offset } => Some(Self::Appended { base_offset: after(base_offset)? }),
            Self::Duplicate { base_offset } => Some(Self::Duplicate { base_offset: after(base_offset)? }),
            refused => Some(refused),
        }
    }

    fn write(self, writer: &mut Writer, batches: u32) {
        let count = u64::from(batches);
        match self {
            Self::Appended { base_offset } => writer.u8(1).varint(count).natural_varint(base_offset),
            Self::Duplicate { base_offset } => writer.u8(2).varint(count).natural_varint(base_offset),
            Self::UnknownPartition => writer.u8(3).varint(count),
            Self::OutOfOrderSequence { expected } => writer.u8(4).varint(count).natural_varint(i64::from(expected)),
            Self::ProducerFenced { current } => writer.u8(5).varint(count).natural_varint(i64::from(current.0)),
            Self::SequenceTooOld => writer.u8(6).varint(count),
            Self::DuplicateElsewhere => writer.u8(7).varint(count),
            Self::UnissuedProducerId => writer.u8(8).varint(count),
            Self::UnknownProducerId => writer.u8(9).varint(count),
        };
    }
}

impl Stretch {
    fn read(reader: &mut Reader<'_>) -> Result<Self, RowError> {
        let kind = reader.u8()?;
        let batches = reader.u32_varint("batches")?;
        if batches == 0 {
            return Err(RowError::OutOfRange("batches"));
        }
        let first = match kind {
            1 => Outcome::Appended { base_offset: reader.natural_varint("base offset")? },
            2 => Outcome::Duplicate { base_offset: reader.natural_varint("base offset")? },
            3 => Outcome::UnknownPartition,
            4 => {
                let expected = i32::try_from(reader.varint()?).map_err(|_| RowError::OutOfRange("sequence"))?;
                Outcome::OutOfOrderSequence { expected }
            }
            5 => {
                let current = i16::try_from(reader.varint()?).map_err(|_| RowError::OutOfRange("epoch"))?;
                Outcome::ProducerFenced { current: ProducerEpoch(current) }
            }
            6 => Outcome::SequenceTooOld,
            7 => Outcome::DuplicateElsewhere,
            8 => Outcome::UnissuedProducerId,
            9 => Outcome::UnknownProducerId,
            _ => return Err(RowError::OutOfRange("outcome")),
        };
        Ok(Self { first, batches })
    }
}

impl Object {
    /// As the fields of a value.
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u128(self.request_hash).varint(self.live_bytes).varint(self.outcomes.0.len() as u64);
        for stretch in &self.outcomes.0 {
            stretch.first.write(writer, stretch.batches);
        }
    }

    /// The inverse.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, RowError> {
        let request_hash = reader.u128()?;
        let live_bytes = reader.varint()?;
        let count = reader.count(2)?;
        let mut stretches = Vec::with_capacity(count);
        for _ in 0..count {
            stretches.push(Stretch::read(reader)?);
        }
        Ok(Self { request_hash, live_bytes, outcomes: Outcomes(stretches) })
    }
}

impl RowKind for Object {
    const KIND: u8 = 8;
    type Key = ObjectId;
    type Value = Self;

    fn encode_key(key: &ObjectId) -> Bytes {
        encode_key(Self::KIND, key)
    }

    fn decode_key(bytes: &[u8]) -> Result<ObjectId, RowError> {
        decode_key(bytes, Self::KIND)
    }

    fn encode_value(_: &ObjectId, value: &Self) -> Bytes {
        let mut writer = Writer::value(1);
        value.write(&mut writer);
        writer.finish()
    }

    fn decode_value(_: &ObjectId, bytes: &[u8]) -> Result<Self, RowError> {
        let mut reader = Reader::value(bytes)?;
        let record = Self::read(&mut reader)?;
        reader.end()?;
        Ok(record)
    }
}

/// The key of a row of an object.
pub(super) fn encode_key(kind: u8, key: &ObjectId) -> Bytes {
    Writer::key(kind, SHARD_SLOT).u64(key.epoch.0).u64(key.incarnation).u64(key.number).finish()
}

/// The inverse.
pub(super) fn decode_key(bytes: &[u8], kind: u8) -> Result<ObjectId, RowError> {
    let mut reader = read_shard_row(bytes, kind)?;
    let key = ObjectId { epoch: UploadEpoch(reader.u64()?), incarnation: reader.u64()?, number: reader.u64()? };
    reader.end()?;
    Ok(key)
}
