//! Kind 7: what a producer last appended to a partition, so that a repeated batch is known as one.
//!
//! key: slot, topic number u64, partition u32, producer id u64
//! value v1: producer epoch, last-use upload epoch, count of batches (at most 16), then the batches, oldest first: how
//!   far the first sequence lies above the one expected after the batch before (0 for the first one; modulo 2^31),
//!   records - 1, and the signed difference of the base offset to that of the batch before
//! value v2: the same with the signed time of the last append after the last-use upload epoch

use bytes::Bytes;
use eagre_model::{ProducerEpoch, ProducerId, TopicPartition, UploadEpoch};

use super::{RowKind, partition_key, read_partition};
use crate::codec::{Reader, RowError, Writer};

/// How many of the newest batches a row remembers.
pub const WINDOW_BATCHES: usize = 16;

/// Sequences count modulo 2^31.
const SEQUENCES: i64 = 1 << 31;

/// The sequence after `last`.
pub fn next_sequence(last: i32) -> i32 {
    last.wrapping_add(1) & i32::MAX
}

/// Key of a producer's state in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerKey {
    /// Where it appends.
    pub partition: TopicPartition,
    /// Who.
    pub producer: ProducerId,
}

/// A producer's state in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// The newest epoch that appended.
    pub epoch: ProducerEpoch,
    /// The upload epoch of its last append.
    pub last_use: UploadEpoch,
    /// When it appended last, in milliseconds since the epoch; `None` in version 1, which did not say.
    pub last_append_ms: Option<i64>,
    /// The newest batches of that epoch, oldest first, at most [`WINDOW_BATCHES`].
    pub window: Vec<SequenceRange>,
}

/// An appended batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceRange {
    /// Sequence of its first record.
    pub first_sequence: i32,
    /// Sequence of its last record; below the first one where the numbers wrap.
    pub last_sequence: i32,
    /// Offset of its first record.
    pub base_offset: i64,
}

impl RowKind for Producer {
    const KIND: u8 = 7;
    type Key = ProducerKey;
    type Value = Self;

    fn encode_key(key: &ProducerKey) -> Bytes {
        partition_key(Self::KIND, key.partition).natural(key.producer.0).finish()
    }

    fn decode_key(bytes: &[u8]) -> Result<ProducerKey, RowError> {
        let (mut reader, partition) = read_partition(bytes, Self::KIND)?;
        let producer = ProducerId(reader.natural("producer id")?);
        reader.end()?;
        Ok(ProducerKey { partition, producer })
    }

    fn encode_value(_: &ProducerKey, value: &Self) -> Bytes {
        assert!(value.window.len() <= WINDOW_BATCHES, "the window is bounded");
        let mut writer = begin_value(value.epoch, value.last_use, value.last_append_ms);
        writer.varint(value.window.len() as u64);
        let (mut expected, mut base) = (0i32, 0i64);
        for batch in &value.window {
            assert!(batch.first_sequence >= 0 && batch.last_sequence >= 0, "sequences are never negative");
            writer
                .natural_varint(distance(expected, batch.first_sequence))
                .natural_varint(distance(batch.first_sequence, batch.last_sequence))
                .signed(batch.base_offset - base);
            (expected, base) = (next_sequence(batch.last_sequence), batch.base_offset);
        }
        writer.finish()
    }

    fn decode_value(_: &ProducerKey, bytes: &[u8]) -> Result<Self, RowError> {
        let (mut reader, epoch, last_use, last_append_ms) = read_begin(bytes)?;
        let count = reader.count(3)?;
        if count > WINDOW_BATCHES {
            return Err(RowError::OutOfRange("window"));
        }
        let mut window = Vec::with_capacity(count);
        let (mut expected, mut base) = (0i32, 0i64);
        for _ in 0..count {
            let first_sequence = step(expected, reader.varint()?)?;
            let last_sequence = step(first_sequence, reader.varint()?)?;
            let offset = base.checked_add(reader.signed()?).filter(|offset| *offset >= 0);
            base = offset.ok_or(RowError::OutOfRange("base offset"))?;
            expected = next_sequence(last_sequence);
            window.push(SequenceRange { first_sequence, last_sequence, base_offset: base });
        }
        reader.end()?;
        Ok(Self { epoch, last_use, last_append_ms, window })
    }
}

/// What values of both kinds of producers begin with. Version 1 where the time is not known.
pub(super) fn begin_value(epoch: ProducerEpoch, last_use: UploadEpoch, last_append_ms: Option<i64>) -> Writer {
    let mut writer = Writer::value(if last_append_ms.is_some() { 2 } else { 1 });
    writer.natural_varint(i64::from(epoch.0)).varint(last_use.0);
    if let Some(last_append_ms) = last_append_ms {
        writer.signed(last_append_ms);
    }
    writer
}

/// The inverse, with the fields that follow.
pub(super) fn read_begin(bytes: &[u8]) -> Result<(Reader<'_>, ProducerEpoch, UploadEpoch, Option<i64>), RowError> {
    let (version, mut reader) = Reader::value_up_to(2, bytes)?;
    let epoch = i16::try_from(reader.varint()?).map_err(|_| RowError::OutOfRange("epoch"))?;
    let last_use = UploadEpoch(reader.varint()?);
    let last_append_ms = if version >= 2 { Some(reader.signed()?) } else { None };
    Ok((reader, ProducerEpoch(epoch), last_use, last_append_ms))
}

/// Steps from one sequence to another, modulo 2^31.
pub(super) fn distance(from: i32, to: i32) -> i64 {
    (i64::from(to) - i64::from(from)).rem_euclid(SEQUENCES)
}

pub(super) fn step(from: i32, distance: u64) -> Result<i32, RowError> {
    let out_of_range = RowError::OutOfRange("sequence");
    let distance = i64::try_from(distance).ok().filter(|distance| *distance < SEQUENCES).ok_or(out_of_range.clone())?;
    i32::try_from((i64::from(from) + distance).rem_euclid(SEQUENCES)).map_err(|_| out_of_range)
}
