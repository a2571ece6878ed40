//! One writer: who opens last shuts out who was there, and what that looks like from both sides.

use std::time::Duration;

use eagre_metadata::{OpenError, WriteError};
use slatedb::Db;

use crate::{
    bucket::TestBucket,
    slate,
    world::{commit, env, eventually, mark, next_offset, open, tail},
};

/// SlateDB alone does not let a rival in while the old writer is busy: it tries WAL ids one by one, and the old writer
/// takes each before it. So a rival claims first, waits until the holder has stopped, and then opens.
#[tokio::test(start_paused = true)]
async fn an_opener_chases_a_busy_writer() {
    let bucket = TestBucket::new();
    let writer = slate::open(&bucket).await;
    let rival_view = bucket.view();
    bucket.set(|faults| faults.latency = Duration::from_millis(30));
    rival_view.set(|faults| faults.latency = Duration::from_millis(30));
    let builder = Db::builder("raw", rival_view.store()).with_settings(slate::settings()).with_seed(2);
    let mut rival = Box::pin(builder.build());
    for n in 0..200u32 {
        writer.put(n.to_be_bytes(), b"x").await.unwrap();
        let mut flush = Box::pin(writer.flush());
        let is_open = tokio::select! {
            flushed = &mut flush => { flushed.unwrap(); false }
            opened = &mut rival => { opened.unwrap(); true }
        };
        assert!(!is_open, "the rival got in after {n} flushes");
    }
    // The writer stops; now the rival gets in, and the writer is told at its next flush.
    let rival = rival.await.unwrap();
    assert_eq!(rival.get(199u32.to_be_bytes()).await.unwrap().as_deref(), Some(&b"x"[..]));
    writer.put(b"late", b"x").await.unwrap();
    assert!(writer.flush().await.is_err());
    assert_eq!(rival.get(b"late").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_was_shut_out_reads_stale_rows_and_is_told_at_its_flush() {
    let bucket = TestBucket::new();
    let old = open(&env(1), &bucket).await.unwrap();
    commit(&old, 1, 10).await;
    let new = open(&env(2), &bucket.view()).await.unwrap();
    assert!(new.writer_epoch() > old.writer_epoch());
    assert_eq!(next_offset(&new, 1).await, Some(10));
    commit(&new, 1, 20).await;
    // No error: whoever answers from reads proves its claim first.
    assert_eq!(next_offset(&old, 1).await, Some(10));
    old.write(tail(1, 11)).await.unwrap();
    assert_eq!(old.flush().await, Err(WriteError::Fenced));
    assert_eq!(old.write(tail(1, 12)).await, Err(WriteError::Fenced));
    assert_eq!(next_offset(&new, 1).await, Some(20));
    commit(&new, 1, 30).await;
    let third = open(&env(3), &bucket.view()).await.unwrap();
    assert_eq!(next_offset(&third, 1).await, Some(30));
}

/// Both read the same epoch, so one of them is told; without that they would shut each other out in turn.
#[tokio::test(start_paused = true)]
async fn of_two_rivals_one_gets_in() {
    for (lag_ms, is_new) in (0..12).flat_map(|lag_ms| [(lag_ms, true), (lag_ms, false)]) {
        let bucket = TestBucket::new();
        if !is_new {
            commit(&open(&env(1), &bucket).await.unwrap(), 1, 10).await;
        }
        let (left_view, right_view) = (bucket.view(), bucket.view());
        left_view.set(|faults| faults.latency = Duration::from_millis(10));
        right_view.set(|faults| faults.latency = Duration::from_millis(9));
        let right = async {
            tokio::time::sleep(Duration::from_millis(lag_ms)).await;
            open(&env(3), &right_view).await
        };
        let left_env = env(2);
        let (left, right) = tokio::join!(open(&left_env, &left_view), right);
        let (winner, loser) = match (left, right) {
            (Ok(winner), Err(loser)) | (Err(loser), Ok(winner)) => (winner, loser),
            both => panic!("lag {lag_ms} ms: {both:?}"),
        };
        assert_eq!(loser, OpenError::Fenced, "lag {lag_ms} ms, new: {is_new}");
        assert_eq!(next_offset(&winner, 1).await, (!is_new).then_some(10));
        winner.write(mark(2)).await.unwrap();
        assert_eq!(winner.flush().await, Ok(()));
    }
}

/// Whichever answer is lost on the way: the next attempt gets in, and nothing is taken for unreadable.
#[tokio::test(start_paused = true)]
async fn an_open_that_loses_an_answer_is_tried_again() {
    for is_new in [true, false] {
        for lost in ["/manifest/", "/wal/", "/compactions/"] {
            let bucket = TestBucket::new();
            bucket.set(|faults| faults.refuses_attributes = true);
            if !is_new {
                commit(&open(&env(1), &bucket).await.unwrap(), 1, 10).await;
            }
            bucket.set(|faults| faults.loses_answer = Some(lost));
            let first = open(&env(2), &bucket).await;
            assert!(matches!(first, Ok(_) | Err(OpenError::Fenced)), "{lost} of a new store ({is_new}): {first:?}");
            drop(first);
            let store = open(&env(3), &bucket).await.unwrap();
            assert_eq!(next_offset(&store, 1).await, (!is_new).then_some(10));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_store_is_no_obstacle() {
    let bucket = TestBucket::new();
    let mut previous = open(&env(1), &bucket).await.unwrap();
    for n in 1..20 {
        commit(&previous, 1, n).await;
        previous.write(tail(1, 1_000)).await.unwrap();
        previous.abandon();
        previous = open(&env(n.unsigned_abs() + 1), &bucket).await.unwrap();
        assert_eq!(next_offset(&previous, 1).await, Some(n), "what was not flushed is gone");
    }
    eventually("only the last one holds tasks", async || crate::world::tasks() < 12).await;
}
