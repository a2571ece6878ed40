//! From a stored batch to records.

use bytes::{Buf, Bytes};

use super::Header;
use crate::batch::{BatchError, BatchHeader, Compression, Flaw, HEADER_BYTES, Limits, RecordCursor, RecordView};

/// Seven fields of one byte each.
const RECORD_BYTES_MIN: usize = 7;

/// A record as a consumer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedRecord {
    /// Its place in the partition.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// `None`: null.
    pub key: Option<Bytes>,
    /// `None`: null.
    pub value: Option<Bytes>,
    /// In their order.
    pub headers: Vec<Header>,
}

/// All records of one batch; see [`records`].
///
/// # Errors
/// As [`records`] and its items.
pub fn decode(batch: &Bytes, limits: &Limits) -> Result<Vec<DecodedRecord>, BatchError> {
    let records = records(batch, limits)?;
    let mut out = Vec::with_capacity(records.count_at_most());
    for record in records {
        out.push(record?);
    }
    Ok(out)
}

/// The records of one batch, one after the other: `batch` is the whole batch and nothing else.
///
/// Keys and values are slices of the batch, or of its decompressed body. Offsets count from the batch's base offset, which a
/// producer may have set to anything: they wrap around, and mean something only where the base offset was patched. The
/// checksum is not looked at again: a batch from the log has been checked with its run. Of the limits only
/// `max_decompressed_bytes` is applied. Reading record by record holds one record's allocations at a time; small records
/// take many times their bytes when all are held.
///
/// # Errors
/// [`BatchError`]: the batch's frame or codec is malformed, or it swells over the limit. Malformed records are errors of
/// the iterator, which ends after one.
pub fn records(batch: &Bytes, limits: &Limits) -> Result<Records, BatchError> {
    let header = BatchHeader::parse(batch)?;
    if header.total_length_bytes() != batch.len() {
        let stated_bytes = header.total_length_bytes() as i64;
        return Err(Flaw::Length { stated_bytes, actual_bytes: batch.len() as u64 }.into());
    }
    if header.record_count < 0 {
        return Err(Flaw::RecordCount(header.record_count).into());
    }
    let body = match header.compression()? {
        Compression::None => batch.slice(HEADER_BYTES..),
        codec => codec.decompress(&batch[HEADER_BYTES..], limits.max_decompressed_bytes)?.into(),
    };
    Ok(Records { header, rest: body, next: 0 })
}

/// See [`records`].
#[derive(Debug, Clone)]
pub struct Records {
    header: BatchHeader,
    rest: Bytes,
    next: i32,
}

impl Records {
    /// The header of the batch.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// No more records than this are left, whatever the header says.
    pub fn count_at_most(&self) -> usize {
        let stated = usize::try_from(self.header.record_count.saturating_sub(self.next)).unwrap_or(0);
        stated.min(self.rest.len() / RECORD_BYTES_MIN)
    }

    fn take_record(&mut self) -> Result<Option<DecodedRecord>, BatchError> {
        let mut cursor = RecordCursor::resume(&self.rest, self.next, self.header.record_count);
        let Some(view) = cursor.next_record()? else { return Ok(None) };
        let left = cursor.remaining_bytes();
        let record = self.decode_record(&view)?;
        self.rest.advance(self.rest.len() - left);
        self.next += 1;
        Ok(Some(record))
    }

    fn decode_record(&self, view: &RecordView<'_>) -> Result<DecodedRecord, BatchError> {
        let malformed = |field| Flaw::Record { record: view.record, field };
        // Compaction leaves gaps between deltas, never a delta outside the batch.
        if view.offset_delta < 0 || view.offset_delta > self.header.last_offset_delta {
            return Err(Flaw::OffsetDelta { record: view.record, offset_delta: view.offset_delta }.into());
        }
        let offset = self.header.base_offset.wrapping_add(i64::from(view.offset_delta));
        let timestamp_ms = if self.header.is_log_append_time() {
            self.header.max_timestamp
        } else {
            self.header.base_timestamp.checked_add(view.timestamp_delta).ok_or(malformed("timestamp"))?
        };
        let shared = |bytes: Option<&[u8]>| bytes.map(|bytes| self.rest.slice_ref(bytes));
        let mut headers = Vec::with_capacity(view.header_count());
        view.headers(|header| headers.push((header.key.to_owned(), shared(header.value))))?;
        Ok(DecodedRecord { offset, timestamp_ms, key: shared(view.key), value: shared(view.value), headers })
    }
}

impl Iterator for Records {
    type Item = Result<DecodedRecord, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.take_record();
        if record.is_err() {
            // Nothing is left of a batch that is malformed.
            self.rest.clear();
            self.header.record_count = self.next;
        }
        record.transpose()
    }
}

impl std::iter::FusedIterator for Records {}
