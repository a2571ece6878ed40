//! WAL objects: what is built is what the footer says, and nothing else is taken for one.

use std::collections::BTreeMap;

use bytes::Bytes;
use eagre_log::{
    FOOTER_FORMAT, Footer, FooterError, TRAILER_BYTES, VerifyError, WalObject, WalObjectBuilder, parse_footer,
    verify_object,
};
use eagre_model::{TopicPartition, batch::crc32c};
use proptest::prelude::*;

use crate::common::{batch, golden_object, id, partition};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/object-v1.wal");

/// The golden file is what the first version wrote. It is never written anew: a test that fails here says that old buckets
/// can no longer be read.
#[test]
fn golden_object_both_ways() {
    let golden = std::fs::read(GOLDEN).unwrap();
    let built = golden_object();
    assert_eq!(built.bytes, golden, "the same batches give the same object");
    let footer = verify_object(&golden).unwrap();
    assert_eq!(footer.object, id(42));
    let runs: Vec<_> = footer.runs.iter().map(|run| (run.partition, run.batches, run.records)).collect();
    assert_eq!(runs, [(partition(1, 0), 1, 2), (partition(2, 0), 1, 4), (partition(2, 1), 2, 4)]);
}

#[test]
fn the_footer_says_what_was_pushed() {
    let mut builder = WalObjectBuilder::new();
    assert!(builder.is_empty());
    let (first, second) = (batch(1, 3, 100), batch(2, 1, 50));
    assert_eq!(builder.push(partition(9, 1), first.0.clone(), &first.1), 0);
    assert_eq!(builder.push(partition(4, 7), second.0.clone(), &second.1), 1);
    assert_eq!(builder.push(partition(9, 1), second.0.clone(), &second.1), 2);
    assert_eq!((builder.batches(), builder.partitions()), (3, 2));
    assert_eq!(builder.data_bytes(), first.0.len() + 2 * second.0.len());
    let object = builder.finish(id(1));
    assert_eq!(object.bytes[..], [&second.0[..], &first.0[..], &second.0[..], footer_of(&object)].concat());
    assert_eq!(object.runs[1].batches.iter().map(|batch| batch.push).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(object.runs[1].batches[0].header, first.1.header);
    assert_eq!(object.runs[1].position_bytes, second.0.len() as u64);
    let footer = verify_object(&object.bytes).unwrap();
    let run = footer.runs[1];
    assert_eq!((run.records, run.max_timestamp_ms), (4, 1_700_000_000_020));
    assert_eq!(run.crc32c, crc32c(&[&first.0[..], &second.0[..]].concat()));
    assert_eq!(run.crc32c, object.runs[1].crc32c);
}

fn footer_of(object: &WalObject) -> &[u8] {
    let data: usize = object.runs.iter().map(|run| run.length_bytes as usize).sum();
    &object.bytes[data..]
}

#[test]
fn an_object_under_another_name_holds_the_same() {
    let object = golden_object();
    let renamed = object.renamed(id(43));
    assert_eq!(renamed.runs, object.runs);
    let footer = verify_object(&renamed.bytes).unwrap();
    assert_eq!(footer.object, id(43));
    assert_eq!(renamed.renamed(id(42)), object);
}

#[test]
fn an_empty_object_is_an_object() {
    let object = WalObjectBuilder::new().finish(id(5));
    assert_eq!(verify_object(&object.bytes).unwrap(), Footer { object: id(5), runs: vec![] });
}

#[test]
fn the_end_is_enough_for_the_footer() {
    let object = golden_object();
    let length = object.bytes.len() as u64;
    let whole = parse_footer(&object.bytes, length).unwrap();
    let mut taken = 0;
    let footer = loop {
        match parse_footer(&object.bytes[object.bytes.len() - taken..], length) {
            Ok(footer) => break footer,
            Err(FooterError::NeedsMore { needed_bytes }) => {
                assert!(needed_bytes > taken, "it asks for more each time");
                taken = needed_bytes;
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(footer, whole);
    assert_eq!(taken, footer_of(&object).len(), "it asks for no more than it needs");
}

#[test]
fn refused_at_every_truncation() {
    let object = golden_object().bytes;
    for length in 0..object.len() {
        assert!(verify_object(&object[..length]).is_err(), "the first {length} bytes were taken for an object");
        assert!(verify_object(&object[object.len() - length..]).is_err(), "so were the last {length}");
    }
    let longer = [&object[..], b"x"].concat();
    assert!(verify_object(&longer).is_err());
}

#[test]
fn every_flipped_bit_is_found() {
    let object = golden_object();
    let data = object.bytes.len() - footer_of(&object).len();
    let mut bytes = object.bytes.to_vec();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let error = verify_object(&bytes).expect_err("a flipped bit was not found");
        let in_run = matches!(error, VerifyError::Run { .. });
        assert_eq!(in_run, bit / 8 < data, "bit {bit}: {error}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Nonsense with a right CRC: only a bug writes it, and it is refused all the same.
#[test]
fn nonsense_with_a_right_crc_is_refused() {
    let object = golden_object();
    let footer_start = object.bytes.len() - footer_of(&object).len();
    for (what, at, byte) in [
        ("another data length", footer_start + 31, 0xff),
        ("another number of runs", footer_start + 35, 2),
        ("another position", footer_start + 36 + 19, 1),
        ("another length", footer_start + 36 + 23, 1),
        ("no batches", footer_start + 36 + 27, 0),
        ("fewer records than batches", footer_start + 36 + 35, 0),
        ("partitions out of order", footer_start + 36 + 7, 9),
        ("format 0", object.bytes.len() - TRAILER_BYTES + 5, 0),
        ("the reserved bytes in use", object.bytes.len() - TRAILER_BYTES + 7, 1),
    ] {
        let mut bytes = object.bytes.to_vec();
        assert_ne!(bytes[at], byte, "{what}");
        bytes[at] = byte;
        repair(&mut bytes);
        let result = parse_footer(&bytes, bytes.len() as u64);
        assert!(matches!(result, Err(FooterError::Corrupt(_))), "{what}: {result:?}");
    }
}

#[test]
fn a_newer_format_is_named() {
    let mut bytes = golden_object().bytes.to_vec();
    let at = bytes.len() - TRAILER_BYTES + 5;
    bytes[at] = u8::try_from(FOOTER_FORMAT + 1).unwrap();
    let found = FOOTER_FORMAT + 1;
    assert_eq!(parse_footer(&bytes, bytes.len() as u64), Err(FooterError::NewerFormat { found }));
}

/// Writes the CRC that the footer should have, where there is one.
fn repair(bytes: &mut [u8]) {
    let Some(trailer) = bytes.len().checked_sub(TRAILER_BYTES) else { return };
    let footer_bytes = u32::from_be_bytes(bytes[trailer..trailer + 4].try_into().unwrap());
    let Some(start) = trailer.checked_sub(footer_bytes as usize) else { return };
    let crc = crc32c(&bytes[start..trailer + 8]);
    bytes[trailer + 8..trailer + 12].copy_from_slice(&crc.to_be_bytes());
}

proptest! {
    #[test]
    fn whatever_is_pushed_comes_back(pushes in prop::collection::vec((0u64..4, 0u32..3, 1u64..4, 0usize..200), 0..30)) {
        let mut builder = WalObjectBuilder::new();
        let mut expected: BTreeMap<TopicPartition, Vec<Bytes>> = BTreeMap::new();
        let mut pushed = vec![];
        for (seed, (topic, number, records, value_bytes)) in (0..).zip(pushes) {
            let (bytes, valid) = batch(seed, records, value_bytes);
            builder.push(partition(topic, number), bytes.clone(), &valid);
            expected.entry(partition(topic, number)).or_default().push(bytes.clone());
            pushed.push(bytes);
        }
        let object = builder.finish(id(7));
        let footer = verify_object(&object.bytes).unwrap();
        prop_assert_eq!(footer.runs.len(), expected.len());
        for ((run, in_footer), (partition, batches)) in object.runs.iter().zip(&footer.runs).zip(&expected) {
            prop_assert_eq!((run.partition, in_footer.partition), (*partition, *partition));
            let start = usize::try_from(run.position_bytes).unwrap();
            let bytes = &object.bytes[start..start + run.length_bytes as usize];
            prop_assert_eq!(bytes, &batches.concat()[..]);
            for (batch, bytes) in run.batches.iter().zip(batches) {
                prop_assert_eq!(&pushed[batch.push], bytes);
                prop_assert_eq!(batch.crc32c, crc32c(bytes));
            }
        }
    }

    #[test]
    fn a_flipped_bit_in_any_object_is_found(seed in 0u64..1_000, records in 1u64..20, at in 0.0f64..1.0) {
        let mut builder = WalObjectBuilder::new();
        let (bytes, valid) = batch(seed, records, 30);
        builder.push(partition(seed % 3, 0), bytes, &valid);
        let mut bytes = builder.finish(id(seed)).bytes.to_vec();
        let bit = (at * (bytes.len() * 8) as f64) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify_object(&bytes).is_err());
    }
}
