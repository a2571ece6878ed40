//! The header: 61 bytes, big-endian.

use super::{BatchError, Compression, Flaw};

/// Length of a batch's header.
pub const HEADER_BYTES: usize = 61;

/// The first bytes, base offset and length, are not counted by the length.
pub(crate) const BATCH_LENGTH_PREFIX_BYTES: usize = 12;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
pub(crate) const CRC_AT: usize = 17;
/// The CRC covers everything from here to the end.
pub(crate) const ATTRIBUTES_AT: usize = 21;

const CODEC_BITS: i16 = 0b0111;
const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;

/// The fields of a batch's header, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record. Outside the CRC.
    pub base_offset: i64,
    /// Bytes after this field: the whole batch less 12. Outside the CRC.
    pub batch_length: i32,
    /// Outside the CRC.
    pub partition_leader_epoch: i32,
    /// 2.
    pub magic: i8,
    /// CRC-32C of everything after this field.
    pub crc: u32,
    /// Codec (bits 0-2), log append time (3), transactional (4), control (5), delete horizon (6).
    pub attributes: i16,
    /// Offset of the last record, less the base offset.
    pub last_offset_delta: i32,
    /// Milliseconds since the epoch; the records' timestamps are relative to it.
    pub base_timestamp: i64,
    /// The highest of the records' timestamps.
    pub max_timestamp: i64,
    /// -1: not idempotent.
    pub producer_id: i64,
    /// -1: not idempotent.
    pub producer_epoch: i16,
    /// Sequence of the first record; -1: not idempotent.
    pub base_sequence: i32,
    /// Number of records.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; more may follow.
    ///
    /// # Errors
    /// [`BatchError::Invalid`]: fewer than 61 bytes, another magic than 2, or a length that holds no header. Nothing else
    /// is checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(h) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Flaw::Truncated { length_bytes: bytes.len() as u64 }.into());
        };
        let magic = i8::from_be_bytes(field(h, MAGIC_AT));
        if magic != 2 {
            return Err(Flaw::Magic(magic).into());
        }
        let batch_length = i32::from_be_bytes(field(h, 8));
        if (i64::from(batch_length) + BATCH_LENGTH_PREFIX_BYTES as i64) < HEADER_BYTES as i64 {
            let stated_bytes = i64::from(batch_length) + BATCH_LENGTH_PREFIX_BYTES as i64;
            return Err(Flaw::Length { stated_bytes, actual_bytes: bytes.len() as u64 }.into());
        }
        Ok(Self {
            base_offset: i64::from_be_bytes(field(h, 0)),
            batch_length,
            partition_leader_epoch: i32::from_be_bytes(field(h, LEADER_EPOCH_AT)),
            magic,
            crc: u32::from_be_bytes(field(h, CRC_AT)),
            attributes: i16::from_be_bytes(field(h, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(field(h, 23)),
            base_timestamp: i64::from_be_bytes(field(h, 27)),
            max_timestamp: i64::from_be_bytes(field(h, 35)),
            producer_id: i64::from_be_bytes(field(h, 43)),
            producer_epoch: i16::from_be_bytes(field(h, 51)),
            base_sequence: i32::from_be_bytes(field(h, 53)),
            record_count: i32::from_be_bytes(field(h, 57)),
        })
    }

    /// Writes the header into the first 61 bytes.
    pub(crate) fn write(&self, h: &mut [u8; HEADER_BYTES]) {
        h[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        h[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        h[12..16].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        h[16..17].copy_from_slice(&self.magic.to_be_bytes());
        h[17..21].copy_from_slice(&self.crc.to_be_bytes());
        h[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        h[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        h[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        h[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        h[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        h[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        h[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        h[57..61].copy_from_slice(&self.record_count.to_be_bytes());
    }

    /// Bytes of the whole batch as its header states them.
    pub fn total_length_bytes(&self) -> usize {
        usize::try_from(self.batch_length).unwrap_or(0) + BATCH_LENGTH_PREFIX_BYTES
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// [`Flaw::Codec`]: a codec that Kafka has not defined.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        let codec = (self.attributes & CODEC_BITS) as u8;
        Compression::from_number(codec).ok_or(BatchError::Invalid(Flaw::Codec(codec)))
    }

    /// Every record's timestamp is the header's max timestamp.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME_BIT != 0
    }

    /// Part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Written by the service, hidden from applications.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Has a producer id, and so a place in its producer's order.
    pub fn is_idempotent(&self) -> bool {
        self.producer_id >= 0
    }

    /// Checks what the fields of a batch that a client sends must be, each for itself and against each other.
    pub(crate) fn check_sent_by_client(&self) -> Result<(), Flaw> {
        if self.is_control() {
            return Err(Flaw::Control);
        }
        if self.is_transactional() {
            return Err(Flaw::Transactional);
        }
        if self.is_log_append_time() {
            return Err(Flaw::AppendTime);
        }
        if self.attributes & !CODEC_BITS != 0 {
            return Err(Flaw::Attributes(self.attributes));
        }
        if self.record_count < 1 {
            return Err(Flaw::RecordCount(self.record_count));
        }
        if self.last_offset_delta != self.record_count - 1 {
            return Err(Flaw::LastOffsetDelta {
                last_offset_delta: self.last_offset_delta,
                record_count: self.record_count,
            });
        }
        if self.producer_id < -1 {
            return Err(Flaw::ProducerId(self.producer_id));
        }
        if self.is_idempotent() && self.producer_epoch < 0 {
            return Err(Flaw::ProducerEpoch(self.producer_epoch));
        }
        if self.is_idempotent() && self.base_sequence < 0 {
            return Err(Flaw::BaseSequence(self.base_sequence));
        }
        Ok(())
    }
}

fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&header[at..at + N]);
    out
}

/// Gives a stored batch its base offset and leader epoch 0. Both lie outside the batch's CRC.
///
/// `header_bytes` is a batch or at least its first 16 bytes; anything shorter is a bug of the caller and stays unchanged.
pub fn with_base_offset(header_bytes: &mut [u8], base_offset: i64) {
    debug_assert!(header_bytes.len() >= MAGIC_AT, "the start of a batch header");
    if let Some(prefix) = header_bytes.first_chunk_mut::<MAGIC_AT>() {
        prefix[..8].copy_from_slice(&base_offset.to_be_bytes());
        prefix[LEADER_EPOCH_AT..].copy_from_slice(&0i32.to_be_bytes());
    }
}

/// The sequence `records` after `first`: 2,147,483,647 is followed by 0.
pub fn advance_sequence(first: i32, records: u32) -> i32 {
    let sum = (i64::from(first) + i64::from(records)) & i64::from(i32::MAX);
    sum as i32
}
