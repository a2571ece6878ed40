//! A node whose wall clock is slow takes over at once.

use std::{sync::Arc, time::Duration};

use eagre_metadata::StoreSettings;
use slatedb::Db;
use slatedb_common::clock::{SystemClock, SystemClockTicker};
use tokio::time::Instant;

use crate::{
    bucket::{START_MS, TestBucket},
    slate,
    world::{commit, env_with_skew, eventually, next_offset, open_with},
};

const HOUR_MS: i64 = 3_600_000;

/// A wall clock as SlateDB would use it.
#[derive(Debug)]
struct Wall(Instant, i64);

impl SystemClock for Wall {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        let elapsed_ms = i64::try_from(self.0.elapsed().as_millis()).unwrap();
        chrono::DateTime::from_timestamp_millis(START_MS + self.1 + elapsed_ms).unwrap()
    }

    fn sleep<'a>(&'a self, duration: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn ticker<'a>(&'a self, duration: Duration) -> SystemClockTicker<'a> {
        SystemClockTicker::new(self, duration)
    }
}

/// Why SlateDB gets a clock of ours.
#[tokio::test(start_paused = true)]
async fn slatedb_refuses_to_write_while_its_clock_lies_behind_the_last_writers() {
    let bucket = TestBucket::new();
    let open = async |skew_ms| {
        let clock = Arc::new(Wall(Instant::now(), skew_ms));
        let builder = Db::builder("raw", bucket.store()).with_settings(slate::settings());
        builder.with_system_clock(clock).with_seed(1).build().await.unwrap()
    };
    let ahead = open(HOUR_MS).await;
    ahead.put(b"k", b"1").await.unwrap();
    ahead.flush().await.unwrap();
    let behind = open(0).await;
    let started = Instant::now();
    assert!(behind.put(b"k", b"2").await.is_err());
    assert!(started.elapsed() >= Duration::from_secs(10), "and it takes its time to say so");
}

#[tokio::test(start_paused = true)]
async fn a_slow_clock_takes_over_at_once() {
    // The last writer's time is in the WAL only; in a table; in both.
    for (flushes, flushes_per_table) in [(1, 4_000), (4, 2), (5, 2)] {
        let bucket = TestBucket::new();
        let settings = StoreSettings { flushes_per_table, ..StoreSettings::for_object_store() };
        let ahead = open_with(&env_with_skew(1, HOUR_MS), &bucket, settings.clone()).await.unwrap();
        for n in 1..=flushes {
            commit(&ahead, 1, n).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        ahead.abandon();
        bucket.forget_requests();
        let behind = open_with(&env_with_skew(2, -HOUR_MS), &bucket, settings).await.unwrap();
        let started = Instant::now();
        assert_eq!(next_offset(&behind, 1).await, Some(flushes));
        commit(&behind, 1, 10).await;
        commit(&behind, 1, 11).await;
        assert_eq!(started.elapsed(), Duration::ZERO, "after {flushes} flushes");
        eventually("its table is published", async || {
            commit(&behind, 2, 1).await;
            bucket.requests().iter().filter(|put| put.op == "PUT" && put.path.contains("/manifest/")).count() >= 2
        })
        .await;
        behind.close(Duration::from_secs(1)).await.unwrap();
    }
}
