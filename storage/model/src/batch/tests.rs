//! Bad batches: what each is refused with.

use super::*;
use crate::records::{BatchBuilder, ProducerFields, Record, records};
use bytes::Bytes;

const LIMITS: Limits = Limits { max_batch_bytes: 1 << 20, max_record_bytes: 1 << 16, max_decompressed_bytes: 1 << 20 };
const PRODUCER: ProducerFields = ProducerFields { producer_id: 7, producer_epoch: 1, base_sequence: 5 };

fn sample_records() -> Vec<Record> {
    let record = |i: i64| Record {
        key: Some(Bytes::from(format!("key-{i}"))),
        value: (i != 1).then(|| Bytes::from(vec![b'v'; 40 * i as usize])),
        headers: (0..i).map(|n| (format!("h{n}"), (n != 1).then(|| Bytes::from_static(b"x")))).collect(),
        timestamp_ms: 1_700_000_000_000 + i * i,
    };
    (0..4).map(record).collect()
}

fn sample(codec: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(PRODUCER);
    for record in sample_records() {
        builder.push(&record).unwrap();
    }
    builder.finish(codec).unwrap().bytes.to_vec()
}

/// States the length and CRC that the bytes have.
fn repair(batch: &mut [u8]) {
    let length = batch.len() as i32 - BATCH_LENGTH_PREFIX_BYTES as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

fn repaired(edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut batch = sample(Compression::None);
    edit(&mut batch);
    repair(&mut batch);
    batch
}

/// A batch of `count` records with this body.
fn with_body(codec: Compression, count: i32, body: &[u8]) -> Vec<u8> {
    let mut batch = sample(Compression::None);
    batch.truncate(HEADER_BYTES);
    batch[ATTRIBUTES_AT + 1] = codec.number();
    batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    batch[35..43].copy_from_slice(&1_700_000_000_000i64.to_be_bytes());
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    batch.extend_from_slice(body);
    repair(&mut batch);
    batch
}

/// One record from its fields after the length.
fn one_record(fields: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    Fields::new().varint(fields.len() as i32).put(&mut body);
    body.extend_from_slice(fields);
    with_body(Compression::None, 1, &body)
}

fn set<const N: usize>(at: usize, bytes: [u8; N]) -> impl FnOnce(&mut Vec<u8>) {
    move |batch| batch[at..at + N].copy_from_slice(&bytes)
}

fn refusal(batch: &[u8]) -> BatchError {
    validate(batch, &LIMITS).expect_err("a bad batch")
}

#[test]
fn takes_a_good_batch_of_every_codec() {
    for codec in Compression::ALL {
        let batch = sample(codec);
        let valid = validate(&batch, &LIMITS).unwrap();
        assert_eq!(valid.header, BatchHeader::parse(&batch).unwrap());
        assert_eq!(valid.header.compression(), Ok(codec));
        assert_eq!(valid.header.record_count, 4);
        assert_eq!(valid.header.max_timestamp, 1_700_000_000_009);
        assert_eq!(valid.header.base_sequence, 5);
        assert_eq!(valid.crc32c_whole, crc32c(&batch));
    }
}

#[test]
fn refuses_bad_headers() {
    let invalid = |name, flaw, batch| (name, BatchError::Invalid(flaw), batch);
    let cases = [
        invalid("empty", Flaw::Truncated { length_bytes: 0 }, vec![]),
        invalid("half a header", Flaw::Truncated { length_bytes: 60 }, sample(Compression::None)[..60].to_vec()),
        invalid("magic 1", Flaw::Magic(1), repaired(set(16, [1]))),
        invalid("magic -1", Flaw::Magic(-1), repaired(set(16, [0xFF]))),
        invalid("codec 5", Flaw::Codec(5), repaired(set(21, [0, 5]))),
        invalid("codec 7", Flaw::Codec(7), repaired(set(21, [0, 7]))),
        invalid("append time", Flaw::AppendTime, repaired(set(21, [0, 0b1000]))),
        invalid("transactional", Flaw::Transactional, repaired(set(21, [0, 0b1_0000]))),
        invalid("control", Flaw::Control, repaired(set(21, [0, 0b10_0000]))),
        invalid("transactional control", Flaw::Control, repaired(set(21, [0, 0b11_0000]))),
        invalid("delete horizon", Flaw::Attributes(0x40), repaired(set(21, [0, 0x40]))),
        invalid("unknown attribute", Flaw::Attributes(0x100), repaired(set(21, [1, 0]))),
        invalid(
            "last offset delta",
            Flaw::LastOffsetDelta { last_offset_delta: 4, record_count: 4 },
            repaired(set(23, 4i32.to_be_bytes())),
        ),
        invalid("no record", Flaw::RecordCount(0), with_body(Compression::None, 0, &[])),
        invalid("negative count", Flaw::RecordCount(-1), repaired(set(57, (-1i32).to_be_bytes()))),
        invalid("producer id", Flaw::ProducerId(-2), repaired(set(43, (-2i64).to_be_bytes()))),
        invalid("producer epoch", Flaw::ProducerEpoch(-1), repaired(set(51, (-1i16).to_be_bytes()))),
        invalid("base sequence", Flaw::BaseSequence(-1), repaired(set(53, (-1i32).to_be_bytes()))),
        invalid(
            "max timestamp",
            Flaw::MaxTimestamp { stated_ms: 5, actual_ms: 1_700_000_000_009 },
            repaired(set(35, 5i64.to_be_bytes())),
        ),
        invalid(
            "timestamp beyond 64 bits",
            Flaw::Record { record: 0, field: "timestamp" },
            repaired(set(27, i64::MAX.to_be_bytes())),
        ),
    ];
    for (name, error, batch) in cases {
        assert_eq!(refusal(&batch), error, "{name}");
    }
}

#[test]
fn refuses_a_length_that_is_not_that_of_the_bytes() {
    let whole = sample(Compression::None);
    for stated in [i32::MIN, -1, 0, 48, whole.len() as i32 - 13, whole.len() as i32 - 11, i32::MAX] {
        let mut batch = whole.clone();
        batch[8..12].copy_from_slice(&stated.to_be_bytes());
        let stated_bytes = i64::from(stated) + 12;
        assert_eq!(
            refusal(&batch),
            Flaw::Length { stated_bytes, actual_bytes: whole.len() as u64 }.into(),
            "stated length {stated}"
        );
    }
}

#[test]
fn refuses_every_flipped_bit_that_the_crc_covers() {
    for codec in [Compression::None, Compression::Lz4] {
        let whole = sample(codec);
        for bit in CRC_AT * 8..whole.len() * 8 {
            let mut batch = whole.clone();
            batch[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(refusal(&batch), BatchError::Corrupt { .. }), "bit {bit}");
        }
    }
}

#[test]
fn ignores_base_offset_and_leader_epoch() {
    let whole = sample(Compression::None);
    let mut patched = whole.clone();
    with_base_offset(&mut patched, 123_456_789_012);
    let header = validate(&patched, &LIMITS).unwrap().header;
    assert_eq!((header.base_offset, header.last_offset()), (123_456_789_012, 123_456_789_015));
    assert_eq!(header.partition_leader_epoch, 0);
    assert_eq!(patched[16..], whole[16..]);
    assert_ne!(validate(&patched, &LIMITS).unwrap().crc32c_whole, validate(&whole, &LIMITS).unwrap().crc32c_whole);
    assert_eq!(validate(&patched, &LIMITS).unwrap().crc32c_whole, crc32c(&patched));
}

#[test]
fn refuses_bad_records() {
    // Attributes, timestamp delta, offset delta, key null, value null, no headers.
    let good = [0, 0, 0, 1, 1, 0];
    assert!(validate(&one_record(&good), &LIMITS).is_ok());
    let record = |name, field, fields: &[u8]| (name, Flaw::Record { record: 0, field }, one_record(fields));
    let cases = [
        record("no attributes", "attributes", &[]),
        record("no timestamp", "timestamp delta", &[0]),
        record(
            "endless timestamp",
            "timestamp delta",
            &[0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        ),
        record("no offset", "offset delta", &[0, 0]),
        record("endless offset", "offset delta", &[0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0]),
        ("offset 1", Flaw::OffsetDelta { record: 0, offset_delta: 1 }, one_record(&[0, 0, 2, 1, 1, 0])),
        ("offset -1", Flaw::OffsetDelta { record: 0, offset_delta: -1 }, one_record(&[0, 0, 1, 1, 1, 0])),
        record("key length -2", "key", &[0, 0, 0, 3, 1, 0]),
        record("key longer than the record", "key", &[0, 0, 0, 8, 1, 0]),
        record("key of 2 GiB", "key", &[0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F, 1, 0]),
        record("value length -2", "value", &[0, 0, 0, 1, 3, 0]),
        record("value longer than the record", "value", &[0, 0, 0, 1, 4, 0]),
        record("no header count", "header count", &[0, 0, 0, 1, 1]),
        record("header count -1", "header count", &[0, 0, 0, 1, 1, 1]),
        record("2 billion headers", "header count", &[0, 0, 0, 1, 1, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F]),
        record("one header, no bytes", "header count", &[0, 0, 0, 1, 1, 2]),
        record("null header key", "header", &[0, 0, 0, 1, 1, 2, 1, 1]),
        record("header key cut off", "header", &[0, 0, 0, 1, 1, 2, 6, b'a']),
        record("header key not UTF-8", "header", &[0, 0, 0, 1, 1, 2, 2, 0xFF, 1]),
        record("header without value", "header", &[0, 0, 0, 1, 1, 2, 2, b'a']),
        record("bytes after no headers", "header count", &[0, 0, 0, 1, 1, 0, 9]),
        record("bytes after a header", "length", &[0, 0, 0, 1, 1, 2, 2, b'a', 1, 9]),
        ("record length -1", Flaw::Record { record: 0, field: "length" }, with_body(Compression::None, 1, &[1])),
        ("endless length", Flaw::Record { record: 0, field: "length" }, with_body(Compression::None, 1, &[0xFF; 9])),
        ("record cut off", Flaw::RecordsEnd { record: 0 }, with_body(Compression::None, 1, &[14, 0, 0, 0, 1, 1, 0])),
        ("empty body", Flaw::RecordsEnd { record: 0 }, with_body(Compression::None, 1, &[])),
        (
            "one record of two billion",
            Flaw::RecordsEnd { record: 1 },
            with_body(Compression::None, i32::MAX, &[12, 0, 0, 0, 1, 1, 0]),
        ),
        (
            "a second record that is not counted",
            Flaw::ExtraBytes { extra_bytes: 7 },
            with_body(Compression::None, 1, &[12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 2, 1, 1, 0]),
        ),
    ];
    for (name, flaw, batch) in cases {
        assert_eq!(refusal(&batch), BatchError::Invalid(flaw), "{name}");
        // Reading refuses the same, or reads on where only validation is strict; it never panics.
        let read: Result<Vec<_>, _> = records(&batch.into(), &LIMITS).and_then(Iterator::collect);
        assert!(read.is_err(), "{name}");
    }
}

#[test]
fn refuses_what_is_over_a_limit() {
    let over = |what, size_bytes, limit_bytes| BatchError::TooLarge { what, size_bytes, limit_bytes };
    let batch = sample(Compression::None);
    let small = Limits { max_batch_bytes: batch.len() - 1, ..LIMITS };
    let size = batch.len() as u64;
    assert_eq!(validate(&batch, &small), Err(over(Limited::Batch, size, size - 1)));
    assert!(validate(&batch, &Limits { max_batch_bytes: batch.len(), ..LIMITS }).is_ok());
    // The largest record of the sample: three headers and a value of 120 bytes.
    for codec in Compression::ALL {
        let batch = sample(codec);
        let limits = |max_record_bytes| Limits { max_record_bytes, ..LIMITS };
        assert!(validate(&batch, &limits(146)).is_ok(), "{codec:?}");
        assert_eq!(validate(&batch, &limits(145)), Err(over(Limited::Record, 146, 145)), "{codec:?}");
        if codec != Compression::None {
            let limits = Limits { max_decompressed_bytes: 200, ..LIMITS };
            let error = validate(&batch, &limits).unwrap_err();
            assert!(matches!(error, BatchError::TooLarge { what: Limited::Decompressed, .. }), "{codec:?}: {error}");
        }
    }
}

#[test]
fn refuses_every_truncation() {
    for codec in Compression::ALL {
        let whole = sample(codec);
        for cut in 0..whole.len() {
            assert!(validate(&whole[..cut], &LIMITS).is_err(), "{codec:?} cut at {cut}");
            if cut >= HEADER_BYTES {
                // As if the rest had never been: length and CRC agree with the cut.
                let mut batch = whole[..cut].to_vec();
                repair(&mut batch);
                assert!(validate(&batch, &LIMITS).is_err(), "{codec:?} cut at {cut}, repaired");
                assert!(records(&batch.into(), &LIMITS).and_then(Iterator::collect::<Result<Vec<_>, _>>).is_err());
            }
        }
        for extra in [&[0][..], &[0xFF; 9]] {
            let mut batch = [&whole[..], extra].concat();
            assert!(validate(&batch, &LIMITS).is_err(), "{codec:?} with {} bytes more", extra.len());
            repair(&mut batch);
            assert!(validate(&batch, &LIMITS).is_err(), "{codec:?} with {} bytes more, repaired", extra.len());
        }
    }
}

#[test]
fn caps_what_swells() {
    let zeros = vec![0; 8 << 20];
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let mut body = Vec::new();
        codec.compress(&zeros, &mut body).unwrap();
        let error = refusal(&with_body(codec, 1, &body));
        assert!(matches!(error, BatchError::TooLarge { what: Limited::Decompressed, .. }), "{codec:?}: {error}");
    }
}

#[test]
fn refuses_compressed_bytes_that_lie_about_their_size() {
    let magic = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
    let chunk = |length: u32, bytes: &[u8]| [&magic[..], &length.to_be_bytes(), bytes].concat();
    let cases: &[(&str, Compression, Vec<u8>)] = &[
        ("4 GiB in five bytes", Compression::Snappy, vec![0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
        ("1 MiB in nothing", Compression::Snappy, vec![0x80, 0x80, 0x40]),
        ("half of a chunk's header", Compression::Snappy, chunk(0, &[0, 0])),
        ("a chunk of -1 bytes", Compression::Snappy, chunk(u32::MAX, &[0; 8])),
        ("a chunk longer than the rest", Compression::Snappy, chunk(9, &[0; 8])),
        ("half a magic", Compression::Snappy, magic[..9].to_vec()),
        ("half a gzip header", Compression::Gzip, vec![0x1F, 0x8B, 8, 4, 0, 0]),
        ("nothing, gzip", Compression::Gzip, vec![]),
        ("nothing, lz4", Compression::Lz4, vec![]),
        ("nothing, zstd", Compression::Zstd, vec![0x28, 0xB5]),
        // Magic, no flags, window of 2^41 bytes.
        ("a window of 2 TiB", Compression::Zstd, vec![0x28, 0xB5, 0x2F, 0xFD, 0, 0xF8, 1, 0, 0]),
        // The same with 2^27, which the library alone would take.
        ("a window of 128 MiB", Compression::Zstd, vec![0x28, 0xB5, 0x2F, 0xFD, 0, 0x88, 1, 0, 0]),
    ];
    for (name, codec, body) in cases {
        let error = refusal(&with_body(*codec, 1, body));
        assert_eq!(error, Flaw::Compressed(codec.name()).into(), "{name}");
    }
}

#[test]
fn refuses_lz4_frames_that_kafka_does_not_read() {
    use lz4_flex::frame::{BlockMode, FrameEncoder, FrameInfo};
    use std::io::Write;
    let frame = |info: FrameInfo| {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&[12, 0, 0, 0, 1, 1, 0]).unwrap();
        encoder.finish().unwrap()
    };
    let checked = |body: &[u8]| validate(&with_body(Compression::Lz4, 1, body), &LIMITS);
    let independent = FrameInfo::new().block_mode(BlockMode::Independent);
    let good = frame(independent.clone());
    assert!(checked(&good).is_ok());
    for info in [
        independent.clone().block_checksums(true),
        independent.clone().content_checksum(true),
        independent.content_size(Some(7)),
    ] {
        assert!(checked(&frame(info.clone())).is_ok(), "{info:?}");
    }
    let damaged = BatchError::from(Flaw::Compressed("lz4"));
    assert_eq!(checked(&frame(FrameInfo::new().block_mode(BlockMode::Linked))), Err(damaged));
    assert_eq!(checked(&[&good[..], &good].concat()), Err(damaged), "two frames");
    assert_eq!(checked(&good[..good.len() - 4]), Err(damaged), "no end mark");
    assert_eq!(checked(&[0x02, 0x21, 0x4C, 0x18, 0, 0, 0, 0]), Err(damaged), "the legacy frame");
}

#[test]
fn joins_chunks_of_snappy_streams() {
    let record = |i: u8| [12, 0, 0, 2 * i, 1, 1, 0];
    let magic = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
    let mut body = Vec::new();
    for i in 0..4 {
        // Two streams of two chunks, each chunk a record.
        if i % 2 == 0 {
            body.extend_from_slice(magic);
        }
        let block = snap::raw::Encoder::new().compress_vec(&record(i)).unwrap();
        body.extend_from_slice(&(block.len() as u32).to_be_bytes());
        body.extend_from_slice(&block);
    }
    let valid = validate(&with_body(Compression::Snappy, 4, &body), &LIMITS).unwrap();
    assert_eq!(valid.header.record_count, 4);
}

#[test]
fn walks_batches_without_copying_and_stops_at_the_first_error() {
    let (a, b) = (sample(Compression::None), sample(Compression::Zstd));
    let run = Bytes::from([&a[..], &b, &a].concat());
    let walked: Vec<_> = batches(&run).map(Result::unwrap).collect();
    assert_eq!(walked.iter().map(|(_, bytes)| &bytes[..]).collect::<Vec<_>>(), [&a[..], &b, &a]);
    assert_eq!(walked[1].1.as_ptr(), run[a.len()..].as_ptr());
    for cut in 0..run.len() {
        let at_edge = [0, a.len(), a.len() + b.len()].contains(&cut);
        let walked: Vec<_> = batches(&run.slice(..cut)).collect();
        assert_eq!(walked.iter().all(Result::is_ok), at_edge, "cut at {cut}");
        assert!(walked.iter().rev().skip(1).all(Result::is_ok), "cut at {cut}");
    }
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(advance_sequence(0, 0), 0);
    assert_eq!(advance_sequence(0, 5), 5);
    assert_eq!(advance_sequence(i32::MAX, 1), 0);
    assert_eq!(advance_sequence(i32::MAX - 1, 3), 1);
    assert_eq!(advance_sequence(i32::MAX, 1 << 31), i32::MAX);
}
