use std::{collections::BTreeMap, path::Path, time::Instant};

use super::*;
use crate::Size;

fn scenario(records: &str) -> Scenario {
    let stage = "[[stages]]\nshape = \"constant\"\nrate = \"1MiB\"\nfor = \"10s\"\n[records]\n";
    Scenario::parse("test", &format!("{stage}{records}"), &[], Path::new("")).unwrap()
}

fn frequencies(scenario: &Scenario, draws: u64) -> BTreeMap<u32, f64> {
    let mut counts = BTreeMap::new();
    let mut source = Source::new(scenario, 0);
    for row in 0..draws {
        *counts.entry(source.draw(row).key.unwrap().0).or_insert(0.0) += 1.0 / draws as f64;
    }
    counts
}

#[test]
fn zipf_keys_come_as_often_as_their_rank_says() {
    for exponent in [0.5, 1.0, 1.7] {
        let scenario = scenario(&format!("keys = {{ kind = \"zipf\", count = 1000, exponent = {exponent} }}"));
        let found = frequencies(&scenario, 400_000);
        let total: f64 = (1..=1000).map(|rank| f64::from(rank).powf(-exponent)).sum();
        for id in [0, 1, 2, 9, 99] {
            let expected = f64::from(id + 1).powf(-exponent) / total;
            let off = 5.0 * (expected / 400_000.0).sqrt();
            let found = found.get(&id).copied().unwrap_or_default();
            assert!((found - expected).abs() < off, "{exponent}, {id}: {found} and {expected}");
        }
        assert!(found.keys().all(|id| *id < 1000));
    }
}

#[test]
fn one_key_is_hot_and_the_others_are_alike() {
    let found = frequencies(&scenario("keys = { kind = \"hot\", count = 11, share = 0.4 }"), 200_000);
    assert_eq!(found.len(), 11);
    for (id, found) in found {
        let expected = if id == 0 { 0.4 } else { 0.06 };
        assert!((found - expected).abs() < 0.006, "{id}: {found}");
    }
    let found = frequencies(&scenario("keys = { kind = \"uniform\", count = 4 }"), 200_000);
    assert!(found.len() == 4 && found.values().all(|share| (share - 0.25).abs() < 0.006), "{found:?}");
    assert_eq!(frequencies(&scenario("keys = { kind = \"hot\", count = 1, share = 0.1 }"), 100).len(), 1);
}

#[test]
fn keys_are_rendered_alike_for_all_sources() {
    let scenario = scenario("keys = { kind = \"uniform\", count = 1000000 }");
    let (mut one, other) = (Source::new(&scenario, 0), Source::new(&scenario, 1));
    let draft = one.draw(0);
    let key = one.key(&draft).unwrap();
    assert_eq!(key, format!("key-{:06}", draft.key.unwrap().0).as_bytes());
    assert_eq!(other.key(&draft), Some(key));
}

#[test]
fn sizes_are_log_normal_around_their_median() {
    let scenario = scenario("size = { median = \"1KiB\", sigma = 1.0, max = \"16KiB\" }");
    let mut source = Source::new(&scenario, 0);
    let mut sizes: Vec<usize> = (0..200_000).map(|row| source.draw(row).value_bytes).collect();
    sizes.sort_unstable();
    let median = sizes[sizes.len() / 2] as f64;
    assert!((median / 1024.0 - 1.0).abs() < 0.02, "{median}");
    let one_sigma = sizes[(sizes.len() as f64 * 0.841_344_7) as usize] as f64;
    assert!((one_sigma / (1024.0 * std::f64::consts::E) - 1.0).abs() < 0.03, "{one_sigma}");
    assert!(sizes[0] >= STAMP_BYTES && sizes[sizes.len() - 1] == 16 << 10);
    let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
    let computed = mean_bytes(&scenario.records.size, None);
    assert!((mean / computed - 1.0).abs() < 0.02, "{mean} {computed}");
    // Without an end in reach, the textbook's mean.
    let plain = mean_bytes(&Size::LogNormal { median: 4096, sigma: 0.5, max: 1 << 20 }, None);
    assert!((plain / (4096.0 * 0.125f64.exp()) - 1.0).abs() < 1e-3, "{plain}");
}

/// About how many bytes a compressor of the Lempel-Ziv family needs: every four bytes that were seen before begin a match.
fn compressed(data: &[u8]) -> usize {
    let mut seen: BTreeMap<[u8; 4], usize> = BTreeMap::new();
    let (mut at, mut cost) = (0, 0);
    while at + 4 <= data.len() {
        let four = [data[at], data[at + 1], data[at + 2], data[at + 3]];
        let Some(before) = seen.insert(four, at) else {
            (at, cost) = (at + 1, cost + 1);
            continue;
        };
        let length = (at..data.len()).take_while(|now| data[*now] == data[before + now - at]).count();
        (at, cost) = (at + length, cost + 4);
    }
    cost + data.len() - at
}

#[test]
fn payloads_compress_as_asked() {
    for (ratio, low, high) in [(1.0, 0.99, 1.01), (2.0, 1.8, 2.1), (4.0, 3.5, 4.2), (20.0, 14.0, 21.0)] {
        let scenario = scenario(&format!("payload = {{ kind = \"compressible\", ratio = {ratio} }}"));
        let mut source = Source::new(&scenario, 0);
        let mut batch = vec![0; 0];
        for row in 0..256 {
            let draft = source.draw(row);
            let mut out = vec![0; draft.value_bytes - STAMP_BYTES];
            source.payload(&draft, &mut out);
            batch.extend(out);
        }
        let found = batch.len() as f64 / compressed(&batch) as f64;
        assert!((low..=high).contains(&found), "{ratio}: {found}");
    }
}

#[test]
fn random_bytes_are_as_often_as_each_other() {
    let scenario = scenario("payload = { kind = \"random\" }\nsize = \"512KiB\"");
    let mut source = Source::new(&scenario, 3);
    let draft = source.draw(0);
    let mut out = vec![0; draft.value_bytes - STAMP_BYTES];
    source.payload(&draft, &mut out);
    let mut counts = [0.0; 256];
    out.iter().for_each(|byte| counts[usize::from(*byte)] += 1.0);
    let expected = out.len() as f64 / 256.0;
    let chi: f64 = counts.iter().map(|count| (count - expected) * (count - expected) / expected).sum();
    assert!((150.0..380.0).contains(&chi), "{chi}");
}

#[test]
fn sources_draw_by_seed_and_producer() {
    let scenario = scenario("keys = { kind = \"zipf\", count = 1000 }");
    let drafts = |producer| {
        let mut source = Source::new(&scenario, producer);
        (0..100).map(|row| source.draw(row)).collect::<Vec<_>>()
    };
    assert_eq!(drafts(0), drafts(0));
    assert_ne!(drafts(0), drafts(1));
}

#[test]
fn records_can_be_the_lines_of_the_input() {
    let text = "[input]\nshipped = \"flights\"\nkey = \"tailnum\"\n[[stages]]\nshape = \"constant\"\nrate = \"10/s\"\nfor = \"10s\"\n\
                [records]\nsize = \"input\"\nkeys = { kind = \"input\" }\npayload = { kind = \"input\" }\n";
    let whole = Scenario::parse("test", text, &[], Path::new("")).unwrap();
    let mut source = Source::new(&whole, 0);
    let input = whole.input.clone().unwrap();
    let rows = input.rows() as u64;
    for row in [0, 5, rows - 1, rows, 3 * rows + 7] {
        let draft = source.draw(row);
        let mut out = vec![0; draft.value_bytes - STAMP_BYTES];
        source.payload(&draft, &mut out);
        assert_eq!(out, input.line(row));
        assert_eq!(source.key(&draft), input.key(row));
    }
    assert_eq!(source.draw(rows).key, Some(KeyId(0)));
    let set = [("records.size".to_owned(), "100B".to_owned())];
    let cut = Scenario::parse("test", text, &set, Path::new("")).unwrap();
    let mut source = Source::new(&cut, 0);
    let draft = source.draw(0);
    let mut out = vec![0; 100 - STAMP_BYTES];
    source.payload(&draft, &mut out);
    assert!(out.starts_with(b"2013-07-01 05:00,N167US,US,1431,EWR,CLT\n2013-07-01 05:40"));
}

/// `cargo test --release -p eagre-workload -- --ignored --nocapture speed`
#[test]
#[ignore = "prints numbers that mean something only in release mode and on an idle machine"]
#[expect(clippy::disallowed_methods, reason = "it is the machine that is measured")]
fn speed_of_sources() {
    for records in [
        "size = \"1KiB\"",
        "size = \"100B\"\nkeys = { kind = \"zipf\", count = 100000 }",
        "size = { median = \"1KiB\", sigma = 1.0 }",
    ] {
        let scenario = scenario(records);
        let mut source = Source::new(&scenario, 0);
        let mut out = vec![0; VALUE_BYTES_MAX];
        let begin = Instant::now();
        let mut bytes = 0;
        for row in 0..2_000_000 {
            let draft = source.draw(row);
            std::hint::black_box(source.key(&draft));
            source.payload(&draft, std::hint::black_box(&mut out[STAMP_BYTES..draft.value_bytes]));
            bytes += draft.value_bytes;
        }
        let seconds = begin.elapsed().as_secs_f64();
        println!("{records:?}: {:.0} ns each, {:.2} GB/s", seconds * 500.0, bytes as f64 / seconds / 1e9);
    }
}
