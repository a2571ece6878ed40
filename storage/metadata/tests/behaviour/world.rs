//! What the tests share: an environment on tokio's paused clock, opening stores, small rows.

use std::{sync::Arc, time::Duration};

use eagre_env::{Clock, Env, HostIdentity, SeededRandomness, TcpNetwork};
use eagre_metadata::{
    Changes, MetadataStore, OpenError, StoreSettings,
    rows::{Meta, MetaName, MetaValue, Tail},
};
use eagre_model::{ShardId, TopicNumber, TopicPartition};
use tokio::time::Instant;

use crate::bucket::{START_MS, TestBucket};

/// tokio's clock, and a wall clock that may be wrong.
#[derive(Debug)]
struct VirtualClock {
    started: Instant,
    skew_ms: i64,
}

impl Clock for VirtualClock {
    fn unix_ms(&self) -> i64 {
        START_MS + self.skew_ms + i64::try_from(self.started.elapsed().as_millis()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// An environment whose wall clock is right.
pub fn env(seed: u64) -> Env {
    env_with_skew(seed, 0)
}

/// An environment whose wall clock is wrong by `skew_ms`.
pub fn env_with_skew(seed: u64, skew_ms: i64) -> Env {
    let clock = VirtualClock { started: Instant::now(), skew_ms };
    let host = HostIdentity { machine: String::new(), process: 1, started: 0 };
    Env::new(Arc::new(clock), Arc::new(SeededRandomness::new(seed)), Arc::new(TcpNetwork), host)
}

pub async fn open(env: &Env, bucket: &TestBucket) -> Result<MetadataStore, OpenError> {
    open_with(env, bucket, StoreSettings::for_object_store()).await
}

pub async fn open_with(env: &Env, bucket: &TestBucket, settings: StoreSettings) -> Result<MetadataStore, OpenError> {
    MetadataStore::open(env, bucket.store(), ShardId::FIRST, settings).await
}

pub fn partition(n: u64) -> TopicPartition {
    TopicPartition { topic: TopicNumber(n), partition: 0 }
}

/// A change of one tail.
pub fn tail(n: u64, next_offset: i64) -> Changes {
    let mut changes = Changes::new();
    let tail = Tail { next_offset, size_bytes: 0, prefix_max_timestamp_ms: 0 };
    changes.put::<Tail>(&partition(n), &tail);
    changes
}

pub async fn commit(store: &MetadataStore, n: u64, next_offset: i64) {
    store.write(tail(n, next_offset)).await.unwrap();
    store.flush().await.unwrap();
}

/// The durable next offset.
pub async fn next_offset(store: &MetadataStore, n: u64) -> Option<i64> {
    store.get::<Tail>(&partition(n)).await.unwrap().map(|tail| tail.next_offset)
}

/// A row that tells who wrote last.
pub fn mark(by: u64) -> Changes {
    let mut changes = Changes::new();
    changes.put::<Meta>(&MetaName::UploadEpoch, &MetaValue::Number(by));
    changes
}

/// Steps virtual time until the condition holds; a test that never gets there fails by this bound, not by luck.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..10_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never happened: {what}");
}

/// How many tasks live on this runtime.
pub fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}
