//! Kind 6: the index. One row a run, under its last offset: the run that covers an offset is the first row at or after
//! that offset, and the prefix maximum makes a search by time a binary search.
//!
//! key: slot, topic number u64, partition u32, last offset u64
//! value v1: last - base offset, object (epoch, incarnation, number), position, length, batches,
//!   CRC-32C (4 bytes big-endian), signed prefix-max timestamp ms
//! value v2: the same, then where the bytes are (1 byte): 3 inline, in the row of kind 20 of its object. 1 and 2 are reserved.
//!   A run whose bytes are in its object is written as v1

use bytes::Bytes;
use eagre_model::{ObjectId, Run, RunKind, TopicPartition, UploadEpoch};

use super::{RowKind, partition_key, read_partition};
use crate::codec::{Reader, RowError, Writer};

const INLINE: u8 = 3;

/// The kind; the value is [`Run`].
#[derive(Debug)]
pub enum RunRow {}

/// Key of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunKey {
    /// Whose log.
    pub partition: TopicPartition,
    /// Offset of the run's last record.
    pub last_offset: i64,
}

impl RunKey {
    /// Every key of a partition's runs that reach `offset` or lie above it.
    pub fn reaching(partition: TopicPartition, offset: i64) -> std::ops::RangeInclusive<RunKey> {
        let first = RunKey { partition, last_offset: offset.max(0) };
        first..=RunKey { partition, last_offset: i64::MAX }
    }

    /// As a key of rows of this kind: of runs, and of what stands beside them.
    pub(super) fn encode(&self, kind: u8) -> Bytes {
        partition_key(kind, self.partition).natural(self.last_offset).finish()
    }

    /// The inverse.
    pub(super) fn decode(bytes: &[u8], kind: u8) -> Result<Self, RowError> {
        let (mut reader, partition) = read_partition(bytes, kind)?;
        let last_offset = reader.natural("last offset")?;
        reader.end()?;
        Ok(Self { partition, last_offset })
    }
}

impl RowKind for RunRow {
    const KIND: u8 = 6;
    type Key = RunKey;
    type Value = Run;

    fn encode_key(key: &RunKey) -> Bytes {
        key.encode(Self::KIND)
    }

    fn decode_key(bytes: &[u8]) -> Result<RunKey, RowError> {
        RunKey::decode(bytes, Self::KIND)
    }

    fn encode_value(key: &RunKey, run: &Run) -> Bytes {
        assert_eq!(key.last_offset, run.last_offset, "a run stands under its last offset");
        let (version, kind) = match run.kind {
            RunKind::Wal => (1, &[][..]),
            RunKind::Inline => (2, &[INLINE][..]),
        };
        Writer::value(version)
            .natural_varint(run.last_offset - run.base_offset)
            .varint(run.object.epoch.0)
            .varint(run.object.incarnation)
            .varint(run.object.number)
            .varint(run.position_bytes)
            .varint(u64::from(run.length_bytes))
            .varint(u64::from(run.batches))
            .u32(run.crc32c)
            .signed(run.prefix_max_timestamp_ms)
            .raw(kind)
            .finish()
    }

    fn decode_value(key: &RunKey, bytes: &[u8]) -> Result<Run, RowError> {
        let (version, mut reader) = Reader::value_up_to(2, bytes)?;
        let span = reader.natural_varint("base offset")?;
        let base_offset = key.last_offset.checked_sub(span).filter(|base| *base >= 0);
        let mut run = Run {
            kind: RunKind::Wal,
            base_offset: base_offset.ok_or(RowError::OutOfRange("base offset"))?,
            last_offset: key.last_offset,
            object: ObjectId {
                epoch: UploadEpoch(reader.varint()?),
                incarnation: reader.varint()?,
                number: reader.varint()?,
            },
            position_bytes: reader.varint()?,
            length_bytes: reader.u32_varint("length")?,
            batches: reader.u32_varint("batches")?,
            crc32c: reader.u32()?,
            prefix_max_timestamp_ms: reader.signed()?,
        };
        if version == 2 {
            run.kind = match reader.u8()? {
                INLINE => RunKind::Inline,
                _ => return Err(RowError::OutOfRange("kind")),
            };
        }
        reader.end()?;
        Ok(run)
    }
}
