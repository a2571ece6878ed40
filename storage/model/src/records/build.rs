//! From records to a batch.

use bytes::Bytes;

use super::Record;
use crate::batch::{
    ATTRIBUTES_AT, BATCH_LENGTH_PREFIX_BYTES, BatchError, BatchHeader, CRC_AT, Compression, Fields, Flaw, HEADER_BYTES,
    ValidBatch, crc32c, crc32c_combine, varint_bytes, varlong_bytes,
};

/// Which producer sends a batch, and the sequence of its first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerFields {
    /// -1: not idempotent.
    pub producer_id: i64,
    /// -1: not idempotent.
    pub producer_epoch: i16,
    /// -1: not idempotent.
    pub base_sequence: i32,
}

impl ProducerFields {
    /// Of a batch that is not idempotent.
    pub const NONE: Self = Self { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
}

/// A batch ready to be sent or stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedBatch {
    /// The whole batch, with base offset 0.
    pub bytes: Bytes,
    /// What [`validate`](crate::batch::validate) would say of it.
    pub valid: ValidBatch,
}

/// Encodes records one after the other into one buffer.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    /// Room for the header, then the records.
    buffer: Vec<u8>,
    producer: ProducerFields,
    record_count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(producer: ProducerFields) -> Self {
        Self::with_capacity(producer, 0)
    }

    /// An empty batch with room for `capacity_bytes` of the whole batch.
    pub fn with_capacity(producer: ProducerFields, capacity_bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(capacity_bytes.max(HEADER_BYTES));
        buffer.resize(HEADER_BYTES, 0);
        Self { buffer, producer, record_count: 0, base_timestamp: 0, max_timestamp: 0 }
    }

    /// Says who sends it; for producers that number a batch when it is full.
    pub fn set_producer(&mut self, producer: ProducerFields) {
        self.producer = producer;
    }

    /// Bytes of the batch so far, uncompressed, its header included.
    pub fn size_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// What [`size_bytes`](Self::size_bytes) would be after this record.
    pub fn size_bytes_with(&self, record: &Record) -> usize {
        let plan = self.plan(record.key.as_deref(), record.value.as_deref(), views(record), record.timestamp_ms);
        plan.map_or(usize::MAX, |plan| self.buffer.len() + plan.whole_bytes())
    }

    /// Records so far.
    pub fn record_count(&self) -> u32 {
        self.record_count.unsigned_abs()
    }

    /// No record yet.
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Appends a record.
    ///
    /// # Errors
    /// As [`push_parts`](Self::push_parts).
    pub fn push(&mut self, record: &Record) -> Result<(), BatchError> {
        self.push_parts(record.key.as_deref(), record.value.as_deref(), views(record), record.timestamp_ms)
    }

    /// Appends a record from its parts. `headers` is gone through twice.
    ///
    /// # Errors
    /// [`Flaw::Unencodable`]: the batch would exceed 2 GiB, or the timestamp is more than 63 bits away from the first
    /// record's. The batch is as it was before.
    pub fn push_parts<'a>(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
        timestamp_ms: i64,
    ) -> Result<(), BatchError> {
        let plan = self.plan(key, value, headers.clone(), timestamp_ms)?;
        if self.buffer.len() + plan.whole_bytes() > i32::MAX as usize {
            return Err(Flaw::Unencodable("record").into());
        }
        let out = &mut self.buffer;
        out.reserve(plan.whole_bytes());
        let start = out.len();
        let front = Fields::new().varint(plan.body_bytes).byte(0).varlong(plan.timestamp_delta);
        put_nullable(out, front.varint(self.record_count), key);
        put_nullable(out, Fields::new(), value);
        Fields::new().varint(plan.header_count).put(out);
        for (key, value) in headers {
            put_nullable(out, Fields::new(), Some(key.as_bytes()));
            put_nullable(out, Fields::new(), value);
        }
        debug_assert_eq!(out.len() - start, plan.whole_bytes(), "a record takes the bytes that were planned");
        if self.record_count == 0 {
            self.base_timestamp = timestamp_ms;
            self.max_timestamp = timestamp_ms;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        self.record_count += 1;
        Ok(())
    }

    /// Closes the batch: base offset 0, leader epoch 0, timestamps of the producer.
    ///
    /// # Errors
    /// [`Flaw::RecordCount`]: there is no record. [`Flaw::Unencodable`]: the codec cannot take so much.
    pub fn finish(mut self, compression: Compression) -> Result<EncodedBatch, BatchError> {
        if self.record_count == 0 {
            return Err(Flaw::RecordCount(0).into());
        }
        if compression != Compression::None {
            let mut compressed = Vec::with_capacity(self.buffer.len() / 2);
            compressed.resize(HEADER_BYTES, 0);
            compression.compress(&self.buffer[HEADER_BYTES..], &mut compressed)?;
            self.buffer = compressed;
        }
        let batch_length = i32::try_from(self.buffer.len() - BATCH_LENGTH_PREFIX_BYTES);
        let mut header = BatchHeader {
            base_offset: 0,
            batch_length: batch_length.map_err(|_| Flaw::Unencodable("length"))?,
            partition_leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: i16::from(compression.number()),
            last_offset_delta: self.record_count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer.producer_id,
            producer_epoch: self.producer.producer_epoch,
            base_sequence: self.producer.base_sequence,
            record_count: self.record_count,
        };
        if let Some(bytes) = self.buffer.first_chunk_mut() {
            header.write(bytes);
        }
        let (outside, covered) = self.buffer.split_at_mut(ATTRIBUTES_AT);
        header.crc = crc32c(covered);
        outside[CRC_AT..].copy_from_slice(&header.crc.to_be_bytes());
        let crc32c_whole = crc32c_combine(crc32c(outside), header.crc, covered.len() as u64);
        Ok(EncodedBatch { bytes: self.buffer.into(), valid: ValidBatch { header, crc32c_whole } })
    }

    /// How the record will be laid out. Lengths are added as 64 bits, so that nothing overflows on the way.
    fn plan<'a>(
        &self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
        timestamp_ms: i64,
    ) -> Result<RecordPlan, BatchError> {
        let base = if self.record_count == 0 { timestamp_ms } else { self.base_timestamp };
        let timestamp_delta = timestamp_ms.checked_sub(base).ok_or(Flaw::Unencodable("timestamp"))?;
        let mut header_count = 0u64;
        let mut header_bytes = 0u64;
        for (key, value) in headers {
            header_count += 1;
            header_bytes += nullable_bytes(Some(key.as_bytes()))? + nullable_bytes(value)?;
        }
        let header_count = i32::try_from(header_count).map_err(|_| Flaw::Unencodable("header count"))?;
        let numbers = 1 + varlong_bytes(timestamp_delta) + varint_bytes(self.record_count) + varint_bytes(header_count);
        let body_bytes = numbers as u64 + nullable_bytes(key)? + nullable_bytes(value)? + header_bytes;
        let body_bytes = i32::try_from(body_bytes).map_err(|_| Flaw::Unencodable("record"))?;
        Ok(RecordPlan { timestamp_delta, header_count, body_bytes })
    }
}

struct RecordPlan {
    timestamp_delta: i64,
    header_count: i32,
    /// Without the length in front.
    body_bytes: i32,
}

impl RecordPlan {
    fn whole_bytes(&self) -> usize {
        varint_bytes(self.body_bytes) + self.body_bytes.unsigned_abs() as usize
    }
}

fn views(record: &Record) -> impl Iterator<Item = (&str, Option<&[u8]>)> + Clone {
    record.headers.iter().map(|(key, value)| (key.as_str(), value.as_deref()))
}

fn nullable_bytes(bytes: Option<&[u8]>) -> Result<u64, BatchError> {
    let Some(bytes) = bytes else { return Ok(1) };
    let length = i32::try_from(bytes.len()).map_err(|_| Flaw::Unencodable("record"))?;
    Ok(varint_bytes(length) as u64 + bytes.len() as u64)
}

/// Fields, a length and the bytes; null is the length -1. The length was planned, so it fits.
#[inline]
fn put_nullable(out: &mut Vec<u8>, before: Fields, bytes: Option<&[u8]>) {
    match bytes {
        None => before.varint(-1).put(out),
        Some(bytes) => {
            before.varint(bytes.len() as i32).put(out);
            out.extend_from_slice(bytes);
        }
    }
}
