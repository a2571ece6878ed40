//! Batches and objects for the tests of this crate.

use bytes::Bytes;
use eagre_log::{WalObject, WalObjectBuilder};
use eagre_model::{
    ObjectId, Run, TopicNumber, TopicPartition, UploadEpoch,
    batch::{Compression, ValidBatch},
    records::{BatchBuilder, ProducerFields, Record},
};

pub fn id(number: u64) -> ObjectId {
    ObjectId { epoch: UploadEpoch(3), incarnation: 17, number }
}

pub fn partition(topic: u64, partition: u32) -> TopicPartition {
    TopicPartition { topic: TopicNumber(topic), partition }
}

/// A batch of so many records of so many bytes, unlike any other of another seed.
pub fn batch(seed: u64, records: u64, value_bytes: usize) -> (Bytes, ValidBatch) {
    let mut builder = BatchBuilder::new(ProducerFields { producer_id: 5, producer_epoch: 0, base_sequence: 0 });
    for n in 0..records {
        let mut state = seed * 1_000 + n + 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let value: Vec<u8> = (0..value_bytes).map(|_| next()).collect();
        let timestamp_ms = 1_700_000_000_000 + i64::try_from(seed * 10 + n).unwrap();
        let record = Record { key: None, value: Some(value.into()), headers: vec![], timestamp_ms };
        builder.push(&record).unwrap();
    }
    let encoded = builder.finish(Compression::None).unwrap();
    (encoded.bytes, encoded.valid)
}

/// The object of the golden file: three partitions, pushed in turn.
pub fn golden_object() -> WalObject {
    let mut builder = WalObjectBuilder::new();
    for (seed, partition) in [(1, partition(2, 1)), (2, partition(1, 0)), (3, partition(2, 1)), (4, partition(2, 0))] {
        let (bytes, valid) = batch(seed, seed, 11);
        builder.push(partition, bytes, &valid);
    }
    builder.finish(id(42))
}

/// The index rows that a sequencer would write when it accepts everything.
pub fn rows(object: &WalObject) -> Vec<Run> {
    let row = |run: &eagre_log::WalRun| Run {
        kind: eagre_model::RunKind::Wal,
        base_offset: 0,
        last_offset: run.batches.iter().map(|batch| i64::from(batch.header.record_count)).sum::<i64>() - 1,
        object: object.id,
        position_bytes: run.position_bytes,
        length_bytes: run.length_bytes,
        batches: u32::try_from(run.batches.len()).unwrap(),
        crc32c: run.crc32c,
        prefix_max_timestamp_ms: run.batches.iter().map(|batch| batch.header.max_timestamp).max().unwrap(),
    };
    object.runs.iter().map(row).collect()
}
