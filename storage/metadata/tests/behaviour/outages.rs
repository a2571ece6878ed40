//! The bucket goes away and comes back.

use std::time::Duration;

use eagre_metadata::{CloseError, WriteError};
use tokio::time::{Instant, timeout};

use crate::{
    bucket::TestBucket,
    world::{commit, env, eventually, next_offset, open, tail, tasks},
};

const LONG: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_the_bucket_and_then_ends_well() {
    for hangs in [true, false] {
        let bucket = TestBucket::new();
        let store = open(&env(1), &bucket).await.unwrap();
        commit(&store, 1, 10).await;
        bucket.set(|faults| (faults.hangs, faults.fails) = (hangs, !hangs));
        store.write(tail(1, 20)).await.unwrap();
        let mut flush = Box::pin(store.flush());
        assert!(timeout(LONG, &mut flush).await.is_err(), "it hangs");
        assert_eq!(next_offset(&store, 1).await, Some(10), "rows in memory are read meanwhile");
        bucket.set(|faults| (faults.hangs, faults.fails) = (false, false));
        assert_eq!(timeout(LONG, flush).await, Ok(Ok(())));
        assert_eq!(next_offset(&store, 1).await, Some(20));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_hung_while_a_rival_opened_is_fenced_and_invisible() {
    let bucket = TestBucket::new();
    let old = open(&env(1), &bucket).await.unwrap();
    commit(&old, 1, 10).await;
    bucket.set(|faults| faults.hangs = true);
    old.write(tail(1, 20)).await.unwrap();
    let mut flush = Box::pin(old.flush());
    assert!(timeout(LONG, &mut flush).await.is_err());
    let new = open(&env(2), &bucket.view()).await.unwrap();
    assert_eq!(next_offset(&new, 1).await, Some(10));
    commit(&new, 2, 5).await;
    bucket.set(|faults| faults.hangs = false);
    assert_eq!(timeout(LONG, flush).await, Ok(Err(WriteError::Fenced)));
    assert_eq!(next_offset(&new, 1).await, Some(10));
    let third = open(&env(3), &bucket.view()).await.unwrap();
    assert_eq!((next_offset(&third, 1).await, next_offset(&third, 2).await), (Some(10), Some(5)));
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_store_ends_though_the_bucket_is_gone() {
    let bucket = TestBucket::new();
    let idle_tasks = tasks();
    let store = open(&env(1), &bucket).await.unwrap();
    commit(&store, 1, 10).await;
    bucket.set(|faults| faults.hangs = true);
    store.write(tail(1, 20)).await.unwrap();
    let mut flush = Box::pin(store.flush());
    assert!(timeout(LONG, &mut flush).await.is_err());
    let started = Instant::now();
    store.abandon();
    assert_eq!(started.elapsed(), Duration::ZERO, "it does not wait");
    assert!(matches!(flush.await, Err(WriteError::Failed(_))), "a flush under way is released");
    drop(store);
    eventually("its tasks end", async || tasks() <= idle_tasks).await;
    bucket.set(|faults| faults.hangs = false);
    bucket.forget_requests();
    tokio::time::sleep(LONG).await;
    assert_eq!(bucket.requests(), [], "nothing of it reaches the bucket any more");
    let again = open(&env(2), &bucket).await.unwrap();
    assert_eq!(next_offset(&again, 1).await, Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_dropped_ends() {
    let bucket = TestBucket::new();
    let idle_tasks = tasks();
    let store = open(&env(1), &bucket).await.unwrap();
    commit(&store, 1, 10).await;
    drop(store);
    eventually("its tasks end", async || tasks() <= idle_tasks).await;
}

#[tokio::test(start_paused = true)]
async fn an_open_that_is_given_up_leaves_nothing_behind() {
    let bucket = TestBucket::new();
    let idle_tasks = tasks();
    commit(&open(&env(1), &bucket).await.unwrap(), 1, 10).await;
    eventually("the first one ends", async || tasks() <= idle_tasks).await;
    // Given up at every request of the way.
    bucket.set(|faults| faults.latency = Duration::from_millis(10));
    for n in 0..40 {
        let _ = timeout(Duration::from_millis(5 + n * 10), open(&env(n + 2), &bucket)).await;
        eventually("nothing is left", async || tasks() <= idle_tasks).await;
    }
    assert_eq!(next_offset(&open(&env(99), &bucket).await.unwrap(), 1).await, Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_close_is_bounded() {
    let bucket = TestBucket::new();
    let idle_tasks = tasks();
    let store = open(&env(1), &bucket).await.unwrap();
    commit(&store, 1, 10).await;
    bucket.set(|faults| faults.hangs = true);
    store.write(tail(1, 20)).await.unwrap();
    let started = Instant::now();
    assert_eq!(store.close(Duration::from_secs(5)).await, Err(CloseError::TimedOut));
    assert_eq!(started.elapsed(), Duration::from_secs(5));
    eventually("its tasks end", async || tasks() <= idle_tasks).await;
    bucket.set(|faults| faults.hangs = false);
    assert_eq!(next_offset(&open(&env(2), &bucket).await.unwrap(), 1).await, Some(10));
}

#[tokio::test(start_paused = true)]
async fn opening_waits_for_the_bucket() {
    let bucket = TestBucket::new();
    bucket.set(|faults| faults.fails = true);
    let env = env(1);
    let mut opening = Box::pin(open(&env, &bucket));
    assert!(timeout(LONG, &mut opening).await.is_err());
    bucket.set(|faults| faults.fails = false);
    let store = timeout(LONG, opening).await.unwrap().unwrap();
    commit(&store, 1, 1).await;
}
