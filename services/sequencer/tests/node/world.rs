//! Nodes over one bucket in memory, on tokio's clock, and what their tests ask of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_env::{Clock, Env, HostIdentity, SeededRandomness, TcpNetwork};
use eagre_metadata::StoreSettings;
use eagre_model::{
    ObjectId, ProducerEpoch, ProducerId, ShardId, TopicPartition, TopicRecord,
    batch::{Compression, crc32c},
    records::{BatchBuilder, ProducerFields},
};
use eagre_objects::{Bucket, BucketKind};
use eagre_sequencer::{SequencerNode, SequencerSettings, SpillSettings};
use eagre_sequencer_api::{
    BatchOutcome, CommitBatch, CommitReply, CommitRequest, CommitRun, CommitStream, Joined, Peers, PingAnswer, Pinged,
    ProducerSequence, RefusalReason, Sequencer,
};
use tokio::time::Instant;

use crate::faults::FaultyStore;

/// R in all tests.
pub const REACH: Duration = Duration::from_secs(1);
pub const START_MS: i64 = 1_790_000_000_000;

#[derive(Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn unix_ms(&self) -> i64 {
        START_MS + i64::try_from(self.0.elapsed().as_millis()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A bucket and the nodes over it, by address.
pub struct World {
    pub store: FaultyStore,
    nodes: Mutex<BTreeMap<String, Arc<SequencerNode>>>,
}

impl World {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { store: FaultyStore::new(), nodes: Mutex::default() })
    }

    /// A node on a machine of its own that nobody knows anything of.
    pub async fn node(self: &Arc<Self>, address: &str) -> Arc<SequencerNode> {
        self.node_in(env(address), address).await
    }

    /// A node in a given environment. Pings reach it from now on.
    pub async fn node_in(self: &Arc<Self>, env: Env, address: &str) -> Arc<SequencerNode> {
        self.node_with(env, address, SpillSettings::default()).await
    }

    /// The same, spilling as it is told.
    pub async fn node_with(self: &Arc<Self>, env: Env, address: &str, spill: SpillSettings) -> Arc<SequencerNode> {
        self.node_as(env, address, |settings| settings.spill = spill).await
    }

    /// The same, set as it is told.
    pub async fn node_as(
        self: &Arc<Self>,
        env: Env,
        address: &str,
        set: impl FnOnce(&mut SequencerSettings),
    ) -> Arc<SequencerNode> {
        let bucket = Bucket::from_store(&env, Arc::new(self.store.clone()), BucketKind::Memory).await.unwrap();
        let mut settings = SequencerSettings::new(address, StoreSettings::for_folder());
        set(&mut settings);
        let node = SequencerNode::new(env, bucket, self.clone(), settings);
        self.connect(address, node.clone());
        node
    }

    /// Pings do not reach the node any more.
    pub fn cut_off(&self, address: &str) {
        self.nodes.lock().unwrap().remove(address);
    }

    /// They do again.
    pub fn connect(&self, address: &str, node: Arc<SequencerNode>) {
        self.nodes.lock().unwrap().insert(address.into(), node);
    }

    /// The bucket without a node.
    pub async fn bucket(&self) -> Bucket {
        Bucket::from_store(&env("nobody"), Arc::new(self.store.clone()), BucketKind::Memory).await.unwrap()
    }

    /// How many claims were created, as their PUTs tell.
    pub fn claims(&self) -> usize {
        let puts = self.store.count("PUT", "lease/");
        puts - self.store.count("PUT", ".stepped-down")
    }
}

#[async_trait]
impl Peers for World {
    async fn ping(&self, address: &str, shard: ShardId) -> Option<PingAnswer> {
        assert_eq!(shard, ShardId::FIRST);
        let node = self.nodes.lock().unwrap().get(address).cloned();
        match node {
            Some(node) => Some(node.ping().await),
            None => None,
        }
    }
}

/// A machine of its own for every name.
pub fn env(machine: &str) -> Env {
    env_on(HostIdentity { machine: machine.into(), process: 1, started: 1 })
}

/// An environment in a given process.
pub fn env_on(host: HostIdentity) -> Env {
    let seed = host.machine.bytes().map(u64::from).sum();
    let clock = Arc::new(TokioClock(Instant::now()));
    Env::new(clock, Arc::new(SeededRandomness::new(seed)), Arc::new(TcpNetwork), host)
}

/// A gateway that commits objects that nobody uploads.
pub struct Gateway {
    pub joined: Joined,
    pub stream: CommitStream,
    next_number: u64,
}

impl Gateway {
    pub async fn join(sequencer: &dyn Sequencer) -> Self {
        Self::try_join(sequencer).await.expect("the sequencer takes gateways")
    }

    pub async fn try_join(sequencer: &dyn Sequencer) -> Option<Self> {
        let joined = sequencer.join().await.ok()?;
        let stream = sequencer.open_commits(joined.incarnation).await.ok()?;
        Some(Self { joined, stream, next_number: 0 })
    }

    /// Opens its stream anew, perhaps at another sequencer.
    pub async fn reopen(&mut self, sequencer: &dyn Sequencer) {
        self.stream = sequencer.open_commits(self.joined.incarnation).await.unwrap();
    }

    /// A new object whose runs lie one behind the other.
    pub fn request(&mut self, runs: impl IntoIterator<Item = (TopicPartition, Vec<CommitBatch>)>) -> CommitRequest {
        let (epoch, incarnation) = (self.joined.upload_epoch, self.joined.incarnation);
        let object = ObjectId { epoch, incarnation, number: self.next_number };
        self.next_number += 1;
        let mut object_length_bytes = 0;
        let runs = runs.into_iter().map(|(partition, batches)| {
            let position_bytes = object_length_bytes;
            object_length_bytes += batches.iter().map(|batch| u64::from(batch.length_bytes)).sum::<u64>();
            CommitRun { partition, position_bytes, batches }
        });
        let runs = runs.collect();
        CommitRequest { object, object_length_bytes, runs, inline: None, settled_below: 0, traceparent: None }
    }

    /// An object of one record batch for each value, all inside of the request.
    pub fn inline(&mut self, runs: impl IntoIterator<Item = (TopicPartition, Vec<String>)>) -> CommitRequest {
        let mut inline = Vec::new();
        let runs: Vec<_> = runs
            .into_iter()
            .map(|(partition, values)| {
                let batches = values.iter().map(|value| {
                    let bytes = record_batch(value);
                    inline.extend_from_slice(&bytes);
                    let length_bytes = u32::try_from(bytes.len()).unwrap();
                    CommitBatch { length_bytes, crc32c: crc32c(&bytes), ..batch(1) }
                });
                (partition, batches.collect())
            })
            .collect();
        CommitRequest { inline: Some(inline.into()), ..self.request(runs) }
    }

    /// Sends a request and takes its reply; `None` when the stream ended.
    pub async fn send(&mut self, request: CommitRequest) -> Option<CommitReply> {
        self.stream.requests.send(request).await.ok()?;
        self.stream.replies.recv().await
    }

    /// Commits one run that must be answered.
    pub async fn commit(&mut self, partition: TopicPartition, batches: Vec<CommitBatch>) -> Vec<BatchOutcome> {
        let request = self.request([(partition, batches)]);
        outcomes(self.send(request).await)
    }
}

pub fn of(topic: &TopicRecord, partition: u32) -> TopicPartition {
    TopicPartition { topic: topic.number, partition }
}

/// A record batch of one record.
pub fn record_batch(value: &str) -> Bytes {
    let mut builder = BatchBuilder::new(ProducerFields::NONE);
    builder.push_parts(None, Some(value.as_bytes()), std::iter::empty(), 1_000).unwrap();
    builder.finish(Compression::None).unwrap().bytes
}

/// A batch of so many records, each of 100 bytes.
pub fn batch(records: u32) -> CommitBatch {
    CommitBatch {
        length_bytes: records * 100,
        record_count: records,
        crc32c: records,
        max_timestamp_ms: 1_000,
        attributes: 0,
        producer: None,
        part: None,
    }
}

pub fn sequenced(records: u32, id: i64, epoch: i16, first_sequence: i32) -> CommitBatch {
    let producer = ProducerSequence { id: ProducerId(id), epoch: ProducerEpoch(epoch), first_sequence };
    CommitBatch { producer: Some(producer), ..batch(records) }
}

/// Asks for producer ids until this one is given, so that whoever writes under it may.
pub async fn reserve(sequencer: &dyn Sequencer, id: i64) {
    while sequencer.init_producer().await.unwrap().0 < id {}
}

pub fn refused(reason: RefusalReason) -> BatchOutcome {
    BatchOutcome::Refused(reason)
}

pub fn appended(base_offset: i64) -> BatchOutcome {
    BatchOutcome::Appended { base_offset }
}

pub fn duplicate(base_offset: i64) -> BatchOutcome {
    BatchOutcome::Duplicate { base_offset }
}

pub fn outcomes(reply: Option<CommitReply>) -> Vec<BatchOutcome> {
    reply.expect("the stream ended").result.unwrap().outcomes
}

/// The end of a log, when the sequencer says.
pub async fn end_of(sequencer: &dyn Sequencer, partition: TopicPartition) -> Option<i64> {
    sequencer.bounds(&[partition]).await.ok()?[0].map(|bounds| bounds.high_watermark)
}

/// Steps virtual time until the condition holds; a test that never gets there fails by this bound, not by luck.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..100_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}
