//! Building WAL objects and reading their runs.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use eagre_cache::{CacheSettings, PageCaches};
use eagre_env::Env;
use eagre_log::{ReaderSettings, RunReader, WalObject, WalObjectBuilder, parse_footer};
use eagre_model::{
    ObjectId, Run, TopicNumber, TopicPartition, UploadEpoch,
    batch::{Compression, ValidBatch},
    records::{BatchBuilder, ProducerFields, Record},
};
use eagre_objects::{Bucket, BucketUrl};
use futures::{StreamExt, TryStreamExt, stream};

const OBJECT_BYTES: usize = 8 * 1024 * 1024;
const PARTITIONS: u32 = 8;

/// A batch of about so many bytes.
fn batch(seed: u64, bytes: usize) -> (Bytes, ValidBatch) {
    let mut builder = BatchBuilder::new(ProducerFields::NONE);
    let mut state = seed + 1;
    while builder.size_bytes() + 1_024 < bytes.max(2_000) {
        let value: Vec<u8> = (0..1_024)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        let record = Record { key: None, value: Some(value.into()), headers: vec![], timestamp_ms: 1 };
        builder.push(&record).expect("a small record fits");
    }
    let encoded = builder.finish(Compression::None).expect("it holds records");
    (encoded.bytes, encoded.valid)
}

fn build(number: u64, batches: &[(Bytes, ValidBatch)]) -> WalObject {
    let mut builder = WalObjectBuilder::new();
    for (n, (bytes, valid)) in (0..).zip(batches) {
        let partition = TopicPartition { topic: TopicNumber(1), partition: n % PARTITIONS };
        builder.push(partition, bytes.clone(), valid);
    }
    builder.finish(ObjectId { epoch: UploadEpoch(0), incarnation: 1, number })
}

fn building(c: &mut Criterion) {
    let mut group = c.benchmark_group("build 8 MiB object");
    for batch_bytes in [2_000, 64 * 1024, 1024 * 1024] {
        let batches: Vec<_> = (0..OBJECT_BYTES / batch_bytes).map(|seed| batch(seed as u64, batch_bytes)).collect();
        let total: usize = batches.iter().map(|(bytes, _)| bytes.len()).sum();
        group.throughput(Throughput::Bytes(total as u64));
        group.bench_function(format!("{batch_bytes} B batches"), |b| b.iter(|| build(0, black_box(&batches))));
    }
    let batches: Vec<_> = (0..128).map(|seed| batch(seed, 64 * 1024)).collect();
    let whole = build(0, &batches).bytes;
    group.throughput(Throughput::Bytes(whole.len() as u64));
    group.bench_function("plain copy of as much", |b| b.iter(|| Bytes::from(black_box(&whole).to_vec())));
    group.finish();
    let object = build(0, &batches);
    c.bench_function("parse footer of 8 runs", |b| {
        b.iter(|| parse_footer(black_box(&object.bytes), object.bytes.len() as u64));
    });
}

fn rows(object: &WalObject) -> Vec<Run> {
    let row = |run: &eagre_log::WalRun| Run {
        kind: eagre_model::RunKind::Wal,
        base_offset: 0,
        last_offset: 0,
        object: object.id,
        position_bytes: run.position_bytes,
        length_bytes: run.length_bytes,
        batches: 1,
        crc32c: run.crc32c,
        prefix_max_timestamp_ms: 0,
    };
    object.runs.iter().map(row).collect()
}

/// 32 objects of 8 MiB: more than the pages that are kept.
fn reading(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("threads can be made");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let env = Env::system();
    let url = BucketUrl::Folder(folder.path().join("bucket"));
    let bucket = runtime.block_on(Bucket::open(&env, &url)).expect("the folder is new");
    let mut runs = vec![];
    let batches: Vec<_> = (0..128).map(|seed| batch(seed, 64 * 1024)).collect();
    let mut last = None;
    for number in 0..32 {
        let object = build(number, &batches);
        runtime.block_on(bucket.put(&object.id.key(), object.bytes.clone())).expect("there is room");
        runs.extend(rows(&object));
        last = Some(object);
    }
    let bytes: u64 = runs.iter().map(|run| u64::from(run.length_bytes)).sum();
    let mut group = c.benchmark_group("read runs of 1 MiB");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(bytes));
    for at_once in [1, 8] {
        group.bench_function(format!("from a folder, {at_once} at a time"), |b| {
            b.iter_batched(
                || {
                    let caches = PageCaches::plain(&CacheSettings::default());
                    RunReader::new(&env, bucket.clone(), caches, &ReaderSettings::default())
                },
                |reader| {
                    let reader = &reader;
                    let reads = stream::iter(&runs).map(|run| async move { reader.read(run).await.map(drop) });
                    runtime.block_on(reads.buffered(at_once).try_collect::<()>()).expect("all of it is there");
                },
                BatchSize::PerIteration,
            );
        });
    }
    let object = last.expect("objects were made");
    let caches = runtime.block_on(PageCaches::open(&CacheSettings::default())).expect("memory needs nothing");
    let reader = RunReader::new(&env, bucket, caches, &ReaderSettings::default());
    reader.insert_written(object.id, object.bytes.clone());
    let tail = rows(&object);
    group.throughput(Throughput::Bytes(object.bytes.len() as u64));
    group.bench_function("written here, from memory", |b| {
        b.iter(|| {
            for run in &tail {
                runtime.block_on(reader.read(run)).expect("it is in memory");
            }
        });
    });
    group.finish();
}

criterion_group!(benches, building, reading);
criterion_main!(benches);
