//! As much of Apache Kafka's record batch v2 as breaking it takes.
//!
//! The base offset and the leader epoch lie outside of the CRC-32C, which covers everything from the attributes on.

use std::ops::Range;

use bytes::Bytes;

const LENGTH_AT: usize = 8;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORDS_AT: usize = 61;
/// The length field counts what follows it.
const LENGTH_COUNTS_FROM: usize = 12;
const COMPRESSION_MASK: i16 = 7;

/// Bytes that are no batches of magic 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no whole record batches of magic 2")]
pub(crate) struct NotABatch;

/// The fields of a batch that faults look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub length_bytes: usize,
    pub base_offset: i64,
    /// Of the records, as offsets count.
    pub offsets: i64,
    pub crc: u32,
    /// -1: none.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
}

impl Header {
    /// Of the batch that `bytes` begin with.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotABatch> {
        let length = i32::from_be_bytes(field(bytes, LENGTH_AT)?);
        let length_bytes = usize::try_from(length).map_err(|_| NotABatch)? + LENGTH_COUNTS_FROM;
        let last_offset_delta = i32::from_be_bytes(field(bytes, LAST_OFFSET_DELTA_AT)?);
        let is_whole = (RECORDS_AT..=bytes.len()).contains(&length_bytes);
        if !is_whole || field(bytes, MAGIC_AT)? != [2] || last_offset_delta < 0 {
            return Err(NotABatch);
        }
        Ok(Self {
            length_bytes,
            base_offset: i64::from_be_bytes(field(bytes, 0)?),
            offsets: i64::from(last_offset_delta) + 1,
            crc: u32::from_be_bytes(field(bytes, CRC_AT)?),
            producer_id: i64::from_be_bytes(field(bytes, PRODUCER_ID_AT)?),
            producer_epoch: i16::from_be_bytes(field(bytes, PRODUCER_EPOCH_AT)?),
            base_sequence: i32::from_be_bytes(field(bytes, BASE_SEQUENCE_AT)?),
        })
    }

    /// The offset after its last one.
    pub fn end(&self) -> i64 {
        self.base_offset + self.offsets
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], NotABatch> {
    bytes.get(at..at + N).and_then(|field| field.try_into().ok()).ok_or(NotABatch)
}

/// Cuts a row of batches into single ones.
pub(crate) fn split(mut bytes: Bytes) -> Result<Vec<(Header, Bytes)>, NotABatch> {
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        let header = Header::parse(&bytes)?;
        batches.push((header, bytes.split_to(header.length_bytes)));
    }
    Ok(batches)
}

/// Gives a whole batch another base offset; its CRC still holds.
pub(crate) fn set_base_offset(batch: &mut [u8], base_offset: i64) {
    batch[..LENGTH_AT].copy_from_slice(&base_offset.to_be_bytes());
}

/// Gives a whole batch another base sequence and the CRC that belongs to it.
pub(crate) fn set_base_sequence(batch: &mut [u8], base_sequence: i32) {
    batch[BASE_SEQUENCE_AT..BASE_SEQUENCE_AT + 4].copy_from_slice(&base_sequence.to_be_bytes());
    mend_crc(batch);
}

/// Makes the CRC of a whole batch match its bytes.
pub(crate) fn mend_crc(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// Flips one bit of the last byte of a value and leaves the CRC: `pick` says of which record, and which bit. Where there is
/// no value to be found (compressed, null or empty ones), of a byte amid the records.
pub(crate) fn flip_bit(batch: &mut [u8], pick: u64) {
    let at = value(batch, pick / 8).map_or(RECORDS_AT + (batch.len() - RECORDS_AT) / 2, |value| value.end - 1);
    if let Some(byte) = batch.get_mut(at) {
        *byte ^= 1 << (pick % 8);
    }
}

/// Fills a value with zeros and leaves the CRC: `pick` says which. Where there is no value to be found, nothing happens.
pub(crate) fn blank_value(batch: &mut [u8], pick: u64) {
    if let Some(value) = value(batch, pick) {
        batch[value].fill(0);
    }
}

/// One of the values that are there and not empty.
fn value(batch: &[u8], pick: u64) -> Option<Range<usize>> {
    let values = if is_compressed(batch) { Vec::new() } else { values(batch) };
    let place = usize::try_from(pick.checked_rem(values.len() as u64)?).ok()?;
    values.get(place).cloned()
}

fn is_compressed(batch: &[u8]) -> bool {
    field(batch, ATTRIBUTES_AT).is_ok_and(|attributes| i16::from_be_bytes(attributes) & COMPRESSION_MASK != 0)
}

/// Where in the batch the values of its records are, those that are not empty.
fn values(batch: &[u8]) -> Vec<Range<usize>> {
    let mut values = Vec::new();
    let mut at = RECORDS_AT;
    while let Some((value, next)) = record(batch, at) {
        values.extend((!value.is_empty()).then_some(value));
        at = next;
    }
    values
}

/// Of the record at a place: where its value is, and where the next record begins.
fn record(batch: &[u8], mut at: usize) -> Option<(Range<usize>, usize)> {
    let length = usize::try_from(varint(batch, &mut at)?).ok()?;
    let next = at.checked_add(length).filter(|next| *next <= batch.len() && length > 0)?;
    // The attributes, one byte.
    at += 1;
    let _timestamp_delta = varint(batch, &mut at)?;
    let _offset_delta = varint(batch, &mut at)?;
    let key_length = varint(batch, &mut at)?;
    at = at.checked_add(usize::try_from(key_length).unwrap_or(0))?;
    let value_length = usize::try_from(varint(batch, &mut at)?).unwrap_or(0);
    let end = at.checked_add(value_length).filter(|end| *end <= next)?;
    Some((at..end, next))
}

/// A zigzag number of at most ten bytes.
fn varint(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let mut raw = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        raw |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((raw >> 1) as i64 ^ -((raw & 1) as i64));
        }
    }
    None
}

/// Batches for tests.
#[cfg(test)]
pub(crate) mod build {
    use super::*;

    /// Who wrote a batch, and where it stands.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Of {
        pub base_offset: i64,
        pub producer_id: i64,
        pub base_sequence: i32,
    }

    fn put_varint(bytes: &mut Vec<u8>, value: i64) {
        let mut raw = ((value << 1) ^ (value >> 63)) as u64;
        while raw >= 0x80 {
            bytes.push(raw as u8 | 0x80);
            raw >>= 7;
        }
        bytes.push(raw as u8);
    }

    /// A sound batch with these values under the key `k`.
    pub(crate) fn batch(of: Of, values: &[&[u8]]) -> Bytes {
        let mut bytes = of.base_offset.to_be_bytes().to_vec();
        bytes.extend([0; 8]);
        bytes.push(2);
        bytes.extend([0; 6]);
        bytes.extend((values.len() as i32 - 1).to_be_bytes());
        bytes.extend([0; 16]);
        bytes.extend(of.producer_id.to_be_bytes());
        bytes.extend([0; 2]);
        bytes.extend(of.base_sequence.to_be_bytes());
        bytes.extend((values.len() as i32).to_be_bytes());
        assert_eq!(bytes.len(), RECORDS_AT);
        for (delta, value) in values.iter().enumerate() {
            let mut record = vec![0];
            put_varint(&mut record, 0);
            put_varint(&mut record, delta as i64);
            put_varint(&mut record, 1);
            record.push(b'k');
            put_varint(&mut record, value.len() as i64);
            record.extend(*value);
            put_varint(&mut record, 0);
            put_varint(&mut bytes, record.len() as i64);
            bytes.extend(record);
        }
        let length = (bytes.len() - LENGTH_COUNTS_FROM) as i32;
        bytes[LENGTH_AT..LENGTH_COUNTS_FROM].copy_from_slice(&length.to_be_bytes());
        mend_crc(&mut bytes);
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        build::{Of, batch},
        *,
    };

    const OF: Of = Of { base_offset: 70, producer_id: 9, base_sequence: 30 };

    fn is_sound(batch: &[u8]) -> bool {
        Header::parse(batch).unwrap().crc == crc32c::crc32c(&batch[ATTRIBUTES_AT..])
    }

    #[test]
    fn a_row_of_batches_is_cut_and_read() {
        let (one, two) = (batch(OF, &[b"a", b"b"]), batch(Of { base_offset: 72, ..OF }, &[b"c"]));
        let row: Bytes = [&one[..], &two[..]].concat().into();
        let batches = split(row.clone()).unwrap();
        assert_eq!(batches.iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(), [one, two]);
        let (header, _) = batches[0];
        assert_eq!((header.base_offset, header.end(), header.offsets), (70, 72, 2));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (9, 0, 30));
        for length in 1..row.len() {
            let cut = split(row.slice(..length));
            assert!(cut.is_err() || cut.unwrap().len() == 1, "{length}");
        }
        let mut magic_one = row.to_vec();
        magic_one[MAGIC_AT] = 1;
        assert_eq!(split(magic_one.into()), Err(NotABatch));
    }

    #[test]
    fn offsets_lie_outside_of_the_crc_and_sequences_within() {
        let mut bytes = batch(OF, &[b"a"]).to_vec();
        set_base_offset(&mut bytes, 1_000);
        assert!(is_sound(&bytes));
        set_base_sequence(&mut bytes, 7);
        assert!(is_sound(&bytes));
        let header = Header::parse(&bytes).unwrap();
        assert_eq!((header.base_offset, header.base_sequence), (1_000, 7));
    }

    #[test]
    fn one_bit_of_a_value_is_flipped() {
        let values: [&[u8]; 3] = [b"one", b"", b"three"];
        let sound = batch(OF, &values);
        for pick in 0..16 {
            let mut bytes = sound.to_vec();
            flip_bit(&mut bytes, pick);
            let changed: Vec<usize> = (0..sound.len()).filter(|at| bytes[*at] != sound[*at]).collect();
            let [at] = changed[..] else { panic!("{changed:?}") };
            assert_eq!((bytes[at] ^ sound[at]).count_ones(), 1);
            // The empty value has no bit.
            let value = values[if pick < 8 { 0 } else { 2 }];
            assert_eq!(&sound[at + 1 - value.len()..=at], value);
            assert!(!is_sound(&bytes));
            mend_crc(&mut bytes);
            assert!(is_sound(&bytes));
        }
    }

    #[test]
    fn a_value_is_blanked_where_it_stands() {
        let mut bytes = batch(OF, &[b"one", b"", b"three"]).to_vec();
        blank_value(&mut bytes, 1);
        let expected = batch(OF, &[b"one", b"", &[0; 5]]);
        mend_crc(&mut bytes);
        assert_eq!(bytes, expected);
        let mut empty = batch(OF, &[b""]).to_vec();
        blank_value(&mut empty, 3);
        assert_eq!(empty, batch(OF, &[b""]));
    }

    #[test]
    fn where_no_value_is_to_be_found_another_byte_is_hit() {
        let mut compressed = batch(OF, &[b"abc"]).to_vec();
        compressed[ATTRIBUTES_AT + 1] = 4;
        for sound in [compressed, batch(OF, &[b""]).to_vec()] {
            let mut bytes = sound.clone();
            flip_bit(&mut bytes, 3);
            assert_eq!((0..sound.len()).filter(|at| bytes[*at] != sound[*at]).count(), 1);
            assert_eq!(bytes[..RECORDS_AT], sound[..RECORDS_AT]);
        }
    }
}
