//! The check of a batch that a client sends.

use super::{
    ATTRIBUTES_AT, BatchError, BatchHeader, Compression, Flaw, HEADER_BYTES, Limited, RecordCursor, crc32c,
    crc32c_combine,
};

/// What a batch may take. A record is never larger than what a batch may take uncompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The whole batch as sent.
    pub max_batch_bytes: usize,
    /// One record, uncompressed, without its length prefix.
    pub max_record_bytes: usize,
    /// All records of a compressed batch, uncompressed. Also bounds what reading one may allocate.
    pub max_decompressed_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_batch_bytes: 2 << 20, max_record_bytes: 1 << 20, max_decompressed_bytes: 32 << 20 }
    }
}

/// A batch that passed [`validate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidBatch {
    /// Its header.
    pub header: BatchHeader,
    /// CRC-32C of all its bytes as they are, the header's first 21 among them.
    pub crc32c_whole: u32,
}

/// Checks one whole batch as a client sends it: `bytes` is the batch and nothing else.
///
/// It must be of magic 2, neither control nor transactional, with the timestamps of its producer; lengths, counts,
/// offset deltas, sequences and max timestamp must agree with its records. Base offset and leader epoch may be anything.
/// The bytes are hashed once; an uncompressed batch is checked without allocation.
///
/// # Errors
/// [`BatchError`]; which flaw is reported when there are several is not fixed, but for a wrong CRC, which only length,
/// magic and size limit precede.
pub fn validate(bytes: &[u8], limits: &Limits) -> Result<ValidBatch, BatchError> {
    if bytes.len() > limits.max_batch_bytes {
        return Err(BatchError::TooLarge {
            what: Limited::Batch,
            size_bytes: bytes.len() as u64,
            limit_bytes: limits.max_batch_bytes as u64,
        });
    }
    let header = BatchHeader::parse(bytes)?;
    if header.total_length_bytes() != bytes.len() {
        let stated_bytes = header.total_length_bytes() as i64;
        return Err(Flaw::Length { stated_bytes, actual_bytes: bytes.len() as u64 }.into());
    }
    let (outside, covered) = bytes.split_at(ATTRIBUTES_AT);
    let computed = crc32c(covered);
    if computed != header.crc {
        return Err(BatchError::Corrupt { stated: header.crc, computed });
    }
    header.check_sent_by_client()?;
    let body = &bytes[HEADER_BYTES..];
    match header.compression()? {
        Compression::None => check_records(&header, body, limits)?,
        codec => check_records(&header, &codec.decompress(body, limits.max_decompressed_bytes)?, limits)?,
    }
    let crc32c_whole = crc32c_combine(crc32c(outside), computed, covered.len() as u64);
    Ok(ValidBatch { header, crc32c_whole })
}

fn check_records(header: &BatchHeader, body: &[u8], limits: &Limits) -> Result<(), BatchError> {
    let mut cursor = RecordCursor::new(body, header.record_count, limits.max_record_bytes);
    let mut max_delta = i64::MIN;
    let mut min_delta = i64::MAX;
    while let Some(view) = cursor.next_record()? {
        if view.offset_delta != view.record {
            return Err(Flaw::OffsetDelta { record: view.record, offset_delta: view.offset_delta }.into());
        }
        max_delta = max_delta.max(view.timestamp_delta);
        min_delta = min_delta.min(view.timestamp_delta);
        view.headers(|_| ())?;
    }
    let base = header.base_timestamp;
    let (Some(actual_ms), Some(_)) = (base.checked_add(max_delta), base.checked_add(min_delta)) else {
        return Err(Flaw::Record { record: 0, field: "timestamp" }.into());
    };
    if actual_ms != header.max_timestamp {
        return Err(Flaw::MaxTimestamp { stated_ms: header.max_timestamp, actual_ms }.into());
    }
    Ok(())
}
