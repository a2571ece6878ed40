//! For every kind: bytes that never change, the way back, and what is refused.

use std::fmt::Debug;

use eagre_env::{Randomness, SeededRandomness};
use eagre_model::{
    ObjectId, Placement, ProducerEpoch, ProducerId, ResidueClass, Run, RunKind, TopicConfig, TopicRecord, UploadEpoch,
};

use super::*;

const PARTITION: TopicPartition = TopicPartition { topic: TopicNumber(0x0102), partition: 7 };

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `golden`: hex of the key and of the value; spaces are for the reader.
fn check<R: RowKind>(key: R::Key, value: R::Value, golden: [&str; 2])
where
    R::Key: PartialEq + Debug,
    R::Value: PartialEq + Debug,
{
    let (key_bytes, value_bytes) = (R::encode_key(&key), R::encode_value(&key, &value));
    let written = [hex(&key_bytes), hex(&value_bytes)];
    assert_eq!(written, golden.map(|hex| hex.replace(' ', "")));
    let file = include_str!("../../golden/rows.txt");
    assert!(file.lines().any(|line| line == written.join(" ")), "not in golden/rows.txt: {}", written.join(" "));
    assert_eq!(R::decode_key(&key_bytes).as_ref(), Ok(&key));
    assert_eq!(R::decode_value(&key, &value_bytes).as_ref(), Ok(&value));
    refuses_damage::<R>(&key, &key_bytes, &value_bytes);
}

fn refuses_damage<R: RowKind>(key: &R::Key, key_bytes: &[u8], value_bytes: &[u8])
where
    R::Key: Debug,
    R::Value: Debug,
{
    let decode_value = |bytes: &[u8]| R::decode_value(key, bytes);
    for end in 0..value_bytes.len() {
        assert!(decode_value(&value_bytes[..end]).is_err(), "cut after {end} bytes");
    }
    let longer = [value_bytes, &[0]].concat();
    assert!(matches!(decode_value(&longer), Err(RowError::Trailing(1))), "{:?}", decode_value(&longer));
    let mut newer = value_bytes.to_vec();
    newer[0] = 99;
    assert!(matches!(decode_value(&newer), Err(RowError::UnknownVersion(99))));
    let mut foreign = key_bytes.to_vec();
    foreign[0] += 1;
    assert!(matches!(R::decode_key(&foreign), Err(RowError::ForeignKey)));
    let mut moved = key_bytes.to_vec();
    moved[1] ^= 1;
    assert!(matches!(R::decode_key(&moved), Err(RowError::ForeignKey)), "another slot");
    // No damage may panic, and what is still taken for a row is written back as the same bytes.
    let random = SeededRandomness::new(u64::from(R::KIND));
    for _ in 0..2_000 {
        let mut damaged = value_bytes.to_vec();
        for _ in 0..=random.below(3) {
            let at = usize::try_from(random.below(damaged.len() as u64)).unwrap();
            damaged[at] = random.next_u64().to_be_bytes()[0];
        }
        damaged.truncate(usize::try_from(random.below(damaged.len() as u64 * 2)).unwrap() + 1);
        if let Ok(value) = decode_value(&damaged) {
            assert_eq!(hex(&R::encode_value(key, &value)), hex(&damaged), "two encodings of {value:?}");
        }
        let _ = R::decode_key(&damaged);
    }
}

#[test]
fn meta() {
    check::<Meta>(MetaName::UploadEpoch, MetaValue::Number(300), ["01 00 75706c6f61642d65706f6368", "01 01 ac02"]);
    check::<Meta>(
        MetaName::ClusterId,
        MetaValue::Text("a-b".into()),
        ["01 00 636c75737465722d6964", "01 02 03 612d62"],
    );
    for name in MetaName::ALL {
        assert_eq!(Meta::decode_key(&Meta::encode_key(&name)), Ok(name));
    }
    assert_eq!(Meta::decode_key(b"\x01\x00no-such-name"), Err(RowError::OutOfRange("name")));
}

#[test]
fn topic_name() {
    check::<TopicName>("orders".into(), TopicNumber(0x0102), ["02 00 6f7264657273", "01 8202"]);
}

#[test]
fn topic() {
    let record = |placement| TopicRecord {
        number: TopicNumber(0x0102),
        name: "orders".into(),
        id: 0x000102030405060708090a0b0c0d0e0f,
        created_at_ms: 1_000,
        placement,
        partition_map_version: 1,
        config: TopicConfig::default(),
    };
    let key = "03 02 0000000000000102";
    check::<Topic>(
        TopicNumber(0x0102),
        Topic { record: record(Placement::Fixed { partitions: 200 }), state: TopicState::Live },
        [key, "01 00 000102030405060708090a0b0c0d0e0f d00f 01 06 6f7264657273 01 c801"],
    );
    let classes = (0..4).map(|remainder| ResidueClass { remainder, modulus: 4 }).collect();
    check::<Topic>(
        TopicNumber(0x0102),
        Topic { record: record(Placement::Elastic { classes }), state: TopicState::Deleted { at_ms: -1 } },
        [key, "01 01 01 000102030405060708090a0b0c0d0e0f d00f 01 06 6f7264657273 02 04 0002 0102 0202 0302"],
    );
    let mut limited = record(Placement::Fixed { partitions: 200 });
    limited.config.max_message_bytes = Some(1 << 20);
    check::<Topic>(
        TopicNumber(0x0102),
        Topic { record: limited, state: TopicState::Live },
        [key, "02 00 000102030405060708090a0b0c0d0e0f d00f 01 06 6f7264657273 01 c801 01 01 808040"],
    );
}

#[test]
fn partition() {
    check::<Partition>(PARTITION, Partition { log_start_offset: 128 }, ["04 02 0000000000000102 00000007", "01 8001"]);
}

#[test]
fn tail() {
    let tail = Tail { next_offset: 300, size_bytes: 1, prefix_max_timestamp_ms: -2 };
    check::<Tail>(PARTITION, tail, ["05 02 0000000000000102 00000007", "01 ac02 01 03"]);
    check::<Tail>(PARTITION, Tail::EMPTY, ["05 02 0000000000000102 00000007", "01 00 00 ffffffffffffffffff01"]);
}

#[test]
fn run() {
    let object = ObjectId { epoch: UploadEpoch(1), incarnation: 2, number: 300 };
    let run = Run {
        base_offset: 5,
        last_offset: 0x0abc,
        kind: RunKind::Wal,
        object,
        position_bytes: 10,
        length_bytes: 1_000,
        batches: 3,
        crc32c: 0xdeadbeef,
        prefix_max_timestamp_ms: 4,
    };
    let key = RunKey { partition: PARTITION, last_offset: 0x0abc };
    check::<RunRow>(
        key,
        run,
        ["06 02 0000000000000102 00000007 0000000000000abc", "01 b715 01 02 ac02 0a e807 03 deadbeef 08"],
    );
    let inline = Run { kind: RunKind::Inline, ..run };
    let golden_key = "06 02 0000000000000102 00000007 0000000000000abc";
    check::<RunRow>(key, inline, [golden_key, "02 b715 01 02 ac02 0a e807 03 deadbeef 08 03"]);
    for reserved in [0, 1, 2, 4] {
        let mut bytes = RunRow::encode_value(&key, &inline).to_vec();
        *bytes.last_mut().unwrap() = reserved;
        assert_eq!(RunRow::decode_value(&key, &bytes), Err(RowError::OutOfRange("kind")));
    }
    // A base offset below 0.
    let near_start = RunKey { partition: PARTITION, last_offset: 1 };
    let bytes = RunRow::encode_value(&key, &run);
    assert_eq!(RunRow::decode_value(&near_start, &bytes), Err(RowError::OutOfRange("base offset")));
}

#[test]
fn inline_bytes() {
    let key = RunKey { partition: PARTITION, last_offset: 0x0abc };
    let golden = ["0a 02 0000000000000102 00000007 0000000000000abc", "01 05 6261746368"];
    check::<InlineBytes>(key, Bytes::from_static(b"batch"), golden);
}

const OBJECT: ObjectId = ObjectId { epoch: UploadEpoch(1), incarnation: 2, number: 0x0105 };

#[test]
fn inline_object() {
    let runs = vec![
        RunKey { partition: PARTITION, last_offset: 0x0abc },
        RunKey { partition: TopicPartition { partition: 8, ..PARTITION }, last_offset: 0 },
    ];
    check::<InlineObject>(
        OBJECT,
        InlineObject { runs, bytes: Bytes::from_static(b"batch") },
        ["14 00 0000000000000001 0000000000000002 0000000000000105", "01 02 8202 07 bc15 8202 08 00 05 6261746368"],
    );
    let key = InlineObject::encode_key(&OBJECT);
    let stored =
        InlineObject::encode_value(&OBJECT, &InlineObject { runs: Vec::new(), bytes: Bytes::from_static(b"batch") });
    let shared = InlineObject::decode_shared(&InlineObject::decode_key(&key).unwrap(), &stored).unwrap();
    assert_eq!(shared.bytes.as_ptr_range().end, stored.as_ptr_range().end, "the bytes are a part of the value");
}

#[test]
fn inline_head() {
    check::<InlineHead>(ObjectStream::of(OBJECT), 0x0105, ["15 00 0000000000000001 0000000000000002", "01 8502"]);
}

#[test]
fn inline_record() {
    let outcomes = Outcomes::new([(Outcome::Appended { base_offset: 9 }, 1)]);
    let record = Object { request_hash: 0xff, live_bytes: 5, outcomes };
    check::<InlineRecord>(
        InlinePlace::of(OBJECT),
        InlineRecord { number: OBJECT.number, record },
        ["16 00 0000000000000001 0000000000000002 05", "01 8502 000000000000000000000000000000ff 05 01 010109"],
    );
    let elsewhere = InlineRecord::encode_key(&InlinePlace::of(ObjectId { number: 6, ..OBJECT }));
    let key = InlineRecord::decode_key(&elsewhere).unwrap();
    let outcomes = Outcomes::new([]);
    let record = InlineRecord { number: 5, record: Object { request_hash: 0, live_bytes: 0, outcomes } };
    let value = InlineRecord::encode_value(&key, &record);
    assert_eq!(InlineRecord::decode_value(&key, &value), Err(RowError::OutOfRange("number")));
    let beyond = [&elsewhere[..elsewhere.len() - 1], &[64]].concat();
    assert_eq!(InlineRecord::decode_key(&beyond), Err(RowError::OutOfRange("place")));
}

#[test]
fn runs_sort_by_their_last_offset() {
    let key = |last_offset| RunRow::encode_key(&RunKey { partition: PARTITION, last_offset });
    let mut offsets = [0, 1, 255, 256, 65_535, 65_536, i64::MAX - 1, i64::MAX].map(key);
    assert!(offsets.is_sorted());
    offsets.reverse();
    let range = RunKey::reaching(PARTITION, 256);
    assert_eq!(RunRow::encode_key(range.start()), key(256));
    assert_eq!(RunRow::encode_key(range.end()), key(i64::MAX));
}

#[test]
fn producer() {
    let range =
        |first_sequence, last_sequence, base_offset| SequenceRange { first_sequence, last_sequence, base_offset };
    let key = ProducerKey { partition: PARTITION, producer: ProducerId(9) };
    let golden_key = "07 02 0000000000000102 00000007 0000000000000009";
    check::<Producer>(
        key,
        Producer {
            epoch: ProducerEpoch(2),
            last_use: UploadEpoch(3),
            last_append_ms: None,
            // Consecutive, across the wrap, and behind a gap.
            window: vec![
                range(i32::MAX - 1, i32::MAX - 1, 100),
                range(i32::MAX, 1, 101),
                range(2, 2, 120),
                range(5, 5, 121),
            ],
        },
        [golden_key, "01 02 03 04 feffffff07 00 c801 00 02 02 00 00 26 02 00 02"],
    );
    check::<Producer>(
        key,
        Producer { epoch: ProducerEpoch(0), last_use: UploadEpoch(0), last_append_ms: None, window: Vec::new() },
        [golden_key, "01 00 00 00"],
    );
    check::<Producer>(
        key,
        Producer {
            epoch: ProducerEpoch(2),
            last_use: UploadEpoch(3),
            last_append_ms: Some(1_790_000_000_000),
            window: vec![range(0, 9, 100)],
        },
        [golden_key, "02 02 03 80b083c59868 01 00 09 c801"],
    );
    let mut too_many = vec![1, 0, 0, 17];
    too_many.extend([0; 17 * 3]);
    assert_eq!(Producer::decode_value(&key, &too_many), Err(RowError::OutOfRange("window")));
    assert_eq!(next_sequence(i32::MAX), 0);
}

#[test]
fn topic_producer() {
    let part = |partition, records, base_offset| RequestPart { partition, records, base_offset };
    let request = |first_sequence, last_sequence, parts| NumberedRequest {
        first_sequence,
        last_sequence,
        partition_map_version: 1,
        parts,
    };
    let key = TopicProducerKey { topic: TopicNumber(0x0102), producer: ProducerId(9) };
    let golden_key = "13 02 0000000000000102 0000000000000009";
    check::<TopicProducer>(
        key,
        TopicProducer {
            epoch: ProducerEpoch(2),
            last_use: UploadEpoch(3),
            last_append_ms: None,
            // One whose places are forgotten, across the wrap, and one in three partitions.
            window: vec![
                request(i32::MAX, 1, vec![]),
                request(2, 7, vec![part(0, 1, 300), part(1, 3, 0), part(9, 2, 5)]),
            ],
        },
        [golden_key, "01 02 03 02  ffffffff07 02 01 00  00 05 01 03  00 00 ac02  00 02 00  07 01 05"],
    );
    check::<TopicProducer>(
        key,
        TopicProducer { epoch: ProducerEpoch(0), last_use: UploadEpoch(0), last_append_ms: None, window: Vec::new() },
        [golden_key, "01 00 00 00"],
    );
    check::<TopicProducer>(
        key,
        TopicProducer {
            epoch: ProducerEpoch(2),
            last_use: UploadEpoch(3),
            last_append_ms: Some(-1),
            window: vec![request(0, 9, vec![])],
        },
        [golden_key, "02 02 03 01 01  00 09 01 00"],
    );
    let mut too_many = vec![1, 0, 0, 17];
    too_many.extend([0; 17 * 4]);
    assert_eq!(TopicProducer::decode_value(&key, &too_many), Err(RowError::OutOfRange("window")));
    // Two requests of 129 parts each.
    let one = [&[0, 0, 1, 0x81, 0x01][..], &[0; 129 * 3]].concat();
    let too_many = [&[1, 0, 0, 2][..], &one, &one].concat();
    assert_eq!(TopicProducer::decode_value(&key, &too_many), Err(RowError::OutOfRange("parts")));
    let last_of_all = [1, 0, 0, 1, 0, 0, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    assert_eq!(TopicProducer::decode_value(&key, &last_of_all), Err(RowError::OutOfRange("partition")));
}

#[test]
fn object() {
    let outcomes = Outcomes::new([
        (Outcome::Appended { base_offset: 300 }, 10),
        (Outcome::Appended { base_offset: 310 }, 1),
        (Outcome::Appended { base_offset: 400 }, 1),
        (Outcome::Duplicate { base_offset: 401 }, 1),
        (Outcome::UnknownPartition, 5),
        (Outcome::UnknownPartition, 6),
        (Outcome::OutOfOrderSequence { expected: 7 }, 1),
        (Outcome::OutOfOrderSequence { expected: 8 }, 1),
        (Outcome::ProducerFenced { current: ProducerEpoch(3) }, 1),
        (Outcome::SequenceTooOld, 1),
    ]);
    let elsewhere = Object {
        request_hash: 0xff,
        live_bytes: 0,
        outcomes: Outcomes::new([(Outcome::DuplicateElsewhere, 1), (Outcome::DuplicateElsewhere, 7)]),
    };
    check::<Object>(
        ObjectId { epoch: UploadEpoch(1), incarnation: 2, number: 4 },
        elsewhere,
        [
            "08 00 0000000000000001 0000000000000002 0000000000000004",
            "01 000000000000000000000000000000ff 00 01  07 02",
        ],
    );
    let outcomes_of_ids = Outcomes::new([
        (Outcome::UnissuedProducerId, 1),
        (Outcome::UnissuedProducerId, 7),
        (Outcome::UnknownProducerId, 1),
    ]);
    check::<Object>(
        ObjectId { epoch: UploadEpoch(1), incarnation: 2, number: 5 },
        Object { request_hash: 0xff, live_bytes: 0, outcomes: outcomes_of_ids },
        [
            "08 00 0000000000000001 0000000000000002 0000000000000005",
            "01 000000000000000000000000000000ff 00 02  08 02  09 01",
        ],
    );
    check::<Object>(
        ObjectId { epoch: UploadEpoch(1), incarnation: 2, number: 3 },
        Object { request_hash: 0xff, live_bytes: 128, outcomes },
        [
            "08 00 0000000000000001 0000000000000002 0000000000000003",
            "01 000000000000000000000000000000ff 8001 08 \
             01 02 ac02  01 01 9003  02 01 9103  03 02  04 01 07  04 01 08  05 01 03  06 01",
        ],
    );
}

#[test]
fn outcomes_come_back_batch_by_batch() {
    let random = SeededRandomness::new(3);
    for _ in 0..200 {
        let batches: Vec<(Outcome, u32)> = (0..random.below(30))
            .map(|_| {
                let base_offset = i64::try_from(random.below(6)).unwrap();
                let outcome = match random.below(4) {
                    0 => Outcome::Duplicate { base_offset },
                    1 => Outcome::SequenceTooOld,
                    2 => Outcome::OutOfOrderSequence { expected: 1 },
                    _ => Outcome::Appended { base_offset },
                };
                (outcome, u32::try_from(random.below(3)).unwrap() + 1)
            })
            .collect();
        let outcomes = Outcomes::new(batches.iter().copied());
        let counts: Vec<u32> = batches.iter().map(|(_, records)| *records).collect();
        let expected: Vec<Outcome> = batches.iter().map(|(outcome, _)| *outcome).collect();
        assert_eq!(outcomes.expand(counts.iter().copied()), Ok(expected));
        assert_eq!(outcomes.expand(counts.iter().copied().chain([1])), Err(OutcomeMismatch));
        if !counts.is_empty() {
            assert_eq!(outcomes.expand(counts[1..].iter().copied()), Err(OutcomeMismatch));
        }
    }
}

#[test]
fn many_batches_of_one_run_are_one_stretch() {
    let batches = (0..10_000).map(|n| (Outcome::Appended { base_offset: n * 3 }, 3));
    let key = ObjectId { epoch: UploadEpoch(0), incarnation: 0, number: 0 };
    let object = Object { request_hash: 0, live_bytes: 0, outcomes: Outcomes::new(batches) };
    assert_eq!(Object::encode_value(&key, &object).len(), 1 + 16 + 1 + 1 + 4);
}

#[test]
fn free() {
    check::<Free>(
        TopicNumber(0x0102),
        Free { deleted_at_ms: 1, partitions: 4, size_bytes: 128 },
        ["09 02 0000000000000102", "01 02 04 8001"],
    );
}

#[test]
fn kinds_differ() {
    let kinds = [
        Meta::KIND,
        TopicName::KIND,
        Topic::KIND,
        Partition::KIND,
        Tail::KIND,
        RunRow::KIND,
        Producer::KIND,
        Object::KIND,
        Free::KIND,
        InlineBytes::KIND,
        TopicProducer::KIND,
        InlineObject::KIND,
        InlineHead::KIND,
        InlineRecord::KIND,
    ];
    assert_eq!(kinds, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 19, 20, 21, 22]);
}
