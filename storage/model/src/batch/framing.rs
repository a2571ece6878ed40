//! The records of a batch's uncompressed body, found without allocation.
//!
//! No count from the wire decides an allocation here: every length is held against the bytes that remain.

use super::varint::{take_varint, take_varlong};
use super::{BatchError, Flaw, Limited};

/// Walks the records of a body that should hold `count` of them and nothing else.
#[derive(Debug, Clone)]
pub(crate) struct RecordCursor<'a> {
    rest: &'a [u8],
    next: i32,
    count: i32,
    max_record_bytes: usize,
}

/// One record as it stands in the body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordView<'a> {
    /// Its place in the batch, from 0.
    pub(crate) record: i32,
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    header_count: i32,
    headers: &'a [u8],
}

/// One header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeaderView<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: Option<&'a [u8]>,
}

impl<'a> RecordCursor<'a> {
    pub(crate) fn new(body: &'a [u8], count: i32, max_record_bytes: usize) -> Self {
        Self { rest: body, next: 0, count, max_record_bytes }
    }

    /// Goes on in the middle of a body, at record `next`. Such a body has been validated: no record is too large.
    pub(crate) fn resume(rest: &'a [u8], next: i32, count: i32) -> Self {
        Self { rest, next, count, max_record_bytes: usize::MAX }
    }

    pub(crate) fn remaining_bytes(&self) -> usize {
        self.rest.len()
    }

    /// The next record; `None` after the last one. An error is final.
    #[inline]
    pub(crate) fn next_record(&mut self) -> Result<Option<RecordView<'a>>, BatchError> {
        let record = self.next;
        if record >= self.count {
            return match self.rest.len() {
                0 => Ok(None),
                extra => Err(Flaw::ExtraBytes { extra_bytes: extra as u64 }.into()),
            };
        }
        if self.rest.is_empty() {
            return Err(Flaw::RecordsEnd { record }.into());
        }
        let length = take_varint(&mut self.rest).and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or(Flaw::Record { record, field: "length" })?;
        if length > self.max_record_bytes {
            return Err(BatchError::TooLarge {
                what: Limited::Record,
                size_bytes: length as u64,
                limit_bytes: self.max_record_bytes as u64,
            });
        }
        let Some((body, rest)) = self.rest.split_at_checked(length) else {
            return Err(Flaw::RecordsEnd { record }.into());
        };
        let view = RecordView::parse(record, body).map_err(|field| Flaw::Record { record, field })?;
        self.rest = rest;
        self.next += 1;
        Ok(Some(view))
    }
}

impl<'a> RecordView<'a> {
    /// All but the headers, which [`headers`](Self::headers) reads. An error names the field.
    #[inline]
    fn parse(record: i32, body: &'a [u8]) -> Result<Self, &'static str> {
        // The attributes of a record have no meaning yet; Kafka ignores them.
        let (_attributes, mut body) = body.split_first().ok_or("attributes")?;
        let timestamp_delta = take_varlong(&mut body).ok_or("timestamp delta")?;
        let offset_delta = take_varint(&mut body).ok_or("offset delta")?;
        let key = take_nullable(&mut body).ok_or("key")?;
        let value = take_nullable(&mut body).ok_or("value")?;
        let header_count = take_varint(&mut body).ok_or("header count")?;
        // A header has at least two bytes.
        if header_count < 0 || header_count as usize > body.len() / 2 || (header_count == 0 && !body.is_empty()) {
            return Err("header count");
        }
        Ok(Self { record, timestamp_delta, offset_delta, key, value, header_count, headers: body })
    }

    /// How many headers it has; at most half its bytes.
    pub(crate) fn header_count(&self) -> usize {
        self.header_count as usize
    }

    /// Calls `each` for every header; fails when one is malformed or bytes are left over.
    #[inline]
    pub(crate) fn headers(&self, mut each: impl FnMut(HeaderView<'a>)) -> Result<(), Flaw> {
        let mut rest = self.headers;
        for _ in 0..self.header_count {
            let header = take_header(&mut rest);
            each(header.ok_or(Flaw::Record { record: self.record, field: "header" })?);
        }
        if rest.is_empty() { Ok(()) } else { Err(Flaw::Record { record: self.record, field: "length" }) }
    }
}

/// A header's key is a string, never null.
fn take_header<'a>(rest: &mut &'a [u8]) -> Option<HeaderView<'a>> {
    let key = std::str::from_utf8(take_nullable(rest)??).ok()?;
    let value = take_nullable(rest)?;
    Some(HeaderView { key, value })
}

/// A length and so many bytes; -1 is null. `None`: malformed.
#[inline]
#[expect(clippy::option_option, reason = "the inner one is the value's own null")]
fn take_nullable<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = take_varint(rest)?;
    if length == -1 {
        return Some(None);
    }
    let (taken, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = left;
    Some(Some(taken))
}
