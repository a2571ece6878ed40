//! The bytes of one object of the log.
//!
//! | part | bytes |
//! |---|---|
//! | magic `EGRW` | 4 |
//! | version, 1 | 1 |
//! | kind: 1 rows, 2 fence | 1 |
//! | number of the object | 8 |
//! | epoch of the writer | 8 |
//! | nonce of the writer | 8 |
//! | rows: a count as varint, then the rows; fence: how many numbers it skips, itself included | |
//! | CRC-32C of all before it | 4 |
//!
//! A row: flags (bit 0: deleted, bit 1: has a time), sequence number as varint, time as signed varint when it has one, key
//! and, when it is not deleted, value, each after its length as varint. Numbers are big-endian. Rows stand in the order of
//! their sequence numbers; those of one atomic batch share one.

use bytes::Bytes;
use slatedb::{RowEntry, ValueDeletable};

use crate::codec::{Reader, RowError, Writer};

const MAGIC: &[u8; 4] = b"EGRW";
const VERSION: u8 = 1;
const KIND_ROWS: u8 = 1;
const KIND_FENCE: u8 = 2;
const HEADER_BYTES: usize = 30;
const CRC_BYTES: usize = 4;
const DELETED: u8 = 1;
const HAS_TIME: u8 = 2;
/// Flags, sequence number, length of the key, a key of at least two bytes.
const ROW_BYTES_MIN: usize = 5;

/// The size of a fence; no object with rows is so small, so a listing tells them apart.
pub(crate) const FENCE_BYTES: u64 = (HEADER_BYTES + 4 + CRC_BYTES) as u64;

/// Who wrote an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Author {
    /// SlateDB's epoch of the writer.
    pub(crate) epoch: u64,
    /// Random, once a writer's life.
    pub(crate) nonce: u64,
}

/// An object of the log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogFile {
    /// Its number.
    pub(crate) id: u64,
    /// Who wrote it.
    pub(crate) author: Author,
    /// What it holds.
    pub(crate) content: Content,
}

/// What an object of the log holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    /// Rows in the order of their sequence numbers.
    Rows(Vec<RowEntry>),
    /// The end of what earlier writers wrote. The log goes on so many numbers further.
    Fence {
        /// How far, at least 1.
        skip: u32,
    },
}

/// Why bytes are not an object of the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogFileError {
    /// Another program's.
    #[error("no object of a log")]
    Foreign,
    /// A newer program wrote it.
    #[error("unknown version {0}")]
    UnknownVersion(u8),
    /// Stored or read wrongly.
    #[error("its checksum is wrong")]
    Checksum,
    /// The name says another number than the object.
    #[error("it says that it is number {0}")]
    WrongNumber(u64),
    /// A field cannot be read.
    #[error(transparent)]
    Field(#[from] RowError),
}

/// Why a row cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rows with merge operands or an expiry are not supported")]
pub(crate) struct UnsupportedRow;

/// Rows of one object while it is put together.
#[derive(Debug, Default)]
pub(crate) struct RowsBuilder {
    rows: Vec<u8>,
    count: usize,
    last_seq: u64,
}

impl RowsBuilder {
    /// Appends the rows of one batch, all or none.
    pub(crate) fn append(&mut self, batch: &[RowEntry]) -> Result<(), UnsupportedRow> {
        if batch.iter().any(|row| row.expire_ts.is_some() || matches!(row.value, ValueDeletable::Merge(_))) {
            return Err(UnsupportedRow);
        }
        let mut writer = Writer::onto(std::mem::take(&mut self.rows));
        for row in batch {
            let value = match &row.value {
                ValueDeletable::Value(value) => Some(value),
                ValueDeletable::Merge(_) | ValueDeletable::Tombstone => None,
            };
            let deleted = if value.is_none() { DELETED } else { 0 };
            let has_time = if row.create_ts.is_some() { HAS_TIME } else { 0 };
            writer.u8(deleted | has_time).varint(row.seq);
            if let Some(time) = row.create_ts {
                writer.signed(time);
            }
            writer.varint(row.key.len() as u64).raw(&row.key);
            if let Some(value) = value {
                writer.varint(value.len() as u64).raw(value);
            }
            self.last_seq = row.seq;
        }
        self.rows = writer.into_vec();
        self.count += batch.len();
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the rows.
    pub(crate) fn size(&self) -> usize {
        self.rows.len()
    }

    /// The highest sequence number.
    pub(crate) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// How many rows.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The object; there is at least one row.
    pub(crate) fn finish(self, id: u64, author: Author) -> Bytes {
        assert!(self.count > 0, "an object holds at least one row");
        let mut writer = header(KIND_ROWS, id, author, self.rows.len() + 10);
        writer.varint(self.count as u64).raw(&self.rows);
        let bytes = seal(writer);
        assert!(bytes.len() as u64 > FENCE_BYTES, "no object with rows is as small as a fence");
        bytes
    }
}

/// A fence that skips so many numbers, itself included.
pub(crate) fn fence(id: u64, author: Author, skip: u32) -> Bytes {
    let mut writer = header(KIND_FENCE, id, author, 4);
    writer.u32(skip);
    seal(writer)
}

fn header(kind: u8, id: u64, author: Author, body_bytes: usize) -> Writer {
    let mut writer = Writer::onto(Vec::with_capacity(HEADER_BYTES + body_bytes + CRC_BYTES));
    writer.raw(MAGIC).u8(VERSION).u8(kind).u64(id).u64(author.epoch).u64(author.nonce);
    writer
}

fn seal(writer: Writer) -> Bytes {
    let mut bytes = writer.into_vec();
    bytes.extend_from_slice(&checksum(&bytes).to_be_bytes());
    bytes.into()
}

fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

impl LogFile {
    /// Reads an object that is stored under this number. Keys and values share the memory of `bytes`.
    pub(crate) fn decode(id: u64, bytes: &Bytes) -> Result<Self, LogFileError> {
        let (magic, rest) = bytes.split_at_checked(MAGIC.len()).ok_or(LogFileError::Foreign)?;
        if magic != MAGIC {
            return Err(LogFileError::Foreign);
        }
        match rest.first() {
            Some(&VERSION) => {}
            Some(&version) => return Err(LogFileError::UnknownVersion(version)),
            None => return Err(RowError::Truncated.into()),
        }
        let end = bytes.len().checked_sub(CRC_BYTES).filter(|end| *end >= HEADER_BYTES).ok_or(RowError::Truncated)?;
        let (sealed, crc) = bytes.split_at(end);
        if checksum(sealed).to_be_bytes() != *crc {
            return Err(LogFileError::Checksum);
        }
        let mut reader = Reader::over(&sealed[MAGIC.len() + 1..]);
        let kind = reader.u8()?;
        let found = reader.u64()?;
        if found != id {
            return Err(LogFileError::WrongNumber(found));
        }
        let author = Author { epoch: reader.u64()?, nonce: reader.u64()? };
        let content = match kind {
            KIND_ROWS => Content::Rows(read_rows(bytes, &mut reader)?),
            KIND_FENCE => Content::Fence { skip: reader.u32()? },
            _ => return Err(RowError::OutOfRange("kind").into()),
        };
        reader.end()?;
        match &content {
            Content::Fence { skip: 0 } => Err(RowError::OutOfRange("skip").into()),
            Content::Rows(rows) if rows.is_empty() => Err(RowError::OutOfRange("rows").into()),
            _ => Ok(Self { id, author, content }),
        }
    }
}

impl LogFile {
    /// The latest time of its rows, milliseconds since the epoch.
    pub(crate) fn newest_ms(&self) -> Option<i64> {
        match &self.content {
            Content::Rows(rows) => rows.iter().filter_map(|row| row.create_ts).max(),
            Content::Fence { .. } => None,
        }
    }
}

fn read_rows(bytes: &Bytes, reader: &mut Reader<'_>) -> Result<Vec<RowEntry>, RowError> {
    let count = reader.count(ROW_BYTES_MIN)?;
    let mut rows = Vec::with_capacity(count);
    let mut last_seq = 0;
    for _ in 0..count {
        let flags = reader.u8()?;
        if flags & !(DELETED | HAS_TIME) != 0 {
            return Err(RowError::OutOfRange("flags"));
        }
        let seq = reader.varint()?;
        if seq < last_seq {
            return Err(RowError::OutOfRange("sequence number"));
        }
        last_seq = seq;
        let create_ts = if flags & HAS_TIME == 0 { None } else { Some(reader.signed()?) };
        let key = piece(bytes, reader)?;
        if key.len() < 2 {
            return Err(RowError::OutOfRange("key"));
        }
        let value = match flags & DELETED {
            0 => ValueDeletable::Value(piece(bytes, reader)?),
            _ => ValueDeletable::Tombstone,
        };
        rows.push(RowEntry { key, value, seq, create_ts, expire_ts: None });
    }
    Ok(rows)
}

fn piece(bytes: &Bytes, reader: &mut Reader<'_>) -> Result<Bytes, RowError> {
    let length = reader.count(1)?;
    Ok(bytes.slice_ref(reader.take(length)?))
}

#[cfg(test)]
mod tests;
