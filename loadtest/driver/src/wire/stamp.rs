//! What every record says of itself, at the beginning of its value.

/// Bytes of a [`Stamp`].
pub const STAMP_BYTES: usize = 32;
const MAGIC: [u8; 4] = [0xe5, 0x47, 1, 0];
const CHECKSUM_AT: usize = 28;

/// Who sent a record, which one it is, and when it ought to have been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Of all records of one run.
    pub run: u32,
    /// Which producer of the run sent it.
    pub producer: u32,
    /// Its place among the producer's records of one partition, from 0.
    pub sequence: u64,
    /// In nanoseconds since the Unix epoch.
    pub intended_ns: u64,
}

/// What a value turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamped {
    /// As it was sent.
    Sound(Stamp),
    /// It does not begin with a stamp, or not with one of this run's.
    Foreign,
    /// It is not what was sent: the checksum differs.
    Corrupt,
}

/// Where a record belongs: its checksum covers that as well.
#[derive(Debug, Clone, Copy)]
pub struct Home<'a> {
    /// Number of the topic in the run.
    pub topic: u32,
    /// In the topic.
    pub partition: u32,
    /// Of the record.
    pub key: Option<&'a [u8]>,
}

/// Writes the stamp to the beginning of a value whose rest is there already. The value has at least [`STAMP_BYTES`].
pub fn put(value: &mut [u8], stamp: Stamp, home: Home<'_>) {
    value[..4].copy_from_slice(&MAGIC);
    value[4..8].copy_from_slice(&stamp.run.to_be_bytes());
    value[8..12].copy_from_slice(&stamp.producer.to_be_bytes());
    value[12..20].copy_from_slice(&stamp.sequence.to_be_bytes());
    value[20..28].copy_from_slice(&stamp.intended_ns.to_be_bytes());
    let checksum = checksum(value, home);
    value[CHECKSUM_AT..STAMP_BYTES].copy_from_slice(&checksum.to_be_bytes());
}

/// Reads the stamp of a value that came back.
pub fn get(value: &[u8], home: Home<'_>, run: u32) -> Stamped {
    if value.len() < STAMP_BYTES || value[..4] != MAGIC {
        return Stamped::Foreign;
    }
    if checksum(value, home).to_be_bytes() != value[CHECKSUM_AT..STAMP_BYTES] {
        return Stamped::Corrupt;
    }
    let stamp = Stamp {
        run: u32_at(value, 4),
        producer: u32_at(value, 8),
        sequence: u64_at(value, 12),
        intended_ns: u64_at(value, 20),
    };
    if stamp.run == run { Stamped::Sound(stamp) } else { Stamped::Foreign }
}

fn checksum(value: &[u8], home: Home<'_>) -> u32 {
    let mut place = [0; 9];
    place[..4].copy_from_slice(&home.topic.to_be_bytes());
    place[4..8].copy_from_slice(&home.partition.to_be_bytes());
    place[8] = u8::from(home.key.is_some());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&place), home.key.unwrap_or_default());
    let checksum = crc32c::crc32c_append(checksum, &value[..CHECKSUM_AT]);
    crc32c::crc32c_append(checksum, &value[STAMP_BYTES..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { run: 9, producer: 3, sequence: 1 << 40, intended_ns: 1_800_000_000_000_000_123 };
    const HOME: Home<'_> = Home { topic: 1, partition: 2, key: Some(b"k") };

    fn value() -> Vec<u8> {
        let mut value = vec![7; 100];
        put(&mut value, STAMP, HOME);
        value
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(get(&value(), HOME, 9), Stamped::Sound(STAMP));
        let mut smallest = [0; STAMP_BYTES];
        put(&mut smallest, STAMP, HOME);
        assert_eq!(get(&smallest, HOME, 9), Stamped::Sound(STAMP));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        for at in 0..100 {
            let mut value = value();
            value[at] ^= 1;
            let expected = if at < 4 { Stamped::Foreign } else { Stamped::Corrupt };
            assert_eq!(get(&value, HOME, 9), expected, "byte {at}");
        }
    }

    #[test]
    fn another_place_another_key_or_another_run_is_told_apart() {
        assert_eq!(get(&value(), Home { topic: 0, ..HOME }, 9), Stamped::Corrupt);
        assert_eq!(get(&value(), Home { partition: 3, ..HOME }, 9), Stamped::Corrupt);
        assert_eq!(get(&value(), Home { key: None, ..HOME }, 9), Stamped::Corrupt);
        assert_eq!(get(&value(), Home { key: Some(b"l"), ..HOME }, 9), Stamped::Corrupt);
        assert_eq!(get(&value(), HOME, 8), Stamped::Foreign);
        assert_eq!(get(&value()[..STAMP_BYTES - 1], HOME, 9), Stamped::Foreign);
    }
}
