//! Apache Kafka v2 record batches, written and read by this crate alone: the service's own codec is what is under test.
//!
//! Every record's value begins with a [`Stamp`]; the rest is random bytes, so that nothing compresses.

use bytes::{BufMut, Bytes, BytesMut};
use crc_fast::CrcAlgorithm;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Bytes of a batch before its first record.
pub const HEADER_BYTES: usize = 61;
/// Bytes of a [`Stamp`] at the start of a value.
pub const STAMP_BYTES: usize = 24;
/// The CRC covers everything from the attributes on.
const CRC_FROM: usize = 21;
const STAMP_MAGIC: &[u8; 4] = b"EgLt";

/// What a record says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Which producer of the run sent it.
    pub producer: u32,
    /// Its place among the producer's records of one partition, from 0.
    pub sequence: u64,
    /// When it ought to have been sent, in nanoseconds since the Unix epoch.
    pub intended_ns: u64,
}

/// The fields of a batch that differ from batch to batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchFields {
    /// From `InitProducer`.
    pub producer_id: i64,
    /// From `InitProducer`.
    pub producer_epoch: i16,
    /// Sequence of the first record, as the protocol counts: 2147483647 is followed by 0.
    pub base_sequence: i32,
    /// Of every record.
    pub timestamp_ms: i64,
}

/// A batch encoded once; each batch sent is a copy of its beginning with stamps and header patched.
pub struct Template {
    bytes: Vec<u8>,
    /// Of each record: where its value starts and where the record ends.
    records: Vec<(usize, usize)>,
    value_bytes: usize,
}

impl Template {
    /// A template of up to `max_records` records whose values have `value_bytes` each.
    pub fn new(value_bytes: usize, max_records: usize, seed: u64) -> Self {
        let value_bytes = value_bytes.max(STAMP_BYTES);
        let mut random = StdRng::seed_from_u64(seed);
        let mut bytes = vec![0; HEADER_BYTES];
        let mut records = Vec::with_capacity(max_records);
        let mut body = Vec::new();
        for index in 0..max_records {
            body.clear();
            body.push(0); // attributes
            put_varint(&mut body, 0); // timestamp delta
            put_varint(&mut body, i64::try_from(index).unwrap_or(i64::MAX));
            put_varint(&mut body, -1); // no key
            put_varint(&mut body, i64::try_from(value_bytes).unwrap_or(i64::MAX));
            let value_at = body.len();
            body.resize(value_at + value_bytes, 0);
            random.fill_bytes(&mut body[value_at..]);
            body[value_at..value_at + 4].copy_from_slice(STAMP_MAGIC);
            put_varint(&mut body, 0); // headers
            put_varint(&mut bytes, i64::try_from(body.len()).unwrap_or(i64::MAX));
            let record_at = bytes.len();
            bytes.extend_from_slice(&body);
            records.push((record_at + value_at, bytes.len()));
        }
        Self { bytes, records, value_bytes }
    }

    /// How many records a batch may hold.
    pub fn max_records(&self) -> usize {
        self.records.len()
    }

    /// Bytes of one record's value.
    pub fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// A batch of `count` records, the `i`-th with `stamp(i)`. `count` is between 1 and [`Self::max_records`].
    pub fn batch(&self, fields: BatchFields, count: usize, stamp: impl Fn(usize) -> Stamp) -> Bytes {
        assert!((1..=self.records.len()).contains(&count), "a batch of {count} records");
        let end = self.records[count - 1].1;
        let mut batch = BytesMut::with_capacity(end);
        batch.extend_from_slice(&self.bytes[..end]);
        for (index, (value_at, _)) in self.records[..count].iter().enumerate() {
            let Stamp { producer, sequence, intended_ns } = stamp(index);
            let mut place = &mut batch[value_at + 4..value_at + STAMP_BYTES];
            place.put_u32(producer);
            place.put_u64(sequence);
            place.put_u64(intended_ns);
        }
        let last_delta = i32::try_from(count - 1).unwrap_or(i32::MAX);
        let mut header = &mut batch[..HEADER_BYTES];
        header.put_i64(0); // base offset: the service's to give
        header.put_i32(i32::try_from(end - 12).unwrap_or(i32::MAX));
        header.put_i32(0); // leader epoch
        header.put_i8(2); // magic
        header.put_u32(0); // CRC, below
        header.put_i16(0); // attributes
        header.put_i32(last_delta);
        header.put_i64(fields.timestamp_ms);
        header.put_i64(fields.timestamp_ms);
        header.put_i64(fields.producer_id);
        header.put_i16(fields.producer_epoch);
        header.put_i32(fields.base_sequence);
        header.put_i32(last_delta + 1);
        let crc = crc32c(&batch[CRC_FROM..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        batch.freeze()
    }
}

/// Why bytes that came back are not what was sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a batch came back malformed: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Walks whole batches, one after the other, checks each CRC, and calls `visit(offset, stamp)` for each record. Returns how
/// many bytes of values there were.
pub fn walk(mut bytes: &[u8], mut visit: impl FnMut(i64, Stamp)) -> Result<u64, Malformed> {
    let mut value_bytes = 0;
    while !bytes.is_empty() {
        let header = bytes.get(..HEADER_BYTES).ok_or(Malformed("short header"))?;
        let length = usize::try_from(i32_at(header, 8)).map_err(|_| Malformed("negative length"))?;
        let batch = bytes.get(..length.saturating_add(12)).ok_or(Malformed("short batch"))?;
        if batch.len() < HEADER_BYTES || batch[16] != 2 {
            return Err(Malformed("length or magic"));
        }
        if crc32c(&batch[CRC_FROM..]).to_be_bytes() != batch[17..21] {
            return Err(Malformed("crc"));
        }
        let base_offset = i64_at(batch, 0);
        let count = i32_at(batch, 57);
        let mut rest = &batch[HEADER_BYTES..];
        for _ in 0..count {
            let (delta, value, after) = record(rest).ok_or(Malformed("record framing"))?;
            let stamp = stamp_of(value).ok_or(Malformed("stamp"))?;
            value_bytes += value.len() as u64;
            visit(base_offset + delta, stamp);
            rest = after;
        }
        if !rest.is_empty() || i32_at(batch, 23) != count - 1 {
            return Err(Malformed("record count"));
        }
        bytes = &bytes[batch.len()..];
    }
    Ok(value_bytes)
}

/// CRC-32C (Castagnoli).
pub fn crc32c(bytes: &[u8]) -> u32 {
    u32::try_from(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes)).unwrap_or(0)
}

/// One record without key and headers: its offset delta, its value, what follows it.
fn record(bytes: &[u8]) -> Option<(i64, &[u8], &[u8])> {
    let (length, rest) = varint(bytes)?;
    let length = usize::try_from(length).ok()?;
    let (body, after) = (rest.get(..length)?, rest.get(length..)?);
    let (_timestamp_delta, body) = varint(body.get(1..)?)?;
    let (offset_delta, body) = varint(body)?;
    let (key, body) = varint(body)?;
    let (value_length, body) = varint(body)?;
    let value = body.get(..usize::try_from(value_length).ok()?)?;
    (key == -1).then_some((offset_delta, value, after))
}

fn stamp_of(value: &[u8]) -> Option<Stamp> {
    let stamp = value.get(..STAMP_BYTES)?;
    (&stamp[..4] == STAMP_MAGIC).then(|| Stamp {
        producer: u32::from_be_bytes([stamp[4], stamp[5], stamp[6], stamp[7]]),
        sequence: i64_at(stamp, 8).cast_unsigned(),
        intended_ns: i64_at(stamp, 16).cast_unsigned(),
    })
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(eight)
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while zigzag >= 0x80 {
        out.push((zigzag & 0x7f) as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

fn varint(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut zigzag = 0u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        zigzag |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let value = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: BatchFields =
        BatchFields { producer_id: 7, producer_epoch: 1, base_sequence: 40, timestamp_ms: 1_700_000_000_000 };

    fn stamp(index: usize) -> Stamp {
        Stamp { producer: 3, sequence: 40 + index as u64, intended_ns: 1_000 + index as u64 }
    }

    #[test]
    fn what_is_written_is_read() {
        let template = Template::new(100, 300, 1);
        for count in [1, 2, 64, 65, 300] {
            let batch = template.batch(FIELDS, count, stamp);
            let mut seen = Vec::new();
            let bytes = walk(&batch, |offset, stamp| seen.push((offset, stamp))).unwrap();
            assert_eq!(bytes, 100 * count as u64);
            let sent: Vec<_> = (0..count).map(|index| (index as i64, stamp(index))).collect();
            assert_eq!(seen, sent);
        }
    }

    #[test]
    fn two_batches_in_a_row_are_walked() {
        let template = Template::new(64, 4, 1);
        let mut both = template.batch(FIELDS, 4, stamp).to_vec();
        let second = template.batch(FIELDS, 2, stamp);
        let at = both.len();
        both.extend_from_slice(&second);
        both[at..at + 8].copy_from_slice(&4i64.to_be_bytes());
        let mut offsets = Vec::new();
        walk(&both, |offset, _| offsets.push(offset)).unwrap();
        assert_eq!(offsets, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn the_header_is_kafkas() {
        let template = Template::new(64, 2, 1);
        let batch = template.batch(FIELDS, 2, stamp);
        assert_eq!(i32_at(&batch, 8) as usize + 12, batch.len());
        assert_eq!(batch[16], 2);
        assert_eq!(i32_at(&batch, 23), 1, "last offset delta");
        assert_eq!(i64_at(&batch, 43), 7, "producer id");
        assert_eq!(i32_at(&batch, 53), 40, "base sequence");
        assert_eq!(i32_at(&batch, 57), 2, "records");
        assert_eq!(crc32c(b"123456789"), 0xe306_9283, "the check value of CRC-32C");
    }

    #[test]
    fn every_flipped_bit_under_the_crc_is_found() {
        let template = Template::new(64, 2, 1);
        let batch = template.batch(FIELDS, 2, stamp);
        for at in 17..batch.len() {
            let mut broken = batch.to_vec();
            broken[at] ^= 1;
            assert!(walk(&broken, |_, _| {}).is_err(), "byte {at}");
        }
        for length in 1..batch.len() {
            assert!(walk(&batch[..length], |_, _| {}).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn varints_are_zigzag() {
        for (value, bytes) in [(0, vec![0]), (-1, vec![1]), (1, vec![2]), (63, vec![126]), (64, vec![128, 1])] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(varint(&out), Some((value, &[][..])));
        }
        assert_eq!(varint(&[0x80; 11]), None);
    }
}
