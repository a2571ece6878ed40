//! Bytes of keys and values. Readers are functions over bytes: they never panic, and a count decides an allocation only
//! when the bytes that remain could hold so many.

use bytes::{BufMut, Bytes};

/// Why stored bytes are not a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The bytes end before the row does.
    #[error("the bytes end early")]
    Truncated,
    /// Bytes follow the row.
    #[error("{0} bytes follow the end")]
    Trailing(usize),
    /// A newer program wrote it.
    #[error("unknown version {0}")]
    UnknownVersion(u8),
    /// The key is one of another kind or slot.
    #[error("the key does not belong to this kind")]
    ForeignKey,
    /// A field holds what no writer writes; says which.
    #[error("the field {0} is out of range")]
    OutOfRange(&'static str),
}

/// Appends fields to a key or a value.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// A key of this kind and slot.
    pub(crate) fn key(kind: u8, slot: u8) -> Self {
        let mut bytes = Vec::with_capacity(26);
        bytes.put_u8(kind);
        bytes.put_u8(slot);
        Self(bytes)
    }

    /// A value in this version.
    pub(crate) fn value(version: u8) -> Self {
        Self::value_of(version, 48)
    }

    /// A value in this version that will have about so many bytes.
    pub(crate) fn value_of(version: u8, capacity_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity_bytes);
        bytes.put_u8(version);
        Self(bytes)
    }

    /// Goes on behind these bytes.
    pub(crate) fn onto(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.put_u8(value);
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.put_u32(value);
        self
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.put_u64(value);
        self
    }

    pub(crate) fn u128(&mut self, value: u128) -> &mut Self {
        self.0.put_u128(value);
        self
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.put_slice(bytes);
        self
    }

    /// An offset, a count or an id that is never negative, in eight bytes that sort as the number does.
    pub(crate) fn natural(&mut self, value: i64) -> &mut Self {
        assert!(value >= 0, "offsets and ids are never negative");
        self.u64(value.unsigned_abs())
    }

    /// LEB128: seven bits a byte, the low ones first.
    pub(crate) fn varint(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.0.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.put_u8((value & 0x7f) as u8);
        self
    }

    /// A number that is never negative, as a varint.
    pub(crate) fn natural_varint(&mut self, value: i64) -> &mut Self {
        assert!(value >= 0, "offsets and ids are never negative");
        self.varint(value.unsigned_abs())
    }

    /// A signed number as a varint: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...
    pub(crate) fn signed(&mut self, value: i64) -> &mut Self {
        self.varint(((value << 1) ^ (value >> 63)).cast_unsigned())
    }

    /// A count, then so many bytes of text.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.varint(text.len() as u64).raw(text.as_bytes())
    }

    pub(crate) fn finish(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.0))
    }
}

/// Takes fields off the front.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The fields of a key of this kind and slot.
    pub(crate) fn key(bytes: &'a [u8], kind: u8) -> Result<(Self, u8), RowError> {
        match bytes {
            [k, slot, rest @ ..] if *k == kind => Ok((Self(rest), *slot)),
            [] | [_] => Err(RowError::Truncated),
            _ => Err(RowError::ForeignKey),
        }
    }

    /// The fields of a value of version 1, the only one of most kinds.
    pub(crate) fn value(bytes: &'a [u8]) -> Result<Self, RowError> {
        Self::value_up_to(1, bytes).map(|(_, reader)| reader)
    }

    /// The version of a value, and its fields, where versions from 1 to `newest` are known.
    pub(crate) fn value_up_to(newest: u8, bytes: &'a [u8]) -> Result<(u8, Self), RowError> {
        match bytes {
            [version, rest @ ..] if (1..=newest).contains(version) => Ok((*version, Self(rest))),
            [version, ..] => Err(RowError::UnknownVersion(*version)),
            [] => Err(RowError::Truncated),
        }
    }

    /// The fields of bytes that have no version of their own.
    pub(crate) fn over(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn remaining(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], RowError> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(RowError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RowError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(RowError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, RowError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, RowError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, RowError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn u128(&mut self) -> Result<u128, RowError> {
        Ok(u128::from_be_bytes(self.array()?))
    }

    pub(crate) fn natural(&mut self, field: &'static str) -> Result<i64, RowError> {
        i64::try_from(self.u64()?).map_err(|_| RowError::OutOfRange(field))
    }

    /// Refuses more than 64 bits and a longer form than needed, so that a row has one encoding.
    pub(crate) fn varint(&mut self) -> Result<u64, RowError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(RowError::OutOfRange("varint"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let padded = bits == 0 && shift > 0;
                return if padded { Err(RowError::OutOfRange("varint")) } else { Ok(value) };
            }
        }
        Err(RowError::OutOfRange("varint"))
    }

    pub(crate) fn natural_varint(&mut self, field: &'static str) -> Result<i64, RowError> {
        i64::try_from(self.varint()?).map_err(|_| RowError::OutOfRange(field))
    }

    pub(crate) fn u32_varint(&mut self, field: &'static str) -> Result<u32, RowError> {
        u32::try_from(self.varint()?).map_err(|_| RowError::OutOfRange(field))
    }

    pub(crate) fn signed(&mut self) -> Result<i64, RowError> {
        let raw = self.varint()?;
        Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }

    /// A count of items that take at least `item_bytes` each: never more than the bytes that remain can hold.
    pub(crate) fn count(&mut self, item_bytes: usize) -> Result<usize, RowError> {
        let count = usize::try_from(self.varint()?).map_err(|_| RowError::Truncated)?;
        if count > self.remaining() / item_bytes { Err(RowError::Truncated) } else { Ok(count) }
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<String, RowError> {
        let count = self.count(1)?;
        let text = std::str::from_utf8(self.take(count)?).map_err(|_| RowError::OutOfRange(field))?;
        Ok(text.to_owned())
    }

    /// Everything was read.
    pub(crate) fn end(self) -> Result<(), RowError> {
        if self.0.is_empty() { Ok(()) } else { Err(RowError::Trailing(self.0.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let bytes = Writer::value(1).varint(value).finish();
            let mut reader = Reader::value(&bytes).unwrap();
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.end(), Ok(()));
        }
        for value in [0, -1, 1, -64, 64, i64::MIN, i64::MAX] {
            let bytes = Writer::value(1).signed(value).finish();
            assert_eq!(Reader::value(&bytes).unwrap().signed(), Ok(value));
        }
    }

    #[test]
    fn overlong_and_oversized_varints_are_refused() {
        for bad in [&[1, 0x80, 0x00][..], &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]] {
            assert_eq!(Reader::value(bad).unwrap().varint(), Err(RowError::OutOfRange("varint")));
        }
        assert_eq!(Reader::value(&[1, 0x80]).unwrap().varint(), Err(RowError::Truncated));
    }

    #[test]
    fn a_count_never_exceeds_what_remains() {
        let bytes = Writer::value(1).varint(u64::MAX).raw(&[0; 16]).finish();
        assert_eq!(Reader::value(&bytes).unwrap().count(1), Err(RowError::Truncated));
        let bytes = Writer::value(1).varint(9).raw(&[0; 16]).finish();
        assert_eq!(Reader::value(&bytes).unwrap().count(2), Err(RowError::Truncated));
    }
}
