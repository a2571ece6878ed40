//! Writes and flushes that fail, hang, or lie.

use std::{sync::Arc, time::Duration};

use eagre_metadata::{MetadataStore, StoreSettings};
use eagre_model::{ShardId, TopicPartition};
use eagre_sequencer::SequencerNode;
use eagre_sequencer_api::{CommitRequest, CreateTopicError, Sequencer, SequencerError};

use crate::{
    faults::Fault,
    world::{Gateway, World, appended, batch, end_of, eventually, of, outcomes, reserve, sequenced},
};

#[tokio::test(start_paused = true)]
async fn after_a_failed_flush_the_outcome_is_unknown_and_a_repetition_settles_it() {
    let world = World::new();
    let node = world.node("one").await;
    node.start().await.unwrap();
    let topic = node.create_topic("flights", Some(1)).await.unwrap();
    let partition = of(&topic, 0);
    let mut gateway = Gateway::join(node.as_ref()).await;
    reserve(node.as_ref(), 7).await;
    assert_eq!(gateway.commit(partition, vec![sequenced(2, 7, 0, 0)]).await, [appended(0)]);

    let first = gateway.request([(partition, vec![sequenced(1, 7, 0, 2), batch(1)])]);
    fence(&world).await;
    assert_eq!(gateway.send(first.clone()).await, None, "the stream ends: unknown");
    eventually("a new term", async || node.is_ready()).await;
    assert_eq!(world.claims(), 1, "under the same claim");
    assert_eq!(end_of(node.as_ref(), partition).await, Some(2));
    settle(&node, gateway, partition, first).await;
    node.stop().await;
}

/// The flush is applied, but nobody hears of it before another node has taken over.
#[tokio::test(start_paused = true)]
async fn a_flush_that_outlives_its_holder_is_settled_by_the_next_one() {
    let world = World::new();
    let node = world.node("one").await;
    node.start().await.unwrap();
    let topic = node.create_topic("flights", Some(1)).await.unwrap();
    let partition = of(&topic, 0);
    let mut gateway = Gateway::join(node.as_ref()).await;
    reserve(node.as_ref(), 7).await;
    assert_eq!(gateway.commit(partition, vec![sequenced(2, 7, 0, 0)]).await, [appended(0)]);

    let before = world.store.count("PUT", "meta/0/wal");
    world.store.break_puts("meta/0/wal", Fault::HoldAnswer);
    let first = gateway.request([(partition, vec![sequenced(1, 7, 0, 2), batch(1)])]);
    gateway.stream.requests.send(first.clone()).await.unwrap();
    eventually("it is applied", async || world.store.count("PUT", "meta/0/wal") > before).await;
    world.cut_off("one");
    let next = world.node("two").await;
    let starting = tokio::spawn({
        let next = next.clone();
        async move { next.start().await }
    });
    assert_eq!(gateway.stream.replies.recv().await, None, "the stream ends: unknown");
    world.store.heal();
    starting.await.unwrap().unwrap();
    assert_eq!(end_of(next.as_ref(), partition).await, Some(4), "it was durable");
    settle(&next, gateway, partition, first).await;
    next.stop().await;
}

/// Opens the shard behind the holder's back: its next flush meets another writer.
pub async fn fence(world: &World) {
    let (env, bucket) = (crate::world::env("intruder"), world.bucket().await);
    let intruder =
        MetadataStore::open(&env, bucket.store(), ShardId::FIRST, StoreSettings::for_folder()).await.unwrap();
    intruder.close(Duration::from_secs(5)).await.unwrap();
}

/// Repeats a request whose outcome is unknown, in order, before anything new.
async fn settle(node: &Arc<SequencerNode>, mut gateway: Gateway, partition: TopicPartition, first: CommitRequest) {
    gateway.reopen(node.as_ref()).await;
    assert_eq!(outcomes(gateway.send(first).await), [appended(2), appended(3)]);
    assert_eq!(gateway.commit(partition, vec![sequenced(1, 7, 0, 3)]).await, [appended(4)]);
    let runs = node.read_index(partition, 0, 10).await.unwrap();
    let spans: Vec<_> = runs.iter().map(|run| (run.base_offset, run.last_offset)).collect();
    assert_eq!(spans, [(0, 1), (2, 3), (4, 4)]);
}

/// The log knows its own object again.
#[tokio::test(start_paused = true)]
async fn a_flush_whose_answer_is_lost_is_no_failure() {
    let world = World::new();
    let node = world.node("one").await;
    node.start().await.unwrap();
    let topic = node.create_topic("flights", Some(1)).await.unwrap();
    let mut gateway = Gateway::join(node.as_ref()).await;
    world.store.break_puts("meta/0/wal", Fault::LoseAnswer);
    for offset in 0..5 {
        assert_eq!(gateway.commit(of(&topic, 0), vec![batch(1)]).await, [appended(offset)]);
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_was_being_created_has_an_unknown_outcome() {
    for is_applied in [true, false] {
        let world = World::new();
        let node = world.node("one").await;
        node.start().await.unwrap();
        let fault = if is_applied { Fault::HoldAnswer } else { Fault::Hang };
        world.store.break_puts("meta/0/wal", fault);
        let creating = tokio::spawn({
            let node = node.clone();
            async move { node.create_topic("flights", Some(1)).await }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        node.stop().await;
        let created = creating.await.unwrap();
        assert!(matches!(created, Err(CreateTopicError::Sequencer(SequencerError::OutcomeUnknown(_)))), "{created:?}");
        world.store.heal();
        let next = world.node("two").await;
        next.start().await.unwrap();
        let again = next.create_topic("flights", Some(1)).await;
        assert_eq!(again.is_err(), is_applied, "{again:?}");
        next.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_hangs_is_waited_for_and_shows_nothing_early() {
    let world = World::new();
    let node = world.node("one").await;
    node.start().await.unwrap();
    let topic = node.create_topic("flights", Some(1)).await.unwrap();
    let partition = of(&topic, 0);
    let mut gateway = Gateway::join(node.as_ref()).await;
    assert_eq!(gateway.commit(partition, vec![batch(1)]).await, [appended(0)]);
    let mut updates = node.subscribe().await.unwrap();
    updates.recv().await.unwrap();

    world.store.break_puts("meta/0/wal", Fault::Hang);
    for _ in 0..10 {
        let request = gateway.request([(partition, vec![batch(1)])]);
        gateway.stream.requests.send(request).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(gateway.stream.replies.try_recv().is_err());
    assert!(updates.try_recv().is_err());
    assert_eq!(end_of(node.as_ref(), partition).await, Some(1), "reads go on, and show what is durable");
    assert_eq!(node.read_index(partition, 0, 100).await.unwrap().len(), 1);
    world.store.heal();
    for offset in 1..=10 {
        assert_eq!(outcomes(gateway.stream.replies.recv().await), [appended(offset)]);
    }
    assert_eq!(end_of(node.as_ref(), partition).await, Some(11));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_hanging_flush_is_bounded() {
    let world = World::new();
    let node = world.node("one").await;
    node.start().await.unwrap();
    let topic = node.create_topic("flights", Some(1)).await.unwrap();
    let mut gateway = Gateway::join(node.as_ref()).await;
    world.store.break_puts("meta/0/wal", Fault::Hang);
    let mut taken = 0;
    loop {
        let request = gateway.request([(of(&topic, 0), vec![batch(1)])]);
        let send = tokio::time::timeout(Duration::from_secs(5), gateway.stream.requests.send(request));
        if send.await.is_err() {
            break;
        }
        taken += 1;
        assert!(taken < 1_000, "requests pile up without end");
    }
    world.store.heal();
    for offset in 0..taken {
        assert_eq!(outcomes(gateway.stream.replies.recv().await), [appended(offset)]);
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_bounded_though_the_bucket_hangs() {
    let world = World::new();
    let node = world.node("one").await;
    node.start().await.unwrap();
    let topic = node.create_topic("flights", Some(1)).await.unwrap();
    let mut gateway = Gateway::join(node.as_ref()).await;
    world.store.break_puts("", Fault::Hang);
    let request = gateway.request([(of(&topic, 0), vec![batch(1)])]);
    gateway.stream.requests.send(request).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    tokio::time::timeout(Duration::from_secs(15), node.stop()).await.unwrap();
    assert_eq!(gateway.stream.replies.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_waits() {
    let world = World::new();
    let node = world.node("one").await;
    node.start().await.unwrap();
    let topic = node.create_topic("flights", Some(1)).await.unwrap();
    let mut gateway = Gateway::join(node.as_ref()).await;
    world.store.break_puts("meta/0/wal", Fault::Hang);
    let request = gateway.request([(of(&topic, 0), vec![batch(1)])]);
    gateway.stream.requests.send(request).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stopping = tokio::spawn({
        let node = node.clone();
        async move { node.stop().await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(node.join().await.is_err(), "new work is refused");
    world.store.heal();
    assert_eq!(outcomes(gateway.stream.replies.recv().await), [appended(0)]);
    stopping.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_is_cut_off() {
    let world = World::new();
    let node = world.node("one").await;
    node.start().await.unwrap();
    let topic = node.create_topic("flights", Some(1)).await.unwrap();
    let mut gateway = Gateway::join(node.as_ref()).await;
    let mut slow = node.subscribe().await.unwrap();
    for offset in 0..200 {
        assert_eq!(gateway.commit(of(&topic, 0), vec![batch(1)]).await, [appended(offset)]);
    }
    let mut received = 0;
    while let Some(update) = slow.recv().await {
        assert_eq!(update.number, received, "what it did get has no gap");
        received += 1;
    }
    assert!(received < 200, "{received}");
    let mut anew = node.subscribe().await.unwrap();
    assert_eq!(anew.recv().await.unwrap().tails[0].high_watermark, 200);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn concurrent_commits_share_flushes() {
    let world = World::new();
    let node = world.node("one").await;
    node.start().await.unwrap();
    let topic = node.create_topic("flights", Some(1)).await.unwrap();
    let mut gateway = Gateway::join(node.as_ref()).await;
    let before = world.store.count("PUT", "meta/0/wal");
    world.store.break_puts("meta/0/wal", Fault::Hang);
    for _ in 0..50 {
        let request = gateway.request([(of(&topic, 0), vec![batch(1)])]);
        gateway.stream.requests.send(request).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.store.heal();
    for offset in 0..50 {
        assert_eq!(outcomes(gateway.stream.replies.recv().await), [appended(offset)]);
    }
    assert_eq!(world.store.count("PUT", "meta/0/wal") - before, 2, "the first alone, the others together");
    node.stop().await;
}
