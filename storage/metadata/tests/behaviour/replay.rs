//! What a start costs: a successor reads every WAL object whose rows are in no table yet.

use std::time::Duration;

use eagre_metadata::StoreSettings;

use crate::{
    bucket::TestBucket,
    world::{commit, env, next_offset, open, open_with},
};

/// Flushes so often with a table every so many flushes, crashes, and counts the reads of WAL objects at the next start.
async fn wal_reads_after(flushes: i64, flushes_per_table: u32) -> usize {
    let bucket = TestBucket::new();
    let settings = StoreSettings { flushes_per_table, ..StoreSettings::for_object_store() };
    let store = open_with(&env(1), &bucket, settings).await.unwrap();
    for n in 1..=flushes {
        commit(&store, 1, n).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    store.abandon();
    bucket.forget_requests();
    let again = open(&env(2), &bucket).await.unwrap();
    assert_eq!(next_offset(&again, 1).await, Some(flushes));
    bucket.count("GET", "/wal/") + bucket.count("HEAD", "/wal/")
}

#[tokio::test(start_paused = true)]
async fn a_start_reads_every_wal_object_and_tables_bound_that() {
    let (few, many) = (wal_reads_after(20, 4_000).await, wal_reads_after(200, 4_000).await);
    assert!(few >= 20 && many >= 200, "{few} and {many} reads");
    assert!(many <= 200 * 3 + 20, "{many} reads of 200 objects");
    let bounded = wal_reads_after(200, 16).await;
    assert!(bounded <= 17 * 3 + 20, "{bounded} reads with a table every 16 flushes");
}

#[tokio::test(start_paused = true)]
async fn after_a_close_nothing_is_replayed() {
    let bucket = TestBucket::new();
    let store = open(&env(1), &bucket).await.unwrap();
    for n in 1..=50 {
        commit(&store, 1, n).await;
    }
    store.close(Duration::from_secs(60)).await.unwrap();
    bucket.forget_requests();
    let again = open(&env(2), &bucket).await.unwrap();
    assert_eq!(next_offset(&again, 1).await, Some(50));
    assert_eq!(bucket.count("GET", "/wal/"), 0);
}

/// Objects do not pile up under load, and commits go on whatever is merged and deleted behind them.
#[tokio::test(start_paused = true)]
async fn tables_are_merged_and_what_is_merged_is_deleted() {
    let bucket = TestBucket::new();
    let settings =
        StoreSettings { flushes_per_table: 20, table_age_min: Duration::from_secs(60), ..StoreSettings::for_folder() };
    let store = open_with(&env(1), &bucket, settings).await.unwrap();
    for n in 1..=1_500 {
        commit(&store, 1, n).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let written = |folder| bucket.count("PUT", folder);
    assert!(written("/wal/") >= 1_500 && written("/compacted/") >= 75);
    for (folder, most) in [("/wal/", 300), ("/compacted/", 40), ("/manifest/", 120), ("/compactions/", 120)] {
        let left = bucket.objects(folder).await.len();
        assert!(left <= most, "{left} of {} objects are left in {folder}", written(folder));
    }
    assert_eq!(next_offset(&store, 1).await, Some(1_500));
}
