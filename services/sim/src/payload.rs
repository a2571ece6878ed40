//! What a record says: its value and a pattern that follows from it, so that damage is seen.

use bytes::Bytes;
use eagre_verify::Value;

const DIGITS: usize = 16;

/// The bytes of a record with this value: mostly some hundred, now and then twenty thousand.
pub(crate) fn encode(value: Value) -> Bytes {
    let mut bytes = format!("{:016x}", value.0).into_bytes();
    let mut state = value.0 ^ 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let scale = if next() % 32 == 0 { 20_000 } else { 400 };
    let length = usize::try_from(next() % scale).unwrap_or(0);
    bytes.extend(std::iter::repeat_with(|| next().to_le_bytes()[0]).take(length));
    bytes.into()
}

/// The value, if these are exactly the bytes of one.
pub(crate) fn decode(bytes: &[u8]) -> Option<Value> {
    let digits = std::str::from_utf8(bytes.get(..DIGITS)?).ok()?;
    let value = Value(u64::from_str_radix(digits, 16).ok()?);
    (encode(value) == bytes).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_seen() {
        for number in 1..300 {
            let bytes = encode(Value(number));
            assert_eq!(decode(&bytes), Some(Value(number)));
            assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
            let mut other = bytes.to_vec();
            let last = other.len() - 1;
            other[last] ^= 1;
            assert_eq!(decode(&other), None, "value {number} of {} bytes", bytes.len());
        }
        assert_eq!(decode(b"short"), None);
    }
}
