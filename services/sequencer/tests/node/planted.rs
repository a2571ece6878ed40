//! The known bugs are there when they are switched on: each breaks the promise that it is named after.

use std::{sync::Arc, time::Duration};

use eagre_env::PlantedBug;
use eagre_model::{TopicPartition, TopicRecord};
use eagre_sequencer::SequencerNode;
use eagre_sequencer_api::{BatchOutcome, CommitFailure, CommitRequest, RefusalReason, Sequencer};

use crate::{
    failures::fence,
    faults::Fault,
    world::{Gateway, World, appended, batch, duplicate, end_of, env, eventually, of, outcomes, reserve, sequenced},
};

struct Broken {
    world: Arc<World>,
    node: Arc<SequencerNode>,
    topic: TopicRecord,
    gateway: Gateway,
}

impl Broken {
    async fn by(bug: PlantedBug) -> Self {
        let world = World::new();
        let node = world.node_in(env("one").with_planted_bug(Some(bug)), "one").await;
        node.start().await.unwrap();
        let topic = node.create_topic("flights", Some(1)).await.unwrap();
        let gateway = Gateway::join(node.as_ref()).await;
        reserve(node.as_ref(), 7).await;
        Self { world, node, topic, gateway }
    }

    fn partition(&self) -> TopicPartition {
        of(&self.topic, 0)
    }

    /// Another node takes over while the flush of this request is applied but not answered.
    async fn taken_over_during(&mut self, request: CommitRequest) -> Arc<SequencerNode> {
        let before = self.world.store.count("PUT", "meta/0/wal");
        self.world.store.break_puts("meta/0/wal", Fault::HoldAnswer);
        self.gateway.stream.requests.send(request).await.unwrap();
        let store = &self.world.store;
        eventually("it is applied", async || store.count("PUT", "meta/0/wal") > before).await;
        self.world.cut_off("one");
        let successor = self.world.node("two").await;
        let starting = tokio::spawn({
            let successor = successor.clone();
            async move { successor.start().await }
        });
        eventually("it is deposed", async || !self.node.is_ready()).await;
        self.world.store.heal();
        starting.await.unwrap().unwrap();
        self.world.connect("one", self.node.clone());
        successor
    }

    async fn reopened(&mut self) {
        self.world.store.heal();
        eventually("a new term", async || self.node.is_ready()).await;
        self.gateway.reopen(self.node.as_ref()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn ack_before_flush() {
    let mut broken = Broken::by(PlantedBug::AckBeforeFlush).await;
    broken.world.store.break_puts("meta/0/wal", Fault::Hang);
    let partition = broken.partition();
    assert_eq!(broken.gateway.commit(partition, vec![batch(1)]).await, [appended(0)]);
    assert_eq!(end_of(broken.node.as_ref(), partition).await, Some(0));
}

#[tokio::test(start_paused = true)]
async fn watermark_before_flush() {
    let mut broken = Broken::by(PlantedBug::WatermarkBeforeFlush).await;
    broken.world.store.break_puts("meta/0/wal", Fault::Hang);
    let partition = broken.partition();
    let request = broken.gateway.request([(partition, vec![batch(1)])]);
    broken.gateway.stream.requests.send(request).await.unwrap();
    let node = broken.node.clone();
    eventually("it shows too early", async || end_of(node.as_ref(), partition).await == Some(1)).await;
    assert!(broken.gateway.stream.replies.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn duplicate_from_tentative() {
    let mut broken = Broken::by(PlantedBug::DuplicateFromTentative).await;
    broken.world.store.break_puts("meta/0/wal", Fault::Hang);
    let partition = broken.partition();
    let mut other = Gateway::join(broken.node.as_ref()).await;
    let request = broken.gateway.request([(partition, vec![sequenced(1, 7, 0, 0)])]);
    broken.gateway.stream.requests.send(request).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(other.commit(partition, vec![sequenced(1, 7, 0, 0)]).await, [duplicate(0)]);
    assert_eq!(end_of(broken.node.as_ref(), partition).await, Some(0));
}

#[tokio::test(start_paused = true)]
async fn fenced_is_failure() {
    let mut broken = Broken::by(PlantedBug::FencedIsFailure).await;
    let partition = broken.partition();
    let request = broken.gateway.request([(partition, vec![batch(1)])]);
    let successor = broken.taken_over_during(request).await;
    let refused = BatchOutcome::Refused(RefusalReason::OutOfOrderSequence { expected: 0 });
    assert_eq!(outcomes(broken.gateway.stream.replies.recv().await), [refused]);
    assert_eq!(end_of(successor.as_ref(), partition).await, Some(1), "and yet it is there");
}

#[tokio::test(start_paused = true)]
async fn offset_reused() {
    let mut broken = Broken::by(PlantedBug::OffsetReused).await;
    let partition = broken.partition();
    let request = broken.gateway.request([(partition, vec![batch(1)])]);
    let successor = broken.taken_over_during(request.clone()).await;
    assert_eq!(broken.gateway.stream.replies.recv().await, None);
    successor.stop().await;
    broken.reopened().await;
    assert_eq!(outcomes(broken.gateway.send(request).await), [appended(0)]);
    assert_eq!(broken.gateway.commit(partition, vec![batch(1)]).await, [appended(0)], "twice the same offset");
}

#[tokio::test(start_paused = true)]
async fn floor_before_record() {
    let mut broken = Broken::by(PlantedBug::FloorBeforeRecord).await;
    let partition = broken.partition();
    let request = broken.gateway.request([(partition, vec![batch(1)])]);
    assert_eq!(outcomes(broken.gateway.send(request.clone()).await), [appended(0)]);
    // Two new terms, with a commit under each epoch.
    for _ in 0..2 {
        let mut other = Gateway::join(broken.node.as_ref()).await;
        other.commit(partition, vec![batch(1)]).await;
        fence(&broken.world).await;
        let lost = other.request([(partition, vec![batch(1)])]);
        assert_eq!(other.send(lost).await, None);
        broken.reopened().await;
    }
    let result = broken.gateway.send(request).await.unwrap().result;
    assert!(matches!(result, Err(CommitFailure::EpochBelowFloor { .. })), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn producer_state_lost() {
    let mut broken = Broken::by(PlantedBug::ProducerStateLost).await;
    let partition = broken.partition();
    assert_eq!(broken.gateway.commit(partition, vec![sequenced(1, 7, 0, 0)]).await, [appended(0)]);
    broken.node.stop().await;
    let next = broken.world.node_in(env("two").with_planted_bug(Some(PlantedBug::ProducerStateLost)), "two").await;
    next.start().await.unwrap();
    let mut gateway = Gateway::join(next.as_ref()).await;
    assert_eq!(gateway.commit(partition, vec![sequenced(1, 7, 0, 0)]).await, [appended(1)], "once more");
}

#[tokio::test(start_paused = true)]
async fn authority_skipped() {
    let broken = Broken::by(PlantedBug::AuthoritySkipped).await;
    let partition = broken.partition();
    broken.world.cut_off("one");
    let second = broken.world.node("two").await;
    second.start().await.unwrap();
    let mut gateway = Gateway::join(second.as_ref()).await;
    assert_eq!(gateway.commit(partition, vec![batch(1)]).await, [appended(0)]);
    assert_eq!(end_of(broken.node.as_ref(), partition).await, Some(0), "of the past");
}
