//! Round trips, and batches of foreign encoders.

use super::*;
use crate::batch::{BatchError, BatchHeader, Compression, Flaw, Limits, batches, crc32c, validate, with_base_offset};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

const PRODUCER: ProducerFields = ProducerFields { producer_id: 4711, producer_epoch: 3, base_sequence: 12 };
const ENCODERS: [&str; 5] = ["java", "librdkafka", "kafka-python", "aiokafka", "eagre"];

/// The records of `golden/README.md`.
fn golden_records() -> Vec<Record> {
    let bytes = |s: &'static str| Some(Bytes::from(s));
    let record = |timestamp_ms, key, value, headers| Record { key, value, headers, timestamp_ms };
    let headers = vec![("a".to_owned(), bytes("1")), ("a".to_owned(), None), ("ä".to_owned(), bytes(""))];
    let mut out = vec![
        record(1_700_000_000_000, bytes("k0"), bytes("v0"), vec![]),
        record(1_700_000_000_005, None, bytes(""), headers),
        record(1_699_999_999_990, bytes(""), None, vec![]),
    ];
    for i in 3..40u8 {
        let carrier = ["UA", "AA", "B6", "DL"][usize::from(i % 4)];
        let value = format!(r#"{{"flight":{i},"carrier":"{carrier}"}}"#).repeat(4);
        let headers = if i % 5 == 0 { vec![("trace".to_owned(), Some(Bytes::from(vec![i])))] } else { vec![] };
        let timestamp_ms = 1_700_000_000_000 + i64::from(i) * 17;
        out.push(record(timestamp_ms, Some(format!("N{i}SW").into()), Some(value.into()), headers));
    }
    out
}

fn golden(encoder: &str, codec: Compression) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{encoder}-{}.batch", codec.name()))
}

fn encode(records: &[Record], codec: Compression) -> EncodedBatch {
    let mut builder = BatchBuilder::new(PRODUCER);
    for record in records {
        builder.push(record).unwrap();
    }
    builder.finish(codec).unwrap()
}

fn as_sent(decoded: Vec<DecodedRecord>) -> Vec<Record> {
    let record =
        |r: DecodedRecord| Record { key: r.key, value: r.value, headers: r.headers, timestamp_ms: r.timestamp_ms };
    decoded.into_iter().map(record).collect()
}

#[test]
fn golden_batches_of_every_encoder_are_read() {
    if std::env::var_os("EAGRE_BLESS").is_some() {
        for codec in Compression::ALL {
            fs::write(golden("eagre", codec), encode(&golden_records(), codec).bytes).unwrap();
        }
    }
    for encoder in ENCODERS {
        for codec in Compression::ALL {
            let mut bytes = fs::read(golden(encoder, codec)).unwrap();
            let valid = validate(&bytes, &Limits::default()).unwrap_or_else(|e| panic!("{encoder} {codec:?}: {e}"));
            assert_eq!(valid.header.compression(), Ok(codec), "{encoder}");
            assert_eq!(valid.crc32c_whole, crc32c(&bytes), "{encoder} {codec:?}");
            with_base_offset(&mut bytes, 1_000_000_007);
            let decoded = decode(&Bytes::from(bytes), &Limits::default()).unwrap();
            assert!(decoded.iter().map(|r| r.offset).eq(1_000_000_007..1_000_000_047), "{encoder} {codec:?}");
            assert_eq!(as_sent(decoded), golden_records(), "{encoder} {codec:?}");
        }
    }
}

#[test]
fn golden_batch_of_kafka_itself_is_what_we_encode() {
    let mut java = fs::read(golden("java", Compression::None)).unwrap();
    with_base_offset(&mut java, 0);
    assert_eq!(encode(&golden_records(), Compression::None).bytes, java);
}

#[test]
fn a_base_offset_that_a_producer_made_up_makes_nothing_unreadable() {
    for base_offset in [i64::MAX, i64::MIN, -1] {
        let mut bytes = encode(&golden_records(), Compression::None).bytes.to_vec();
        with_base_offset(&mut bytes, base_offset);
        assert!(validate(&bytes, &Limits::default()).is_ok(), "{base_offset}");
        let decoded = decode(&Bytes::from(bytes), &Limits::default()).unwrap();
        let deltas = decoded.iter().map(|record| record.offset.wrapping_sub(base_offset));
        assert!(deltas.eq(0..golden_records().len() as i64), "{base_offset}");
    }
}

#[test]
fn values_of_a_plain_batch_are_slices_of_it() {
    let batch = encode(&golden_records(), Compression::None).bytes;
    let range = batch.as_ptr_range();
    for record in records(&batch, &Limits::default()).unwrap().map(Result::unwrap) {
        let headers = record.headers.iter().filter_map(|(_, value)| value.clone());
        for bytes in record.key.into_iter().chain(record.value).chain(headers).filter(|bytes| !bytes.is_empty()) {
            assert!(range.contains(&bytes.as_ptr()));
        }
    }
}

#[test]
fn append_time_is_every_records_timestamp() {
    let mut batch = encode(&golden_records(), Compression::None).bytes.to_vec();
    batch[22] |= 0b1000;
    let header = BatchHeader::parse(&batch).unwrap();
    assert!(header.is_log_append_time());
    for record in decode(&batch.into(), &Limits::default()).unwrap() {
        assert_eq!(record.timestamp_ms, header.max_timestamp);
    }
}

#[test]
fn gaps_that_compaction_leaves_are_read_but_no_offset_outside_the_batch() {
    let record = |delta: u8| [12, 0, 0, 2 * delta, 1, 1, 0];
    let offsets = |deltas: &[u8], last_delta: i32| {
        let template = encode(&[Record::default()], Compression::None).bytes;
        let mut batch = template[..61].to_vec();
        batch.extend(deltas.iter().flat_map(|&delta| record(delta)));
        let length = batch.len() as i32 - 12;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[23..27].copy_from_slice(&last_delta.to_be_bytes());
        batch[57..61].copy_from_slice(&(deltas.len() as i32).to_be_bytes());
        decode(&batch.into(), &Limits::default()).map(|records| records.iter().map(|r| r.offset).collect::<Vec<_>>())
    };
    assert_eq!(offsets(&[0, 3, 7], 9), Ok(vec![0, 3, 7]));
    assert_eq!(offsets(&[], 9), Ok(vec![]));
    assert_eq!(offsets(&[0, 10], 9), Err(Flaw::OffsetDelta { record: 1, offset_delta: 10 }.into()));
}

#[test]
fn a_builder_refuses_what_does_not_fit_and_stays_as_it_was() {
    let empty = BatchBuilder::new(PRODUCER).finish(Compression::None);
    assert_eq!(empty, Err(BatchError::Invalid(Flaw::RecordCount(0))));
    let mut builder = BatchBuilder::new(PRODUCER);
    builder.push(&Record { timestamp_ms: i64::MIN, ..Record::default() }).unwrap();
    let before = (builder.size_bytes(), builder.record_count());
    let far = Record { timestamp_ms: 1, ..Record::default() };
    assert_eq!(builder.push(&far), Err(Flaw::Unencodable("timestamp").into()));
    assert_eq!((builder.size_bytes(), builder.record_count()), before);
}

fn any_bytes(max: usize) -> impl Strategy<Value = Option<Bytes>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from))
}

prop_compose! {
    fn any_record()(
        key in any_bytes(40),
        value in any_bytes(300),
        headers in proptest::collection::vec((".{0,12}", any_bytes(20)), 0..5),
        timestamp_ms in prop_oneof![1_700_000_000_000..1_700_000_100_000i64, -(1i64 << 61)..1i64 << 61],
    ) -> Record {
        Record { key, value, headers, timestamp_ms }
    }
}

fn any_codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(&Compression::ALL[..])
}

proptest! {
    #[test]
    fn records_come_back_as_they_went(sent in proptest::collection::vec(any_record(), 1..40), codec in any_codec()) {
        let encoded = encode(&sent, codec);
        prop_assert_eq!(validate(&encoded.bytes, &Limits::default()), Ok(encoded.valid));
        prop_assert_eq!(encoded.valid.crc32c_whole, crc32c(&encoded.bytes));
        let decoded = decode(&encoded.bytes, &Limits::default()).unwrap();
        prop_assert!(decoded.iter().map(|r| r.offset).eq(0..sent.len() as i64));
        prop_assert_eq!(as_sent(decoded), sent);
    }

    #[test]
    fn sizes_are_told_in_advance(sent in proptest::collection::vec(any_record(), 1..10)) {
        let mut builder = BatchBuilder::new(ProducerFields::NONE);
        for record in &sent {
            let told = builder.size_bytes_with(record);
            builder.push(record).unwrap();
            prop_assert_eq!(builder.size_bytes(), told);
        }
        let encoded = builder.finish(Compression::None).unwrap();
        prop_assert_eq!(encoded.bytes.len(), encoded.valid.header.total_length_bytes());
    }

    #[test]
    fn runs_are_walked_batch_by_batch(
        sent in proptest::collection::vec((proptest::collection::vec(any_record(), 1..4), any_codec()), 1..6),
    ) {
        let encoded: Vec<_> = sent.iter().map(|(records, codec)| encode(records, *codec)).collect();
        let run: Bytes = encoded.iter().flat_map(|batch| batch.bytes.clone()).collect::<Vec<_>>().into();
        let walked: Vec<_> = batches(&run).map(Result::unwrap).collect();
        let expected: Vec<_> = encoded.into_iter().map(|batch| (batch.valid.header, batch.bytes)).collect();
        prop_assert_eq!(walked, expected);
    }
}
