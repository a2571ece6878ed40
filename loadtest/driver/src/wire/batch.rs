//! Apache Kafka v2 record batches.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of a batch before its first record.
pub const HEADER_BYTES: usize = 61;
/// The CRC covers everything from the attributes on.
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;

/// Whose batch it is, and which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// As the service gave it.
    pub producer_id: i64,
    /// As the service gave it.
    pub epoch: i16,
    /// Sequence of the first record, as the protocol counts: 2147483647 is followed by 0.
    pub base_sequence: i32,
}

/// A batch that still grows.
#[derive(Debug, Default)]
pub struct Builder {
    bytes: BytesMut,
    records: u32,
    first_ms: i64,
    last_ms: i64,
}

impl Builder {
    /// Nothing in it yet.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Appends a record with a value of so many bytes, which `fill` writes. Timestamps do not go back.
    pub fn append(&mut self, key: Option<&[u8]>, value_bytes: usize, timestamp_ms: i64, fill: impl FnOnce(&mut [u8])) {
        if self.records == 0 {
            self.bytes.resize(HEADER_BYTES, 0);
            (self.first_ms, self.last_ms) = (timestamp_ms, timestamp_ms);
        }
        self.last_ms = self.last_ms.max(timestamp_ms);
        let (time_delta, offset_delta) = (timestamp_ms - self.first_ms, i64::from(self.records));
        let (key_length, value_length) = (key.map_or(-1, length), i64::try_from(value_bytes).unwrap_or(i64::MAX));
        let key_bytes = key.unwrap_or_default();
        // Attributes before and the number of headers behind are a byte each.
        let numbers: usize = [time_delta, offset_delta, key_length, value_length].into_iter().map(varint_bytes).sum();
        let record_bytes = 2 + numbers + key_bytes.len() + value_bytes;
        self.bytes.reserve(record_bytes + 5);
        put_varint(&mut self.bytes, i64::try_from(record_bytes).unwrap_or(i64::MAX));
        self.bytes.put_u8(0);
        put_varint(&mut self.bytes, time_delta);
        put_varint(&mut self.bytes, offset_delta);
        put_varint(&mut self.bytes, key_length);
        self.bytes.extend_from_slice(key_bytes);
        put_varint(&mut self.bytes, value_length);
        let value_at = self.bytes.len();
        self.bytes.resize(value_at + value_bytes, 0);
        fill(&mut self.bytes[value_at..]);
        self.bytes.put_u8(0);
        self.records += 1;
    }

    /// The batch; what is left is empty. Nothing but whole records that were appended is in it, one at least.
    pub fn seal(&mut self, identity: Identity) -> Bytes {
        let mut batch = self.bytes.split();
        let last_delta = i32::try_from(self.records).unwrap_or(i32::MAX) - 1;
        let length = i32::try_from(batch.len() - 12).unwrap_or(i32::MAX);
        let mut header = &mut batch[..HEADER_BYTES];
        header.put_i64(0); // base offset: the service's to give
        header.put_i32(length);
        header.put_i32(0); // leader epoch
        header.put_i8(2); // magic
        header.put_u32(0); // CRC, below
        header.put_i16(0); // attributes
        header.put_i32(last_delta);
        header.put_i64(self.first_ms);
        header.put_i64(self.last_ms);
        header.put_i64(identity.producer_id);
        header.put_i16(identity.epoch);
        header.put_i32(identity.base_sequence);
        header.put_i32(last_delta + 1);
        put_crc(&mut batch);
        self.records = 0;
        batch.freeze()
    }
}

/// The same records under another identity.
pub fn renamed(batch: &Bytes, identity: Identity) -> Bytes {
    let mut batch = BytesMut::from(&batch[..]);
    let mut place = &mut batch[43..57];
    place.put_i64(identity.producer_id);
    place.put_i16(identity.epoch);
    place.put_i32(identity.base_sequence);
    put_crc(&mut batch);
    batch.freeze()
}

fn put_crc(batch: &mut BytesMut) {
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
}

/// Why bytes that came back are not what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// A record as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// By the batch.
    pub offset: i64,
    /// Of the record.
    pub key: Option<&'a [u8]>,
    /// Of the record.
    pub value: &'a [u8],
}

/// Walks whole batches, one after the other, checks each one's CRC, and calls `visit` for each record. A batch is visited
/// only when all of it was found sound.
pub fn walk<'a>(mut bytes: &'a [u8], mut visit: impl FnMut(Record<'a>)) -> Result<(), Malformed> {
    while !bytes.is_empty() {
        let header = bytes.get(..HEADER_BYTES).ok_or(Malformed("it ends within a header"))?;
        let length = usize::try_from(i32_at(header, 8)).map_err(|_| Malformed("its length is negative"))?;
        let batch = bytes.get(..length.saturating_add(12)).ok_or(Malformed("it ends within a batch"))?;
        if batch.len() < HEADER_BYTES || batch[16] != 2 {
            return Err(Malformed("its length or magic is wrong"));
        }
        if crc32c::crc32c(&batch[CRC_FROM..]).to_be_bytes() != batch[CRC_AT..CRC_FROM] {
            return Err(Malformed("its CRC does not match"));
        }
        if batch[22] & 0x27 != 0 {
            return Err(Malformed("it is compressed or a control batch, which nobody sent"));
        }
        let (base_offset, count) = (i64_at(batch, 0), i32_at(batch, 57));
        let records = || Records { rest: &batch[HEADER_BYTES..], left: count, base_offset };
        if records().any(|record| record.is_none()) || i32_at(batch, 23) != count - 1 {
            return Err(Malformed("its records are not framed as it says"));
        }
        records().flatten().for_each(&mut visit);
        bytes = &bytes[batch.len()..];
    }
    Ok(())
}

/// Records of one batch; `None` where the framing is wrong or something is left over.
struct Records<'a> {
    rest: &'a [u8],
    left: i32,
    base_offset: i64,
}

impl<'a> Iterator for Records<'a> {
    type Item = Option<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return (!std::mem::take(&mut self.rest).is_empty()).then_some(None);
        }
        self.left -= 1;
        let parsed = record(self.rest, self.base_offset);
        match parsed {
            Some((record, rest)) => {
                self.rest = rest;
                Some(Some(record))
            }
            None => {
                (self.left, self.rest) = (0, &[]);
                Some(None)
            }
        }
    }
}

fn record(bytes: &[u8], base_offset: i64) -> Option<(Record<'_>, &[u8])> {
    let (length, rest) = varint(bytes)?;
    let length = usize::try_from(length).ok()?;
    let (body, after) = (rest.get(..length)?, rest.get(length..)?);
    let (_time_delta, body) = varint(body.get(1..)?)?;
    let (offset_delta, body) = varint(body)?;
    let (key, body) = field(body)?;
    let (value, body) = field(body)?;
    (body == [0]).then_some((Record { offset: base_offset.checked_add(offset_delta)?, key, value: value? }, after))
}

/// A length and that many bytes; a length of -1 is null.
fn field(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = varint(bytes)?;
    if length == -1 {
        return Some((None, rest));
    }
    let length = usize::try_from(length).ok()?;
    Some((Some(rest.get(..length)?), rest.get(length..)?))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(eight)
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn varint_bytes(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn put_varint(out: &mut BytesMut, value: i64) {
    let mut zigzag = zigzag(value);
    while zigzag >= 0x80 {
        out.put_u8((zigzag & 0x7f) as u8 | 0x80);
        zigzag >>= 7;
    }
    out.put_u8(zigzag as u8);
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

    const IDENTITY: Identity = Identity { producer_id: 7, epoch: 1, base_sequence: 40 };

    fn batch(count: usize) -> Bytes {
        let mut builder = Builder::default();
        for index in 0..count {
            let key = (index % 3 > 0).then(|| vec![b'k'; index % 3]);
            builder.append(key.as_deref(), 10 + index, 1_700_000_000_000 + index as i64, |value| {
                value.fill(index as u8);
            });
        }
        builder.seal(IDENTITY)
    }

    #[test]
    fn what_is_written_is_read() {
        for count in [1, 2, 64, 65, 300] {
            let batch = batch(count);
            let mut seen = 0;
            walk(&batch, |record| {
                assert_eq!(record.offset, seen as i64);
                assert_eq!(record.value, vec![seen as u8; 10 + seen]);
                assert_eq!(record.key.map(<[u8]>::len), (seen % 3 > 0).then_some(seen % 3));
                seen += 1;
            })
            .unwrap();
            assert_eq!(seen, count);
        }
    }

    #[test]
    fn two_batches_in_a_row_are_walked() {
        let mut both = batch(4).to_vec();
        let at = both.len();
        both.extend_from_slice(&batch(2));
        both[at..at + 8].copy_from_slice(&4i64.to_be_bytes());
        let mut offsets = Vec::new();
        walk(&both, |record| offsets.push(record.offset)).unwrap();
        assert_eq!(offsets, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_builder_begins_anew_after_a_seal() {
        let mut builder = Builder::default();
        builder.append(None, 1, 5, |_| {});
        builder.seal(IDENTITY);
        assert!(builder.is_empty());
        builder.append(None, 1, 9, |value| value.fill(1));
        let second = builder.seal(IDENTITY);
        assert_eq!((i64_at(&second, 27), i64_at(&second, 35), i32_at(&second, 57)), (9, 9, 1));
        walk(&second, |record| assert_eq!(record.offset, 0)).unwrap();
    }

    #[test]
    fn the_header_is_kafkas() {
        let batch = batch(2);
        assert_eq!(i32_at(&batch, 8) as usize + 12, batch.len());
        assert_eq!(batch[16], 2);
        assert_eq!(i32_at(&batch, 23), 1, "last offset delta");
        assert_eq!((i64_at(&batch, 27), i64_at(&batch, 35)), (1_700_000_000_000, 1_700_000_000_001));
        assert_eq!(i64_at(&batch, 43), 7, "producer id");
        assert_eq!(i32_at(&batch, 53), 40, "base sequence");
        assert_eq!(i32_at(&batch, 57), 2, "records");
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283, "the check value of CRC-32C");
    }

    #[test]
    fn another_identity_leaves_the_records_as_they_are() {
        let other = Identity { producer_id: 8, epoch: 2, base_sequence: 3 };
        let batch = renamed(&batch(3), other);
        assert_eq!((i64_at(&batch, 43), i32_at(&batch, 53)), (8, 3));
        let mut count = 0;
        walk(&batch, |_| count += 1).unwrap();
        assert_eq!(count, 3);
    }

    #[test]
    fn every_flipped_bit_under_the_crc_is_found() {
        let batch = batch(2);
        for at in 17..batch.len() {
            let mut broken = batch.to_vec();
            broken[at] ^= 1;
            assert!(walk(&broken, |_| {}).is_err(), "byte {at}");
        }
        for length in 1..batch.len() {
            assert!(walk(&batch[..length], |_| {}).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn wrong_framing_under_a_right_crc_is_found() {
        for (at, value) in [(60, 1), (60, 3), (HEADER_BYTES, 0x7e), (26, 7)] {
            let mut broken = BytesMut::from(&batch(2)[..]);
            broken[at] = value;
            put_crc(&mut broken);
            assert!(walk(&broken, |_| {}).is_err(), "byte {at}");
        }
    }

    #[test]
    fn varints_are_zigzag() {
        for (value, bytes) in [(0, vec![0]), (-1, vec![1]), (1, vec![2]), (63, vec![126]), (64, vec![128, 1])] {
            let mut out = BytesMut::new();
            put_varint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(varint(&out), Some((value, &[][..])));
            assert_eq!(varint_bytes(value), out.len());
        }
        assert_eq!(varint_bytes(i64::MIN), 10);
        assert_eq!(varint(&[0x80; 11]), None);
    }
}
