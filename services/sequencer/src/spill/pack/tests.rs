use eagre_log::verify_object;
use eagre_model::{
    TopicNumber, UploadEpoch,
    batch::Compression,
    records::{BatchBuilder, ProducerFields},
};

use super::*;

const OBJECT: ObjectId = ObjectId { epoch: UploadEpoch(3), incarnation: 4, number: 5 };

fn partition(partition: u32) -> TopicPartition {
    TopicPartition { topic: TopicNumber(1), partition }
}

/// A run of batches of one record each, and its bytes.
fn run(base_offset: i64, values: &[&str]) -> (Run, Bytes) {
    let mut bytes = Vec::new();
    for value in values {
        let mut builder = BatchBuilder::new(ProducerFields::NONE);
        builder.push_parts(None, Some(value.as_bytes()), std::iter::empty(), 7).unwrap();
        bytes.extend_from_slice(&builder.finish(Compression::None).unwrap().bytes);
    }
    let run = Run {
        kind: RunKind::Inline,
        base_offset,
        last_offset: base_offset + i64::try_from(values.len()).unwrap() - 1,
        object: ObjectId { incarnation: 1, number: base_offset.unsigned_abs(), ..OBJECT },
        position_bytes: 11,
        length_bytes: u32::try_from(bytes.len()).unwrap(),
        batches: u32::try_from(values.len()).unwrap(),
        crc32c: crc32c(&bytes),
        prefix_max_timestamp_ms: base_offset + 100,
    };
    (run, bytes.into())
}

#[test]
fn runs_that_follow_each_other_become_one() {
    let mut pack = Pack::new(false);
    // Between offsets 2 and 5 the partition has a run in an object.
    let runs = [(1, run(0, &["a", "bb"])), (0, run(7, &["c"])), (1, run(2, &["d"])), (1, run(5, &["e", "f"]))];
    for (number, (run, bytes)) in &runs {
        pack.add(partition(*number), *run, bytes).unwrap();
    }
    let Packed { wal, stretches } = pack.finish(OBJECT);
    let wal = wal.unwrap();
    let footer = verify_object(&wal).unwrap();
    assert_eq!(footer.object, OBJECT);
    let said: Vec<_> = footer.runs.iter().map(|run| (run.partition.partition, run.batches, run.records)).collect();
    assert_eq!(said, [(0, 1, 1), (1, 5, 5)]);
    let spans: Vec<_> = stretches
        .iter()
        .map(|stretch| {
            let new = stretch.new.unwrap();
            (stretch.partition.partition, new.base_offset, new.last_offset, new.batches, stretch.old.len())
        })
        .collect();
    assert_eq!(spans, [(0, 7, 7, 1, 1), (1, 0, 2, 3, 2), (1, 5, 6, 2, 1)]);
    for stretch in &stretches {
        let new = stretch.new.unwrap();
        let start = usize::try_from(new.position_bytes).unwrap();
        assert_eq!(crc32c(&wal[start..start + new.length_bytes as usize]), new.crc32c);
        assert!(stretch.is_true(OBJECT));
    }
    assert_eq!(stretches[1].new.unwrap().prefix_max_timestamp_ms, 102);
}

#[test]
fn bytes_that_are_not_what_the_index_says_are_left_out() {
    let mut pack = Pack::new(false);
    let ((good, bytes), (other, _)) = (run(0, &["a"]), run(0, &["b"]));
    assert!(pack.add(partition(0), other, &bytes).is_err());
    assert!(pack.add(partition(0), good, &bytes.slice(1..)).is_err());
    assert!(pack.add(partition(0), Run { batches: 2, ..good }, &bytes).is_err());
    let noise = Bytes::from(vec![0xff; bytes.len()]);
    assert!(pack.add(partition(0), Run { crc32c: crc32c(&noise), ..good }, &noise).is_err());
    assert!(pack.finish(OBJECT).wal.is_none(), "and nothing of them is stored");
}

#[test]
fn runs_of_deleted_topics_only_go() {
    let mut pack = Pack::new(false);
    let ((first, _), (second, _), (kept, bytes)) = (run(0, &["a"]), run(1, &["b"]), run(9, &["c"]));
    pack.free(partition(0), first);
    pack.free(partition(0), second);
    pack.add(partition(1), kept, &bytes).unwrap();
    let Packed { wal, stretches } = pack.finish(OBJECT);
    assert_eq!(verify_object(&wal.unwrap()).unwrap().runs.len(), 1);
    assert_eq!(stretches[0], Stretch { partition: partition(0), old: vec![first, second], new: None });
    assert_eq!((stretches.len(), stretches[1].old.as_slice()), (2, &[kept][..]));
}

#[test]
fn the_planted_bug_joins_what_does_not_belong_together() {
    let mut pack = Pack::new(true);
    for (run, bytes) in [run(0, &["a"]), run(5, &["b"])] {
        pack.add(partition(0), run, &bytes).unwrap();
    }
    let stretches = pack.finish(OBJECT).stretches;
    assert_eq!((stretches.len(), stretches[0].is_true(OBJECT)), (1, false));
}
