//! What is tried again, how often, and for how long.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use object_store::{Error, GetOptions, UpdateVersion};
use tokio::time::{Instant, sleep};

use super::*;
use crate::resilient::{engine::Outcome, verdict::Verdict};

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again() {
    let (scripted, store) = resilient();
    scripted.then([Step::Failed(5), Step::SlowDown(5), Step::DoneButFailed(5)]);
    put(&store, "x").await.unwrap();
    assert_eq!(scripted.take_sent(), 4);
    scripted.then([Step::Failed(5)]);
    let got = store.get_opts(&data(), GetOptions::default()).await.unwrap();
    assert_eq!(got.bytes().await.unwrap().as_ref(), b"x");
}

#[tokio::test(start_paused = true)]
async fn a_definite_answer_is_given_at_once() {
    let (scripted, store) = resilient();
    scripted.then([Step::Denied(5)]);
    assert!(matches!(put(&store, "x").await, Err(Error::PermissionDenied { .. })));
    assert!(matches!(store.get_opts(&data(), GetOptions::default()).await, Err(Error::NotFound { .. })));
    assert_eq!(scripted.take_sent(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_conditional_overwrite_is_sent_once() {
    let (scripted, store) = resilient();
    scripted.then([Step::DoneButFailed(5)]);
    let update = PutMode::Update(UpdateVersion { e_tag: Some("0".into()), version: None });
    assert!(store.put_opts(&data(), payload("x"), update.into()).await.is_err());
    assert_eq!(scripted.take_sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_given_up_in_time() {
    let (scripted, store) = resilient();
    scripted.otherwise(Step::Hangs);
    let began = Instant::now();
    let error = put(&store, "x").await.unwrap_err();
    assert_eq!(Verdict::of(&error), Verdict::TimedOut, "{error}");
    assert!(began.elapsed() <= Duration::from_secs(16), "{:?}", began.elapsed());
    assert!((2..=4).contains(&scripted.take_sent()));
}

#[tokio::test(start_paused = true)]
async fn failures_make_no_storm() {
    let (scripted, store) = resilient();
    let store = Arc::new(store);
    for bad in [Step::SlowDown(2), Step::Failed(2)] {
        scripted.otherwise(bad);
        let requests = stream::iter(0..500).map(|_| {
            let store = Arc::clone(&store);
            async move { put(store.as_ref(), "x").await.is_err() }
        });
        let failed = requests.buffer_unordered(100).filter(|failed| std::future::ready(*failed)).count().await;
        assert_eq!(failed, 500);
        assert!(scripted.take_sent() <= 520, "500 requests and what was saved");
    }
    scripted.otherwise(Step::Ok(20));
    put(store.as_ref(), "x").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_gone_for_a_minute_comes_back_by_itself() {
    let (scripted, store) = resilient();
    let store = Arc::new(store);
    warm_up(&scripted, store.as_ref()).await;
    scripted.otherwise(Step::Hangs);
    let back = Instant::now() + Duration::from_secs(60);
    // Whoever asks persists, at a pace of its own.
    let callers: Vec<_> = (0..6)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut asked = 0;
                while put(store.as_ref(), "x").await.is_err() {
                    asked += 1;
                    sleep(Duration::from_secs(1)).await;
                }
                (asked, Instant::now())
            })
        })
        .collect();
    sleep(Duration::from_secs(60)).await;
    let (sent_meanwhile, mut asked) = (scripted.take_sent(), 0);
    scripted.otherwise(Step::Ok(20));
    for caller in callers {
        let (times, done_at) = caller.await.unwrap();
        asked += times + 1;
        assert!(done_at < back + Duration::from_secs(15), "{:?}", done_at - back);
    }
    assert!(sent_meanwhile <= asked + 20, "{sent_meanwhile} requests for {asked} of the callers");
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_shrink_when_the_store_asks_for_it() {
    let (scripted, store) = resilient();
    let store = Arc::new(store);
    scripted.otherwise(Step::SlowDown(600));
    for _ in 0..20 {
        drop(put(store.as_ref(), "x").await);
    }
    scripted.otherwise(Step::Ok(1_000));
    scripted.take_sent();
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { put(store.as_ref(), "x").await.map(drop) })
        })
        .collect();
    sleep(Duration::from_millis(500)).await;
    assert_eq!(scripted.take_sent(), 2, "the floor");
    let began = Instant::now();
    create(store.as_ref(), "lease/0/1", "mine").await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(1), "a claim goes at once, whoever waits");
    callers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_body_holds_its_place_until_it_has_come() {
    let (scripted, store) = resilient();
    put(&store, "0123456789").await.unwrap();
    for _ in 0..200 {
        // More than may be under way, each dropped or read to its end.
        let got = store.get_opts(&data(), GetOptions::default()).await.unwrap();
        if scripted.take_sent() % 2 == 0 {
            drop(got);
        } else {
            assert_eq!(got.bytes().await.unwrap().len(), 10);
        }
    }
    let plan = crate::resilient::plan::Plan::of_get(&data(), None);
    let engine = crate::resilient::engine::Engine::new(env(), ResilienceSettings::default());
    let Outcome { result, tries, .. } = engine.run(&plan, || async { Ok(1) }).await;
    assert_eq!((result.unwrap(), tries), (1, 1));
}
