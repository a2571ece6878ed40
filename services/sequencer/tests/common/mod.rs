//! A node over a bucket in memory, and what its tests ask of it.

#![expect(clippy::allow_attributes, reason = "each test binary uses a part of this")]
#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use eagre_env::{Env, HostIdentity, SeededRandomness, SystemClock, TcpNetwork};
use eagre_metadata::StoreSettings;
use eagre_model::{ObjectId, ProducerEpoch, ProducerId, ShardId, TopicPartition, TopicRecord, UploadEpoch};
use eagre_objects::{Bucket, BucketUrl};
use eagre_sequencer::{SequencerNode, SequencerSettings};
use eagre_sequencer_api::{
    BatchOutcome, CommitBatch, CommitReply, CommitRequest, CommitRun, CommitStream, Peers, PingAnswer, Pinged,
    ProducerSequence,
};

/// Nodes that can be pinged, by address.
#[derive(Default)]
pub struct Town(std::sync::Mutex<BTreeMap<String, Arc<SequencerNode>>>);

impl Town {
    pub fn move_in(&self, address: &str, node: Arc<SequencerNode>) {
        self.0.lock().unwrap().insert(address.into(), node);
    }

    pub fn move_out(&self, address: &str) {
        self.0.lock().unwrap().remove(address);
    }
}

#[async_trait]
impl Peers for Town {
    async fn ping(&self, address: &str, shard: ShardId) -> Option<PingAnswer> {
        assert_eq!(shard, ShardId::FIRST);
        let node = self.0.lock().unwrap().get(address).cloned();
        match node {
            Some(node) => Some(node.ping().await),
            None => None,
        }
    }
}

/// A machine of its own for every name.
pub fn env(seed: u64, machine: &str) -> Env {
    let host = HostIdentity { machine: machine.into(), process: 1, started: 1 };
    Env::new(Arc::new(SystemClock), Arc::new(SeededRandomness::new(seed)), Arc::new(TcpNetwork), host)
}

pub async fn bucket(env: &Env) -> Bucket {
    Bucket::open(env, &BucketUrl::Memory).await.unwrap()
}

pub fn node(env: &Env, bucket: &Bucket, town: &Arc<Town>, address: &str) -> Arc<SequencerNode> {
    let settings = SequencerSettings::new(address, StoreSettings::for_folder());
    let node = SequencerNode::new(env.clone(), bucket.clone(), town.clone(), settings);
    town.move_in(address, node.clone());
    node
}

pub fn of(topic: &TopicRecord, partition: u32) -> TopicPartition {
    TopicPartition { topic: topic.number, partition }
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
    }
}

pub fn sequenced(records: u32, id: i64, epoch: i16, first_sequence: i32) -> CommitBatch {
    let producer = ProducerSequence { id: ProducerId(id), epoch: ProducerEpoch(epoch), first_sequence };
    CommitBatch { producer: Some(producer), ..batch(records) }
}

/// A request over an object whose runs lie one behind the other.
pub fn request(
    incarnation: u64,
    epoch: UploadEpoch,
    number: u64,
    runs: impl IntoIterator<Item = (TopicPartition, Vec<CommitBatch>)>,
) -> CommitRequest {
    let mut end = 0;
    let runs = runs.into_iter().map(|(partition, batches)| {
        let position_bytes = end;
        end += batches.iter().map(|batch| u64::from(batch.length_bytes)).sum::<u64>();
        CommitRun { partition, position_bytes, batches }
    });
    let runs = runs.collect();
    CommitRequest { object: ObjectId { epoch, incarnation, number }, object_length_bytes: end, runs }
}

/// Sends one request and takes its reply; `None` when the stream ended.
pub async fn commit(stream: &mut CommitStream, request: CommitRequest) -> Option<CommitReply> {
    stream.requests.send(request).await.ok()?;
    stream.replies.recv().await
}

pub fn outcomes(reply: Option<CommitReply>) -> Vec<BatchOutcome> {
    reply.unwrap().result.unwrap().outcomes
}
