use super::*;

const AUTHOR: Author = Author { epoch: 7, nonce: 0x0102_0304_0506_0708 };

fn row(key: &'static [u8], value: Option<&'static [u8]>, seq: u64, create_ts: Option<i64>) -> RowEntry {
    let value = value.map_or(ValueDeletable::Tombstone, |value| ValueDeletable::Value(Bytes::from_static(value)));
    RowEntry { key: Bytes::from_static(key), value, seq, create_ts, expire_ts: None }
}

fn rows() -> Vec<RowEntry> {
    vec![
        row(b"\x04\x00a", Some(b"value"), 300, Some(1_790_000_000_000)),
        row(b"\x04\x00b", None, 300, Some(-1)),
        row(b"\x05\x00", Some(b""), 301, None),
    ]
}

fn built() -> Bytes {
    let mut builder = RowsBuilder::default();
    let rows = rows();
    builder.append(&rows[..2]).unwrap();
    builder.append(&rows[2..]).unwrap();
    assert_eq!((builder.count(), builder.last_seq()), (3, 301));
    builder.finish(9, AUTHOR)
}

/// These bytes are in buckets: they never change.
#[test]
fn golden_both_ways() {
    let golden: &[u8] = &[
        b'E', b'G', b'R', b'W', 1, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7,
        8, // header
        3, // rows
        2, 0xac, 0x02, 0x80, 0xb0, 0x83, 0xc5, 0x98, 0x68, 3, 4, 0, b'a', 5, b'v', b'a', b'l', b'u',
        b'e', // a value
        3, 0xac, 0x02, 1, 3, 4, 0, b'b', // a deletion
        0, 0xad, 0x02, 2, 5, 0, 0, // no time, nothing in it
    ];
    let bytes = built();
    assert_eq!(&bytes[..bytes.len() - CRC_BYTES], golden);
    assert_eq!(bytes[bytes.len() - CRC_BYTES..], checksum(golden).to_be_bytes());
    let decoded = LogFile::decode(9, &bytes).unwrap();
    assert_eq!(decoded, LogFile { id: 9, author: AUTHOR, content: Content::Rows(rows()) });

    let bytes = fence(9, AUTHOR, 64);
    assert_eq!(bytes.len() as u64, FENCE_BYTES);
    assert_eq!(bytes[..6], *b"EGRW\x01\x02");
    assert_eq!(bytes[30..34], [0, 0, 0, 64]);
    assert_eq!(LogFile::decode(9, &bytes).unwrap().content, Content::Fence { skip: 64 });
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused() {
    for bytes in [built(), fence(9, AUTHOR, 64)] {
        for length in 0..bytes.len() {
            assert!(LogFile::decode(9, &bytes.slice(..length)).is_err(), "{length} bytes");
        }
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(LogFile::decode(9, &flipped.into()).is_err(), "bit {at}");
        }
    }
}

#[test]
fn what_no_writer_writes_is_refused() {
    assert_eq!(LogFile::decode(8, &built()), Err(LogFileError::WrongNumber(9)));
    assert_eq!(LogFile::decode(9, &Bytes::from_static(b"SLATEDB")), Err(LogFileError::Foreign));
    assert_eq!(LogFile::decode(9, &Bytes::from_static(b"EGRW\x02")), Err(LogFileError::UnknownVersion(2)));
    let refused = |kind: u8, body: &[u8]| {
        let mut writer = header(kind, 9, AUTHOR, 16);
        writer.raw(body);
        LogFile::decode(9, &seal(writer)).unwrap_err()
    };
    let out_of_range = |field| LogFileError::Field(RowError::OutOfRange(field));
    assert_eq!(refused(3, &[]), out_of_range("kind"));
    assert_eq!(refused(KIND_FENCE, &[0, 0, 0, 0]), out_of_range("skip"));
    assert_eq!(refused(KIND_FENCE, &[0, 0, 0, 1, 0]), LogFileError::Field(RowError::Trailing(1)));
    assert_eq!(refused(KIND_ROWS, &[0]), out_of_range("rows"));
    assert_eq!(refused(KIND_ROWS, &[1, 4, 1, 2, 4, 0, 0]), out_of_range("flags"));
    assert_eq!(refused(KIND_ROWS, &[1, 1, 1, 1, 4, 0]), out_of_range("key"));
    assert_eq!(refused(KIND_ROWS, &[2, 1, 2, 2, 4, 0, 1, 1, 2, 4, 0]), out_of_range("sequence number"));
    // A count decides no allocation that the bytes could not fill.
    assert_eq!(refused(KIND_ROWS, &[0xff, 0xff, 0xff, 0x7f]), LogFileError::Field(RowError::Truncated));
}

#[test]
fn rows_that_this_log_does_not_know_are_refused_whole() {
    let mut builder = RowsBuilder::default();
    let mut expiring = row(b"\x04\x00a", Some(b"v"), 1, None);
    expiring.expire_ts = Some(5);
    let merging =
        RowEntry { value: ValueDeletable::Merge(Bytes::from_static(b"v")), ..row(b"\x04\x00a", None, 1, None) };
    for refused in [expiring, merging] {
        assert_eq!(builder.append(&[row(b"\x04\x00b", None, 1, None), refused]), Err(UnsupportedRow));
        assert!(builder.is_empty());
        assert_eq!(builder.size(), 0);
    }
}
