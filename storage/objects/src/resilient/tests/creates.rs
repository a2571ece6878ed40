//! A create that meets its own earlier try, or a rival.

use std::time::Duration;

use object_store::{Attribute, Attributes, Error, GetOptions, ObjectStoreExt as _};

use super::*;
use crate::resilient::verdict::Verdict;

const KEY: &str = "lease/0/1";

async fn found(scripted: &Scripted) -> Vec<u8> {
    scripted.inner.get(&Path::from(KEY)).await.unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test(start_paused = true)]
async fn its_own_lost_answer_is_told_by_content() {
    let (scripted, store) = resilient();
    scripted.then([Step::DoneButFailed(5)]);
    let created = create(&store, KEY, "mine").await.unwrap();
    let there = store.get_opts(&Path::from(KEY), GetOptions::default()).await.unwrap();
    assert_eq!(created.e_tag, there.meta.e_tag, "the tag of what is there");
    assert_eq!(found(&scripted).await, b"mine");
}

#[tokio::test(start_paused = true)]
async fn its_own_late_try_is_told_by_content() {
    let (scripted, store) = resilient();
    // The first try is given up after 4 s, is done after 3, and the second one meets it.
    scripted.then([Step::HangsDone(3_000)]);
    create(&store, KEY, "mine").await.unwrap();
    assert_eq!(scripted.take_sent(), 3, "two tries and a look");
}

#[tokio::test(start_paused = true)]
async fn its_own_first_try_is_told_from_the_hedge() {
    let (scripted, store) = resilient();
    warm_up(&scripted, &store).await;
    let key = "lease/1/1";
    scripted.then([Step::HangsDone(5)]);
    create(&store, key, "mine").await.unwrap();
    assert_eq!(scripted.take_sent(), 3, "the first try, its hedge and a look");
}

#[tokio::test(start_paused = true)]
async fn a_rival_is_a_rival() {
    let (scripted, store) = resilient();
    scripted.inner.put(&Path::from(KEY), payload("rival")).await.unwrap();
    scripted.then([Step::Failed(5)]);
    assert!(matches!(create(&store, KEY, "mine!").await, Err(Error::AlreadyExists { .. })));
    assert_eq!(scripted.take_sent(), 3);
    assert_eq!(found(&scripted).await, b"rival");
}

#[tokio::test(start_paused = true)]
async fn one_try_with_one_answer_is_not_doubted() {
    let (scripted, store) = resilient();
    scripted.inner.put(&Path::from(KEY), payload("same")).await.unwrap();
    assert!(matches!(create(&store, KEY, "same").await, Err(Error::AlreadyExists { .. })));
    assert_eq!(scripted.take_sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn equal_bytes_with_another_mark_are_a_rival() {
    let (scripted, store) = resilient();
    let marked = |mark: &'static str| {
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata("slatedbputid".into()), mark.into());
        PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() }
    };
    let key = Path::from("meta/0/wal/1.sst");
    scripted.inner.put_opts(&key, payload(""), marked("rival")).await.unwrap();
    scripted.then([Step::Failed(5)]);
    let met = store.put_opts(&key, payload(""), marked("mine")).await;
    assert!(matches!(met, Err(Error::AlreadyExists { .. })), "{met:?}");
    let other = Path::from("meta/0/wal/2.sst");
    scripted.then([Step::DoneButFailed(5)]);
    store.put_opts(&other, payload(""), marked("mine")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_a_look_the_outcome_is_open() {
    let (scripted, store) = resilient();
    scripted.then([Step::DoneButFailed(5), Step::Ok(5), Step::Denied(5)]);
    let error = create(&store, KEY, "mine").await.unwrap_err();
    assert_eq!(Verdict::of(&error), Verdict::Failed, "neither ours nor a rival's: {error}");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_nothing_there_is_sent_again() {
    let (scripted, store) = resilient();
    scripted.then([Step::Failed(5), Step::Conflict(5)]);
    create(&store, KEY, "mine").await.unwrap();
    assert_eq!(found(&scripted).await, b"mine");
    scripted.take_sent();
    scripted.then([Step::Conflict(5)]);
    let met = create(&store, "lease/0/2", "mine").await;
    assert!(matches!(met, Err(Error::AlreadyExists { .. })), "one try, one answer: {met:?}");
}

#[tokio::test(start_paused = true)]
async fn a_late_try_never_replaces_a_rival() {
    let (scripted, store) = resilient();
    warm_up(&scripted, &store).await;
    let key = "lease/1/1";
    scripted.then([Step::HangsDone(5_000), Step::Failed(1), Step::Failed(1), Step::Failed(1), Step::Failed(1)]);
    assert!(create(&store, key, "mine").await.is_err(), "nobody answered");
    scripted.inner.put_opts(&Path::from(key), payload("rival"), PutMode::Create.into()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let there = scripted.inner.get(&Path::from(key)).await.unwrap().bytes().await.unwrap();
    assert_eq!(there.as_ref(), b"rival");
}
