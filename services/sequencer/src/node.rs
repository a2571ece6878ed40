//! A node: the sequencer as gateways in the same process, the gRPC server and rivals see it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_env::Env;
use eagre_metadata::ReadError;
use eagre_model::{ProducerId, Run, TopicConfig, TopicPartition, TopicRecord, names::validate_topic_name};
use eagre_objects::Bucket;
use eagre_sequencer_api::{
    CommitStream, CreateTopicError, Joined, PartitionBounds, Peers, PingAnswer, Pinged, Sequencer, SequencerError,
    TailUpdates, TopicError,
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    group::Work,
    health::{FLUSH_MAX, Health},
    index,
    settings::SequencerSettings,
    supervisor::{StartError, Status, Supervisor},
    telemetry,
    term::Term,
    topics::placement,
};

/// A ping is answered within this time.
const PING_LIMIT: Duration = Duration::from_millis(800);
/// A node that has claimed is taken to be well for so long while it opens the store.
const START_HEALTHY: Duration = Duration::from_secs(10);
/// The most topics of one page.
const TOPICS_MAX: usize = 1_000;

/// Why a commit would not land now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// Another process holds the shard, or nobody does.
    #[error("the sequencer does not hold the shard")]
    NotHolding,
    /// It has claimed it and opens the store.
    #[error("the sequencer has claimed the shard and opens it")]
    Starting,
    /// A flush takes far too long.
    #[error(
        "the bucket does not take what the sequencer writes: a flush has been under way for more than {FLUSH_MAX:?}"
    )]
    FlushStuck,
    /// The bucket does not say that the claim stands, or that it does not.
    #[error("the bucket does not confirm that this process holds the shard: {0}")]
    Unproved(String),
}

/// A process that holds, or wants to hold, a shard.
pub struct SequencerNode {
    supervisor: Arc<Supervisor>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl SequencerNode {
    /// A node that holds nothing yet. It answers pings from now on; serve them before [`Self::start`], so that a rival
    /// finds it while it starts.
    pub fn new(env: Env, bucket: Bucket, peers: Arc<dyn Peers>, settings: SequencerSettings) -> Arc<Self> {
        telemetry::describe();
        let (status, health) = (watch::Sender::new(Status::Idle), Arc::new(Health::default()));
        let supervisor =
            Arc::new(Supervisor { env, bucket, peers, settings, status, health, abandoned: Mutex::default() });
        Arc::new(Self { supervisor, stop: CancellationToken::new(), task: Mutex::new(None) })
    }

    /// Claims the shard and serves it; returns when it does. From then on the node goes on by itself: it opens the store
    /// anew when a flush fails, and claims again when it was deposed.
    ///
    /// # Errors
    ///
    /// Nothing is held then, and the node may be started again; see [`StartError`].
    pub async fn start(&self) -> Result<(), StartError> {
        let (started, result) = oneshot::channel();
        {
            let mut task = self.task();
            assert!(task.is_none(), "a node is started once");
            *task = Some(tokio::spawn(self.supervisor.clone().run(self.stop.clone(), started)));
        }
        let result = result.await.unwrap_or(Err(StartError::Stopped));
        if result.is_err() {
            self.join_task().await;
        }
        result
    }

    /// Stops for good: refuses new work, finishes what waits, closes the store and says that the claim is over. Bounded.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.join_task().await;
    }

    fn task(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn join_task(&self) {
        let task = self.task().take();
        if let Some(task) = task {
            // A task that panicked has ended too.
            let _ = task.await;
        }
    }

    /// Whether a commit would land now, as far as is known without asking the bucket; that, [`Self::prove`] does.
    pub fn check(&self) -> Result<(), NotReady> {
        match &*self.supervisor.status.borrow() {
            Status::Idle => Err(NotReady::NotHolding),
            Status::Starting { .. } => Err(NotReady::Starting),
            Status::Holding { .. } if !self.supervisor.health.is_well(&self.supervisor.env) => {
                Err(NotReady::FlushStuck)
            }
            Status::Holding { .. } => Ok(()),
        }
    }

    /// Asks the bucket whether the claim stands, unless it has just said so: what a flush would have to wait for.
    pub async fn prove(&self) -> Result<(), NotReady> {
        let Ok(term) = self.term() else { return Err(NotReady::NotHolding) };
        term.authority.ensure().await.map_err(|error| NotReady::Unproved(error.to_string()))
    }

    /// Whether it serves the shard now, as far as it knows.
    pub fn is_ready(&self) -> bool {
        matches!(&*self.supervisor.status.borrow(), Status::Holding { .. })
    }

    fn term(&self) -> Result<Arc<Term>, SequencerError> {
        match &*self.supervisor.status.borrow() {
            Status::Holding { term, .. } => Ok(term.clone()),
            Status::Starting { .. } => Err(SequencerError::Unavailable("it is starting".into())),
            Status::Idle => Err(SequencerError::Unavailable("it does not hold the shard".into())),
        }
    }

    /// Hands work to the committer and waits for its answer; `None` when it ended without one.
    async fn ask<T>(&self, work: impl FnOnce(oneshot::Sender<T>) -> Work) -> Result<Option<T>, SequencerError> {
        let term = self.term()?;
        let (answer, answered) = oneshot::channel();
        if term.queue.send(work(answer)).await.is_err() {
            return Err(SequencerError::Unavailable("it has just stopped".into()));
        }
        Ok(answered.await.ok())
    }
}

fn unknown() -> SequencerError {
    SequencerError::OutcomeUnknown("the sequencer ended before it answered".into())
}

/// For work whose repetition harms nobody.
fn unanswered() -> SequencerError {
    SequencerError::Unavailable("it ended before it answered".into())
}

fn unreadable(error: ReadError) -> SequencerError {
    SequencerError::Unavailable(error.to_string())
}

/// Proves the claim. Called after the answer was looked up: it was true while the proof was under way.
async fn prove(term: &Term) -> Result<(), SequencerError> {
    term.authority.ensure().await.map_err(|error| SequencerError::Unavailable(error.to_string()))
}

#[async_trait]
impl Sequencer for SequencerNode {
    async fn join(&self) -> Result<Joined, SequencerError> {
        self.ask(|answer| Work::Join { answer }).await?.ok_or_else(unanswered)
    }

    async fn open_commits(&self, incarnation: u64) -> Result<CommitStream, SequencerError> {
        let streams = self.term()?.streams.clone();
        streams.open(incarnation).ok_or_else(|| SequencerError::Unavailable("too many commit streams".into()))
    }

    async fn subscribe(&self) -> Result<TailUpdates, SequencerError> {
        let term = self.term()?;
        let updates = term.published.subscribe();
        prove(&term).await?;
        Ok(updates)
    }

    async fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<PartitionBounds>>, SequencerError> {
        let term = self.term()?;
        let bounds = term.published.bounds(partitions);
        prove(&term).await?;
        Ok(bounds)
    }

    async fn read_index(
        &self,
        partition: TopicPartition,
        offset: i64,
        max_rows: usize,
    ) -> Result<Vec<Run>, SequencerError> {
        let term = self.term()?;
        let runs = match term.published.tail(partition) {
            Some(tail) => index::page(&term.store, partition, &tail, offset, max_rows).await.map_err(unreadable)?,
            None => Vec::new(),
        };
        prove(&term).await?;
        Ok(runs)
    }

    async fn read_inline(
        &self,
        partition: TopicPartition,
        last_offsets: &[i64],
    ) -> Result<Vec<Option<Bytes>>, SequencerError> {
        let term = self.term()?;
        let tail = term.published.tail(partition);
        let found = index::inline(&term.store, partition, tail.as_ref(), last_offsets).await.map_err(unreadable)?;
        prove(&term).await?;
        self.supervisor.env.fail_point("inline.read").await;
        Ok(found)
    }

    async fn find_by_time(&self, partition: TopicPartition, timestamp_ms: i64) -> Result<Option<Run>, SequencerError> {
        let term = self.term()?;
        let found = match term.published.tail(partition) {
            Some(tail) => index::find_by_time(&term.store, partition, &tail, timestamp_ms).await.map_err(unreadable)?,
            None => None,
        };
        prove(&term).await?;
        Ok(found)
    }

    async fn create_topic_with(
        &self,
        name: &str,
        partitions: Option<u32>,
        config: TopicConfig,
    ) -> Result<TopicRecord, CreateTopicError> {
        validate_topic_name(name).map_err(|error| CreateTopicError::InvalidName(error.to_string()))?;
        let placement = placement(partitions)?;
        let name = name.to_owned();
        let created = self.ask(|answer| Work::CreateTopic { name, placement, config, answer }).await?;
        created.unwrap_or_else(|| Err(unknown().into()))
    }

    async fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        let name = name.to_owned();
        self.ask(|answer| Work::DeleteTopic { name, answer }).await?.unwrap_or_else(|| Err(unknown().into()))
    }

    async fn topic(&self, name: &str) -> Result<TopicRecord, TopicError> {
        let term = self.term()?;
        let topic = term.published.topic(name);
        prove(&term).await?;
        topic.ok_or(TopicError::UnknownTopic)
    }

    async fn topics(&self, after: &str, max: usize) -> Result<Vec<TopicRecord>, SequencerError> {
        let term = self.term()?;
        let topics = term.published.topics(after, max.min(TOPICS_MAX));
        prove(&term).await?;
        Ok(topics)
    }

    async fn init_producer(&self) -> Result<ProducerId, SequencerError> {
        self.ask(|answer| Work::InitProducer { answer }).await?.ok_or_else(unanswered)
    }
}

#[async_trait]
impl Pinged for SequencerNode {
    async fn ping(&self) -> PingAnswer {
        let status = self.supervisor.status.borrow().clone();
        let env = &self.supervisor.env;
        let (claim, healthy) = match status {
            Status::Idle => return PingAnswer { claim: 0, nonce: 0, healthy: false },
            Status::Starting { claim, since } => (claim, env.clock.monotonic().saturating_sub(since) < START_HEALTHY),
            Status::Holding { claim, term } => {
                let proved = timeout(PING_LIMIT, term.authority.ensure()).await;
                (claim, proved == Ok(Ok(())) && self.supervisor.health.is_well(env))
            }
        };
        PingAnswer { claim: claim.number, nonce: claim.nonce, healthy }
    }
}
