//! Second tries beside slow first ones.

use std::time::Duration;

use object_store::{Error, GetOptions};
use tokio::time::Instant;

use super::*;
use crate::resilient::verdict::Verdict;

#[tokio::test(start_paused = true)]
async fn a_slow_put_is_overtaken() {
    let (scripted, store) = resilient();
    warm_up(&scripted, &store).await;
    scripted.then([Step::Hangs]);
    let began = Instant::now();
    put(&store, "y").await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    assert_eq!(scripted.take_sent(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_put_may_still_be_first() {
    let (scripted, store) = resilient();
    warm_up(&scripted, &store).await;
    scripted.then([Step::Ok(60), Step::Hangs]);
    let began = Instant::now();
    put(&store, "y").await.unwrap();
    assert_eq!((began.elapsed().as_millis(), scripted.take_sent()), (60, 2));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_hedged_before_the_usual_is_known() {
    let (scripted, store) = resilient();
    scripted.then([Step::Ok(900)]);
    put(&store, "y").await.unwrap();
    assert_eq!(scripted.take_sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_is_refused_changes_nothing() {
    let (scripted, store) = resilient();
    warm_up(&scripted, &store).await;
    for refusal in [Step::Denied(5), Step::Failed(5), Step::SlowDown(5)] {
        scripted.then([Step::Ok(300), refusal]);
        put(&store, "y").await.unwrap();
        assert_eq!(scripted.take_sent(), 2, "{refusal:?}");
        tokio::time::sleep(Duration::from_secs(5)).await;
        for _ in 0..40 {
            put(&store, "x").await.unwrap();
        }
        scripted.take_sent();
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_hedge_does_not_make_an_open_outcome_definite() {
    let (scripted, store) = resilient();
    warm_up(&scripted, &store).await;
    // The first may be done yet. Then the retries, which are refused as well.
    scripted.then([Step::HangsDone(9_000), Step::Denied(5), Step::Failed(5), Step::Failed(5), Step::Failed(5)]);
    let error = put(&store, "y").await.unwrap_err();
    assert!(matches!(Verdict::of(&error), Verdict::Failed | Verdict::TimedOut), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_tail_is_read_twice_and_an_absence_is_an_answer() {
    let (scripted, store) = resilient();
    put(&store, "x").await.unwrap();
    let (there, absent) = (data(), Path::from("lease/0/7"));
    let get = |key| store.get_opts(key, GetOptions::default());
    for _ in 0..40 {
        get(&there).await.unwrap();
    }
    scripted.take_sent();
    let began = Instant::now();
    scripted.then([Step::Hangs]);
    assert_eq!(get(&there).await.unwrap().bytes().await.unwrap().as_ref(), b"x");
    scripted.then([Step::Hangs]);
    assert!(matches!(get(&absent).await, Err(Error::NotFound { .. })));
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    assert_eq!(scripted.take_sent(), 4);
}

#[tokio::test(start_paused = true)]
async fn hedges_are_few() {
    let (scripted, store) = resilient();
    warm_up(&scripted, &store).await;
    // A tail of every fourth request: far more than the budget.
    for n in 0..1_000 {
        scripted.then([Step::Ok(if n % 4 == 0 { 400 } else { 20 })]);
        put(&store, "x").await.unwrap();
    }
    let sent = scripted.take_sent();
    assert!((1_001..=1_060).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn hedges_can_be_switched_off() {
    let scripted = Scripted::new();
    let settings = ResilienceSettings { has_hedges: false };
    let store = ResilientStore::new(&env(), std::sync::Arc::new(scripted.clone()), settings);
    warm_up(&scripted, &store).await;
    scripted.then([Step::Ok(900)]);
    put(&store, "y").await.unwrap();
    assert_eq!(scripted.take_sent(), 1);
}
