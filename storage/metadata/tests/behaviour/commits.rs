//! Group commit: one flush makes many writes durable, and flushes are not merged by SlateDB.

use std::time::Duration;

use bytes::Bytes;
use eagre_metadata::{Changes, StoreSettings, rows::InlineObject};
use eagre_model::{ObjectId, UploadEpoch};
use futures::future::join_all;
use tokio::time::Instant;

use crate::{
    bucket::TestBucket,
    slate,
    world::{commit, env, eventually, next_offset, open, open_with, tail},
};

const LATENCY: Duration = Duration::from_millis(40);

#[tokio::test(start_paused = true)]
async fn one_flush_makes_many_writes_durable() {
    let bucket = TestBucket::new();
    let store = open(&env(1), &bucket).await.unwrap();
    bucket.forget_requests();
    for n in 0..100 {
        store.write(tail(n, 1)).await.unwrap();
    }
    assert_eq!(bucket.count("PUT", ""), 0);
    assert_eq!(next_offset(&store, 7).await, None, "reads show durable rows only");
    store.flush().await.unwrap();
    assert_eq!(bucket.count("PUT", "/wal/"), 1);
    for n in 0..100 {
        assert_eq!(next_offset(&store, n).await, Some(1));
    }
    store.flush().await.unwrap();
    assert_eq!(bucket.count("PUT", "/wal/"), 1, "a flush of nothing costs nothing");
}

#[tokio::test(start_paused = true)]
async fn concurrent_flushes_are_not_merged() {
    let bucket = TestBucket::new();
    let db = slate::open(&bucket).await;
    bucket.set(|faults| faults.latency = LATENCY);
    bucket.forget_requests();
    let started = Instant::now();
    join_all((0..8u8).map(|n| {
        let db = db.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(n.into())).await;
            db.put([n], b"x").await.unwrap();
            db.flush().await.unwrap();
        }
    }))
    .await;
    // Those that came while the first put was under way had one each, one after another. So one task collects the
    // commits of all, writes them as one batch and flushes once.
    assert_eq!(bucket.count("PUT", "/wal/"), 8);
    assert!(started.elapsed() >= LATENCY * 8, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn large_rows_that_have_gone_are_in_no_table() {
    let bucket = TestBucket::new();
    let store = open_with(&env(1), &bucket, StoreSettings::for_object_store()).await.unwrap();
    let object = |number| ObjectId { epoch: UploadEpoch(1), incarnation: 1, number };
    let bytes =
        Bytes::from((0..256 << 10).map(|at: u32| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect::<Vec<_>>());
    let row = InlineObject { runs: Vec::new(), bytes };
    store.large_rows_have_gone();
    for round in 0..3 {
        let numbers = round * 20..(round + 1) * 20;
        for number in numbers.clone() {
            let mut changes = tail(number, 1);
            changes.put::<InlineObject>(&object(number), &row);
            store.write(changes).await.unwrap();
            store.flush().await.unwrap();
        }
        let mut changes = Changes::new();
        numbers.clone().for_each(|number| changes.delete::<InlineObject>(&object(number)));
        store.write(changes).await.unwrap();
        store.flush().await.unwrap();
        store.large_rows_have_gone();
        let tables = usize::try_from(round + 1).unwrap();
        eventually("one table a round", async || bucket.objects("/compacted/").await.len() == tables).await;
        assert_eq!(next_offset(&store, numbers.start).await, Some(1));
        assert_eq!(store.get::<InlineObject>(&object(numbers.start)).await, Ok(None));
    }
    let bytes: u64 = bucket.sizes("/compacted/").await.iter().sum();
    assert!(bytes < 64 << 10, "{bytes} bytes of tables");
}

#[tokio::test(start_paused = true)]
async fn writing_a_table_does_not_hold_up_commits() {
    let bucket = TestBucket::new();
    let settings = StoreSettings { flushes_per_table: 4, ..StoreSettings::for_object_store() };
    let store = open_with(&env(1), &bucket, settings).await.unwrap();
    bucket.set(|faults| {
        faults.latency = LATENCY;
        faults.slow = Some(("/compacted/", Duration::from_secs(30)));
    });
    bucket.forget_requests();
    for n in 0..64 {
        let started = Instant::now();
        commit(&store, n, 1).await;
        assert_eq!(started.elapsed(), LATENCY, "commit {n} waited");
    }
    assert_eq!(bucket.count("PUT", "/compacted/"), 0, "the first table is still on its way");
    eventually("a table is written", async || bucket.count("PUT", "/compacted/") > 0).await;
    assert_eq!(next_offset(&store, 0).await, Some(1));
    assert_eq!(next_offset(&store, 63).await, Some(1));
}
