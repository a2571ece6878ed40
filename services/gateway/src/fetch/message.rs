//! What goes into one message of a fetch stream: cut out of the bytes of a run.

use bytes::{Bytes, BytesMut};
use eagre_model::{
    batch::{BatchError, BatchHeader, Compression, Flaw, Limits, with_base_offset},
    records::{DecodedRecord, records},
};
use eagre_proto::v1::{ConsumedRecord, Header};

/// A compressed batch is decompressed once a message, so its messages are larger.
const COMPRESSED_MESSAGE_BYTES: usize = 4 << 20;

/// A place in a run: at the beginning of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunCursor {
    pub position_bytes: usize,
    /// The offset that the batch there has.
    pub base_offset: i64,
}

/// The batch at a cursor.
struct Found {
    header: BatchHeader,
    bytes: Bytes,
    last_offset: i64,
}

impl RunCursor {
    fn at(&self, run: &Bytes) -> Result<Option<Found>, BatchError> {
        if self.position_bytes >= run.len() {
            return Ok(None);
        }
        let rest = &run[self.position_bytes..];
        let header = BatchHeader::parse(rest)?;
        let length = header.total_length_bytes();
        if length > rest.len() || header.last_offset_delta < 0 {
            return Err(Flaw::Length { stated_bytes: length as i64, actual_bytes: rest.len() as u64 }.into());
        }
        let bytes = run.slice(self.position_bytes..self.position_bytes + length);
        let last_offset = self.base_offset + i64::from(header.last_offset_delta);
        Ok(Some(Found { header, bytes, last_offset }))
    }

    fn pass(&mut self, found: &Found) {
        self.position_bytes += found.bytes.len();
        self.base_offset = found.last_offset + 1;
    }

    /// The first batch that reaches `offset`, passing those before it.
    fn seek(&mut self, run: &Bytes, offset: i64) -> Result<Option<Found>, BatchError> {
        while let Some(found) = self.at(run)? {
            if found.last_offset >= offset {
                return Ok(Some(found));
            }
            self.pass(&found);
        }
        Ok(None)
    }
}

/// Whole batches from the one that holds `offset` on, with their offsets patched in, and the offset after them. At least
/// one batch; more while they fit into `bytes_max`. `None`: the run ends before `offset`.
pub(super) fn take_batches(
    run: &Bytes,
    cursor: &mut RunCursor,
    offset: i64,
    bytes_max: usize,
) -> Result<Option<(Bytes, i64)>, BatchError> {
    let Some(mut found) = cursor.seek(run, offset)? else { return Ok(None) };
    let mut out = BytesMut::with_capacity(bytes_max.max(found.bytes.len()).min(run.len() - cursor.position_bytes));
    loop {
        let start = out.len();
        out.extend_from_slice(&found.bytes);
        with_base_offset(&mut out[start..], cursor.base_offset);
        cursor.pass(&found);
        match cursor.at(run)? {
            Some(next) if out.len() + next.bytes.len() <= bytes_max => found = next,
            Some(_) | None => return Ok(Some((out.freeze(), cursor.base_offset))),
        }
    }
}

/// Records from `offset` on and the offset after them; at least one, more while they fit into `bytes_max`. `None`: the run
/// ends before `offset`.
pub(super) fn take_records(
    run: &Bytes,
    cursor: &mut RunCursor,
    offset: i64,
    bytes_max: usize,
    limits: &Limits,
) -> Result<Option<(Vec<ConsumedRecord>, i64)>, BatchError> {
    let mut out = Vec::new();
    let mut size = 0;
    let mut next_offset = offset;
    while let Some(found) = cursor.seek(run, next_offset)? {
        let compressed = found.header.compression()? != Compression::None;
        let bytes_max = if compressed { bytes_max.max(COMPRESSED_MESSAGE_BYTES) } else { bytes_max };
        for record in records_of(&found, cursor.base_offset, next_offset, limits)? {
            let record = record?;
            let length = length_bytes(&record);
            if !out.is_empty() && size + length > bytes_max {
                return Ok(Some((out, next_offset)));
            }
            size += length;
            next_offset = record.offset + 1;
            out.push(consumed(record));
        }
        cursor.pass(&found);
        next_offset = cursor.base_offset;
    }
    Ok((!out.is_empty()).then_some((out, next_offset)))
}

/// The first record of a run whose timestamp is `timestamp_ms` or later.
pub(super) fn find_by_time(
    run: &Bytes,
    base_offset: i64,
    timestamp_ms: i64,
    limits: &Limits,
) -> Result<Option<(i64, i64)>, BatchError> {
    let mut cursor = RunCursor { position_bytes: 0, base_offset };
    while let Some(found) = cursor.at(run)? {
        if found.header.max_timestamp >= timestamp_ms {
            for record in records_of(&found, cursor.base_offset, cursor.base_offset, limits)? {
                let record = record?;
                if record.timestamp_ms >= timestamp_ms {
                    return Ok(Some((record.offset, record.timestamp_ms)));
                }
            }
        }
        cursor.pass(&found);
    }
    Ok(None)
}

/// The records of a stored batch from `offset` on, with the offsets that it has from its place in the log.
fn records_of(
    found: &Found,
    base_offset: i64,
    offset: i64,
    limits: &Limits,
) -> Result<impl Iterator<Item = Result<DecodedRecord, BatchError>>, BatchError> {
    let stated = found.header.base_offset;
    let placed = records(&found.bytes, limits)?.map(move |record| {
        let mut record = record?;
        record.offset = base_offset + record.offset.wrapping_sub(stated);
        Ok(record)
    });
    Ok(placed.skip_while(move |record| record.as_ref().is_ok_and(|record| record.offset < offset)))
}

/// About what the record takes in a message.
fn length_bytes(record: &DecodedRecord) -> usize {
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers: usize = record.headers.iter().map(|(key, value)| key.len() + length(value) + 16).sum();
    length(&record.key) + length(&record.value) + headers + 32
}

fn consumed(record: DecodedRecord) -> ConsumedRecord {
    ConsumedRecord {
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().map(|(key, value)| Header { key, value }).collect(),
    }
}
