//! How fast batches are checked, built and read: one batch of 1,000 incompressible records of 1 KiB, and small ones.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use eagre_model::batch::{Compression, Limits, crc32c, crc32c_combine, validate};
use eagre_model::keys::murmur2;
use eagre_model::records::{BatchBuilder, ProducerFields, Record, decode, records};

/// Bytes that no codec shortens; the same in every run.
fn noise(length: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect::<Vec<_>>().into()
}

fn sample(count: u64, value_bytes: usize) -> Vec<Record> {
    let record = |i: u64| Record {
        key: Some(Bytes::from(format!("key-{i}"))),
        value: Some(noise(value_bytes, i)),
        headers: vec![],
        timestamp_ms: 1_700_000_000_000 + i as i64,
    };
    (0..count).map(record).collect()
}

fn build(records: &[Record], codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(ProducerFields::NONE, 1 << 20);
    for record in records {
        builder.push(record).expect("a record of 1 KiB fits");
    }
    builder.finish(codec).expect("a batch of 1 MiB fits").bytes
}

fn codecs(c: &mut Criterion) {
    let limits = Limits::default();
    for (shape, records_of_shape) in [("1KiB", sample(1000, 1024)), ("100B", sample(1000, 100))] {
        let mut group = c.benchmark_group(shape);
        for codec in Compression::ALL {
            let batch = build(&records_of_shape, codec);
            group.throughput(Throughput::Bytes(batch.len() as u64));
            group.bench_function(format!("validate/{}", codec.name()), |b| {
                b.iter(|| validate(black_box(&batch), &limits));
            });
            group.bench_function(format!("build/{}", codec.name()), |b| {
                b.iter(|| build(black_box(&records_of_shape), codec));
            });
        }
        let batch = build(&records_of_shape, Compression::None);
        group.bench_function("decode/all", |b| b.iter(|| decode(black_box(&batch), &limits)));
        group.bench_function("decode/each", |b| {
            b.iter(|| records(black_box(&batch), &limits).map(|records| records.map_while(Result::ok).count()));
        });
        group.bench_function("crc32c", |b| b.iter(|| crc32c(black_box(&batch))));
        group.finish();
    }
    c.bench_function("crc32c_combine", |b| b.iter(|| crc32c_combine(black_box(1), black_box(2), black_box(1_049_387))));
    c.bench_function("murmur2/10B", |b| b.iter(|| murmur2(black_box(b"N12345-ABC"))));
}

criterion_group!(benches, codecs);
criterion_main!(benches);
