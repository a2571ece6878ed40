//! Zigzag variable-length integers, as Protocol Buffers and `org.apache.kafka.common.utils.ByteUtils` write them.

/// Takes a 32-bit one off the front. `None`: cut off, or longer than 32 bits.
#[inline]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<i32> {
    let raw = take_raw(bytes, 5)?;
    let raw = u32::try_from(raw).ok()?;
    Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Takes a 64-bit one off the front. `None`: cut off, or longer than 64 bits.
#[inline]
pub(crate) fn take_varlong(bytes: &mut &[u8]) -> Option<i64> {
    let raw = take_raw(bytes, 10)?;
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

#[inline]
fn take_raw(bytes: &mut &[u8], max_bytes: usize) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(u64::from(first));
    }
    let mut raw = u64::from(first & 0x7F);
    for (i, &byte) in rest.iter().take(max_bytes - 1).enumerate() {
        let shift = 7 * (i as u32 + 1);
        if shift == 63 && byte > 1 {
            return None;
        }
        raw |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            *bytes = &rest[i + 1..];
            return Some(raw);
        }
    }
    None
}

/// A few fields on their way into a buffer: one copy for all of them instead of a check of the room for each byte.
/// Holds what precedes a record's key, which is the most that stands together: 26 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    bytes: [u8; 32],
    length: usize,
}

impl Fields {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; 32], length: 0 }
    }

    #[inline]
    pub(crate) fn byte(mut self, byte: u8) -> Self {
        self.bytes[self.length] = byte;
        self.length += 1;
        self
    }

    /// Adds a 32-bit number.
    #[inline]
    pub(crate) fn varint(self, value: i32) -> Self {
        self.raw(u64::from(zigzag_32(value)))
    }

    /// Adds a 64-bit number.
    #[inline]
    pub(crate) fn varlong(self, value: i64) -> Self {
        self.raw(zigzag_64(value))
    }

    #[inline]
    fn raw(mut self, mut raw: u64) -> Self {
        while raw >= 0x80 {
            self = self.byte(raw as u8 | 0x80);
            raw >>= 7;
        }
        self.byte(raw as u8)
    }

    /// Appends them.
    #[inline]
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.length]);
    }
}

/// Bytes that [`Fields::varint`] adds.
#[inline]
pub(crate) fn varint_bytes(value: i32) -> usize {
    raw_bytes(u64::from(zigzag_32(value)))
}

/// Bytes that [`Fields::varlong`] adds.
#[inline]
pub(crate) fn varlong_bytes(value: i64) -> usize {
    raw_bytes(zigzag_64(value))
}

#[inline]
fn raw_bytes(raw: u64) -> usize {
    let bits = 64 - (raw | 1).leading_zeros() as usize;
    // bits / 7, rounded up, without the division; exact for 1 to 64.
    (bits * 9 + 64) / 64
}

#[inline]
fn zigzag_32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

#[inline]
fn zigzag_64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_the_protobuf_page_shows() {
        let cases: &[(i32, &[u8])] = &[
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7E]),
            (-64, &[0x7F]),
            (64, &[0x80, 1]),
            (-65, &[0x81, 1]),
            (i32::MAX, &[0xFE, 0xFF, 0xFF, 0xFF, 0x0F]),
            (i32::MIN, &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
        ];
        for &(value, bytes) in cases {
            let mut out = Vec::new();
            Fields::new().varint(value).put(&mut out);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(varint_bytes(value), bytes.len(), "{value}");
            let mut rest = bytes;
            assert_eq!(take_varint(&mut rest), Some(value));
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn takes_back_longs_at_every_length() {
        for shift in 0..64 {
            for value in [1i64 << shift, -(1i64 << (shift % 63)), (1i64 << shift).wrapping_sub(1), i64::MIN, i64::MAX] {
                let mut out = Vec::new();
                Fields::new().varlong(value).put(&mut out);
                assert_eq!(varlong_bytes(value), out.len(), "{value}");
                for cut in 0..out.len() {
                    assert_eq!(take_varlong(&mut &out[..cut]), None, "{value} cut at {cut}");
                }
                assert_eq!(take_varlong(&mut &out[..]), Some(value));
            }
        }
    }

    #[test]
    fn refuses_more_bits_than_fit() {
        assert_eq!(take_varint(&mut &[0xFF, 0xFF, 0xFF, 0xFF, 0x10][..]), None);
        assert_eq!(take_varint(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00][..]), None);
        let ten = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
        assert_eq!(take_varlong(&mut &ten[..]), Some(i64::MIN));
        let mut over = ten;
        over[9] = 0x02;
        assert_eq!(take_varlong(&mut &over[..]), None);
        assert_eq!(take_varlong(&mut &[0x80; 11][..]), None);
    }
}
