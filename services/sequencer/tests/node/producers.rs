//! Producer ids that were never given out, and producers that are forgotten.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use eagre_env::{Clock, Env, HostIdentity, SeededRandomness, TcpNetwork};
use eagre_metadata::{
    Changes, MetadataStore, StoreSettings,
    rows::{Meta, MetaName, MetaValue, Producer, ProducerKey, ROWS_FORMAT, TopicProducer},
};
use eagre_model::{ProducerId, ShardId, TopicPartition, TopicRecord};
use eagre_sequencer::{ExpirySettings, SequencerNode};
use eagre_sequencer_api::{BatchOutcome, CommitBatch, PartOf, RefusalReason, Sequencer};
use tokio::time::{Instant, sleep};

use crate::world::{
    Gateway, START_MS, World, appended, duplicate, end_of, eventually, of, refused, reserve, sequenced,
};

const UNISSUED: BatchOutcome = BatchOutcome::Refused(RefusalReason::UnissuedProducerId);
const UNKNOWN: BatchOutcome = BatchOutcome::Refused(RefusalReason::UnknownProducerId);
const MINUTE: Duration = Duration::from_secs(60);
const YEAR_MS: i64 = 365 * 24 * 3_600_000;

/// A wall clock that a test moves.
#[derive(Debug)]
struct Wall {
    began: Instant,
    skew_ms: Arc<AtomicI64>,
}

impl Clock for Wall {
    fn unix_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.began.elapsed().as_millis()).unwrap();
        START_MS + elapsed + self.skew_ms.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }
}

/// A service with one topic of three partitions, whose nodes follow each other.
struct Service {
    world: Arc<World>,
    began: Instant,
    skew_ms: Arc<AtomicI64>,
    expiry: ExpirySettings,
    terms: u64,
    node: Arc<SequencerNode>,
    topic: TopicRecord,
    gateway: Gateway,
}

impl Service {
    async fn new(expiry: ExpirySettings) -> Self {
        let (world, began, skew_ms) = (World::new(), Instant::now(), Arc::new(AtomicI64::new(0)));
        let node = start(&world, began, &skew_ms, expiry, 0).await;
        let topic = node.create_topic("flights", Some(3)).await.unwrap();
        let gateway = Gateway::join(node.as_ref()).await;
        Self { world, began, skew_ms, expiry, terms: 1, node, topic, gateway }
    }

    /// Producers are forgotten after so many minutes.
    async fn forgetting_after(minutes: u32) -> Self {
        Self::new(ExpirySettings { after: minutes * MINUTE, ..ExpirySettings::default() }).await
    }

    async fn restart(&mut self) {
        self.node.stop().await;
        self.begin().await;
    }

    async fn begin(&mut self) {
        self.node = start(&self.world, self.began, &self.skew_ms, self.expiry, self.terms).await;
        self.terms += 1;
        self.gateway = Gateway::join(self.node.as_ref()).await;
    }

    fn move_wall_clock(&self, ms: i64) {
        self.skew_ms.fetch_add(ms, Ordering::Relaxed);
    }

    fn partition(&self, partition: u32) -> TopicPartition {
        of(&self.topic, partition)
    }

    async fn id(&self) -> i64 {
        self.node.init_producer().await.unwrap().0
    }

    /// One record of a producer, numbered in the partition.
    async fn send(&mut self, partition: u32, id: i64, sequence: i32) -> BatchOutcome {
        let partition = self.partition(partition);
        self.gateway.commit(partition, vec![sequenced(1, id, 0, sequence)]).await[0]
    }

    /// The same, numbered in the topic.
    async fn send_numbered(&mut self, partition: u32, id: i64, sequence: i32) -> BatchOutcome {
        let part = Some(PartOf { number: 1, records: 1, partition_map_version: 1 });
        let partition = self.partition(partition);
        self.gateway.commit(partition, vec![CommitBatch { part, ..sequenced(1, id, 0, sequence) }]).await[0]
    }

    async fn end(&self, partition: u32) -> i64 {
        end_of(self.node.as_ref(), self.partition(partition)).await.unwrap()
    }

    /// The rows, between two nodes.
    async fn store(&self) -> MetadataStore {
        let env = env(self.began, &self.skew_ms, 99);
        let bucket = self.world.bucket().await;
        MetadataStore::open(&env, bucket.store(), ShardId::FIRST, StoreSettings::for_folder()).await.unwrap()
    }
}

fn env(began: Instant, skew_ms: &Arc<AtomicI64>, seed: u64) -> Env {
    let clock = Wall { began, skew_ms: skew_ms.clone() };
    let host = HostIdentity { machine: format!("machine-{seed}"), process: 1, started: 1 };
    Env::new(Arc::new(clock), Arc::new(SeededRandomness::new(seed)), Arc::new(TcpNetwork), host)
}

async fn start(
    world: &Arc<World>,
    began: Instant,
    skew_ms: &Arc<AtomicI64>,
    expiry: ExpirySettings,
    term: u64,
) -> Arc<SequencerNode> {
    let env = env(began, skew_ms, term);
    let node = world.node_as(env, &format!("node-{term}"), |settings| settings.expiry = expiry).await;
    node.start().await.unwrap();
    node
}

#[tokio::test(start_paused = true)]
async fn ids_are_good_from_when_they_are_given_out_across_restarts() {
    let mut service = Service::new(ExpirySettings::default()).await;
    let (used, unused) = (service.id().await, service.id().await);
    assert_eq!(service.send(0, used, 0).await, appended(0));
    for made_up in [0, unused + 1, unused + 100_000, i64::MAX] {
        assert_eq!(service.send(0, made_up, 0).await, UNISSUED);
        assert_eq!(service.send_numbered(0, made_up, 0).await, UNISSUED);
    }
    service.restart().await;
    assert_eq!(service.send(0, used, 1).await, appended(1));
    assert_eq!(service.send(0, unused, 0).await, appended(2), "given out before the restart");
    assert_eq!(service.send(0, unused + 100_000, 0).await, UNISSUED);
    let next = service.id().await;
    assert!(next > unused);
    assert_eq!(service.send(0, next + 1, 0).await, UNISSUED);
    assert_eq!(service.send(0, next, 0).await, appended(3));
    assert_eq!(service.end(0).await, 4);
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_is_quiet_for_too_long_is_forgotten_and_never_appended_twice() {
    let mut service = Service::forgetting_after(60).await;
    let (quiet, busy) = (service.id().await, service.id().await);
    for sequence in 0..2 {
        assert_eq!(service.send(0, quiet, sequence).await, appended(i64::from(sequence)));
    }
    assert_eq!(service.send_numbered(0, quiet, 0).await, appended(2));
    assert_eq!(service.send(1, busy, 0).await, appended(0));
    let later = service.id().await;

    let mut sequence = 0;
    eventually("it is forgotten", async || {
        sleep(10 * MINUTE).await;
        sequence += 1;
        assert_eq!(service.send(1, busy, sequence).await, appended(i64::from(sequence)), "it goes on all the time");
        // An answer that it is known is no append.
        service.send(0, quiet, 0).await == UNKNOWN && service.send_numbered(0, quiet, 0).await == UNKNOWN
    })
    .await;
    for _ in 0..2 {
        for sequence in [0, 1, 2] {
            assert_eq!(service.send(0, quiet, sequence).await, UNKNOWN, "{sequence}");
            assert_eq!(service.send_numbered(0, quiet, sequence).await, UNKNOWN, "{sequence}");
        }
        assert_eq!(service.send(2, quiet, 0).await, UNKNOWN, "nobody knows whether it wrote there");
        let next_epoch = vec![sequenced(1, quiet, 1, 0)];
        assert_eq!(service.gateway.commit(service.partition(0), next_epoch).await, [UNKNOWN]);
        assert_eq!((service.end(0).await, service.end(2).await), (3, 0));
        service.restart().await;
    }
    assert_eq!(service.send(2, busy, 0).await, appended(0), "a later id begins where it likes");
    assert_eq!(service.send(0, later, 0).await, appended(3));
}

/// A producer that goes on in one partition is forgotten in another one, and cannot begin a third.
#[tokio::test(start_paused = true)]
async fn each_partition_is_forgotten_by_itself() {
    let mut service = Service::forgetting_after(60).await;
    let producer = service.id().await;
    for partition in 0..2 {
        assert_eq!(service.send(partition, producer, 0).await, appended(0));
    }
    let mut sequence = 0;
    eventually("it is forgotten in the other one", async || {
        sleep(10 * MINUTE).await;
        sequence += 1;
        assert_eq!(service.send(0, producer, sequence).await, appended(i64::from(sequence)));
        service.send(1, producer, 0).await == UNKNOWN
    })
    .await;
    assert_eq!(service.send(2, producer, 0).await, UNKNOWN);
    assert_eq!(service.send(0, producer, 0).await, refused_or_known(sequence));
    let next = service.id().await;
    for (partition, offset) in [(1, 1), (2, 0)] {
        assert_eq!(service.send(partition, next, 0).await, appended(offset), "under a new id it goes on");
    }
}

/// The first batch of so many.
fn refused_or_known(last_sequence: i32) -> BatchOutcome {
    if last_sequence < 16 { duplicate(0) } else { refused(RefusalReason::SequenceTooOld) }
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_within_a_term_makes_nobody_old() {
    let mut service = Service::forgetting_after(60).await;
    let producer = service.id().await;
    assert_eq!(service.send(0, producer, 0).await, appended(0));
    for jump_ms in [YEAR_MS, -2 * YEAR_MS] {
        service.move_wall_clock(jump_ms);
        sleep(15 * MINUTE).await;
        assert_eq!(service.send(0, producer, 0).await, duplicate(0));
    }
    assert_eq!(service.send(0, producer, 1).await, appended(1));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_at_the_start_costs_answers_and_no_promise() {
    let mut service = Service::forgetting_after(60).await;
    let producer = service.id().await;
    assert_eq!(service.send(0, producer, 0).await, appended(0));
    // Far ahead: all are old. What is asked again is unknown, and not there twice.
    service.move_wall_clock(YEAR_MS);
    service.restart().await;
    eventually("it is forgotten", async || {
        sleep(MINUTE).await;
        service.send(0, producer, 0).await == UNKNOWN
    })
    .await;
    assert_eq!(service.end(0).await, 1);
    let next = service.id().await;
    assert_eq!(service.send(0, next, 0).await, appended(1));
    // Back again: what was written in the future counts from now on.
    service.move_wall_clock(-YEAR_MS);
    service.restart().await;
    sleep(15 * MINUTE).await;
    assert_eq!(service.send(0, next, 0).await, duplicate(1));
    eventually("it is forgotten in its time", async || {
        sleep(10 * MINUTE).await;
        service.send(0, next, 0).await == UNKNOWN
    })
    .await;
    assert_eq!(service.end(0).await, 2);
}

#[tokio::test(start_paused = true)]
async fn when_there_are_too_many_the_oldest_are_forgotten() {
    const MAX: usize = 8;
    let mut service = Service::new(ExpirySettings { rows_max: MAX as u64, ..ExpirySettings::default() }).await;
    let mut ids = Vec::new();
    for number in 0..20 {
        let id = service.id().await;
        let sent = if number % 2 == 0 { service.send(0, id, 0).await } else { service.send_numbered(0, id, 0).await };
        assert_eq!(sent, appended(number), "a new one always begins");
        ids.push(id);
        sleep(15 * MINUTE).await;
    }
    let again = async |service: &mut Service, number: usize| {
        let id = ids[number];
        if number.is_multiple_of(2) { service.send(0, id, 0).await } else { service.send_numbered(0, id, 0).await }
    };
    let oldest_left = ids.len() - MAX;
    eventually("the oldest are forgotten", async || again(&mut service, oldest_left - 1).await == UNKNOWN).await;
    for number in 0..ids.len() {
        let known = duplicate(i64::try_from(number).unwrap());
        let expected = if number < oldest_left { UNKNOWN } else { known };
        assert_eq!(again(&mut service, number).await, expected, "{number}");
    }
    assert_eq!(service.end(0).await, 20);
}

#[tokio::test(start_paused = true)]
async fn producers_of_a_deleted_topic_go_and_no_id_suffers() {
    let mut service = Service::forgetting_after(60).await;
    let producer = service.id().await;
    assert_eq!(service.send(0, producer, 0).await, appended(0));
    assert_eq!(service.send_numbered(0, producer, 0).await, appended(1));
    service.node.delete_topic("flights").await.unwrap();
    sleep(20 * MINUTE).await;
    service.node.stop().await;
    let store = service.store().await;
    assert_eq!(store.scan::<Producer>(.., 10).await, Ok(vec![]));
    assert_eq!(store.scan::<TopicProducer>(.., 10).await, Ok(vec![]));
    assert_eq!(store.get::<Meta>(&MetaName::ProducersForgottenBelow).await, Ok(None));
    store.close(MINUTE).await.unwrap();
    service.begin().await;
    service.topic = service.node.create_topic("flights", Some(3)).await.unwrap();
    assert_eq!(service.send(0, producer, 0).await, appended(0));
}

#[tokio::test(start_paused = true)]
async fn rows_of_format_2_are_read_and_get_their_time() {
    let mut service = Service::forgetting_after(60).await;
    let producer = service.id().await;
    assert_eq!(service.send(0, producer, 0).await, appended(0));
    service.node.stop().await;

    let key = ProducerKey { partition: service.partition(0), producer: ProducerId(producer) };
    let store = service.store().await;
    let row = store.get::<Producer>(&key).await.unwrap().unwrap();
    let mut changes = Changes::new();
    // Ids that clients have made up are kept away from: but for one that is never reached.
    for made_up in [5_000, i64::MAX] {
        let key = ProducerKey { producer: ProducerId(made_up), ..key };
        changes.put::<Producer>(&key, &Producer { last_append_ms: None, ..row.clone() });
    }
    changes.put::<Producer>(&key, &Producer { last_append_ms: None, ..row });
    changes.put::<Meta>(&MetaName::Format, &MetaValue::Number(2));
    store.write(changes).await.unwrap();
    store.flush().await.unwrap();
    store.close(MINUTE).await.unwrap();

    service.begin().await;
    assert_eq!(service.send(0, producer, 0).await, duplicate(0));
    sleep(20 * MINUTE).await;
    service.node.stop().await;
    service.begin().await;
    assert_eq!(service.id().await, 5_001, "in a later term too");
    service.node.stop().await;
    let store = service.store().await;
    assert_eq!(store.get::<Meta>(&MetaName::Format).await, Ok(Some(MetaValue::Number(ROWS_FORMAT))));
    let dated = store.get::<Producer>(&key).await.unwrap().unwrap();
    assert!(dated.last_append_ms.is_some_and(|at| at > START_MS), "{dated:?}");
    store.close(MINUTE).await.unwrap();
    service.begin().await;
    assert_eq!(service.send(0, producer, 0).await, duplicate(0));
    eventually("it is forgotten in its time", async || {
        sleep(10 * MINUTE).await;
        service.send(0, producer, 0).await == UNKNOWN
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn ids_are_reserved_as_the_other_tests_rely_on() {
    let mut service = Service::new(ExpirySettings::default()).await;
    reserve(service.node.as_ref(), 7).await;
    assert_eq!(service.send(0, 7, 0).await, appended(0));
    assert_eq!(service.send(0, 8, 0).await, UNISSUED);
}
