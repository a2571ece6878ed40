//! The gateway: takes records in, gives records out, keeps nothing.
//!
//! Entry points: [`Gateway::start`], [`Gateway::routes`], [`Gateway::drain`]. Behind them [`produce`] and [`fetch`]; the
//! gRPC surface is in [`service`], and every error that leaves is a [`refusal`].

mod admission;
mod directory;
mod fetch;
mod limits;
mod metrics;
mod produce;
mod refusal;
mod service;
mod settings;

use std::{sync::Arc, time::Duration};

use eagre_env::Env;
use eagre_log::RunReader;
use eagre_model::TopicRecord;
use eagre_objects::{Bucket, Presence};
use eagre_sequencer_api::{Sequencer, SequencerError};
use eagre_trace::Seldom;
use eagre_transport::{Lease, Leases};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::service::Routes;

pub use admission::Admitted;
pub use produce::SteadyCuts;
use settings::LARGE_OBJECT_BYTES;
pub use settings::{GatewaySettings, InvalidSettings};

use admission::ByteBudget;
use directory::TopicDirectory;
use fetch::{MessageSizes, ahead::ReadAhead, bounds::Bounds, bytes::RunBytes, messages::MessageBudget, tails::Tails};
use limits::Streams;
use produce::{Pipeline, Uploader};
use refusal::{Refusal, check_topic_name};

/// A running gateway. It stops when it is dropped; [`Gateway::drain`] lets it end well.
pub struct Gateway {
    shared: Arc<Shared>,
    subscription: AbortOnDropHandle<()>,
}

/// What the services share.
pub(crate) struct Shared {
    env: Env,
    settings: Arc<GatewaySettings>,
    sequencer: Arc<dyn Sequencer>,
    directory: Arc<TopicDirectory>,
    pipeline: Pipeline,
    budget: ByteBudget,
    /// Of requests that carry no records.
    small_budget: ByteBudget,
    /// Of requests between nodes.
    internal_budget: ByteBudget,
    streams: Arc<Streams>,
    /// Partitions of all fetch streams.
    readers: Arc<Streams>,
    /// Rows of the index that these are about to read.
    index_rows: Arc<Leases>,
    /// To ask the sequencer for them.
    index_turns: Arc<Semaphore>,
    tails: Arc<Tails>,
    bounds: Arc<Bounds>,
    ahead: Arc<ReadAhead>,
    /// Of messages that were made and not taken.
    messages: MessageBudget,
    read_trouble: Seldom,
    presence: Presence,
    /// Set when the gateway goes away, or its pipeline has ended.
    draining: CancellationToken,
}

impl Gateway {
    /// Starts a gateway on the present runtime. It joins the sequencer by itself, as soon as there is one; until then
    /// requests wait.
    ///
    /// # Errors
    /// A setting that cannot be.
    pub fn start(
        env: Env,
        bucket: Bucket,
        reader: RunReader,
        sequencer: Arc<dyn Sequencer>,
        settings: GatewaySettings,
    ) -> Result<Self, InvalidSettings> {
        settings.validate()?;
        metrics::describe();
        let settings = Arc::new(settings);
        let directory = Arc::new(TopicDirectory::new(sequencer.clone(), settings.topics_cached_max));
        let tails = Arc::new(Tails::new(settings.recent_runs_max));
        let presence = bucket.presence().clone();
        let uploader = Uploader::new(env.clone(), bucket, reader.clone(), settings.clone());
        let draining = CancellationToken::new();
        let pipeline = Pipeline::start(uploader, sequencer.clone(), directory.clone(), draining.clone());
        let follow = tails.clone().follow(env.clone(), sequencer.clone(), directory.clone());
        let small_budget = ByteBudget::new(settings.small_requests_bytes_max, settings.small_decoded_bytes_max);
        let shared = Shared {
            internal_budget: small_budget.sharing_decoded(settings.internal_requests_bytes_max),
            budget: ByteBudget::new(settings.produce_bytes_max, settings.decoded_bytes_max),
            small_budget,
            streams: Streams::new("streams", settings.streams_max),
            readers: Streams::new("partitions of fetch streams", settings.partitions_read_max),
            index_turns: Arc::new(Semaphore::new(INDEX_TURNS_MAX)),
            index_rows: Leases::new(settings.index_rows_bytes_max, INDEX_ROWS_SHARE, INDEX_ROWS_LEAST_BYTES),
            bounds: Arc::new(Bounds::new(sequencer.clone(), tails.clone())),
            ahead: ReadAhead::new(RunBytes::new(reader, sequencer.clone()), settings.read_ahead_bytes_max),
            read_trouble: Seldom::new(),
            presence,
            messages: MessageBudget::new(settings.messages_bytes_max, settings.large_messages_bytes_max),
            draining,
            env,
            settings,
            sequencer,
            directory,
            pipeline,
            tails,
        };
        let subscription = AbortOnDropHandle::new(tokio::spawn(follow));
        Ok(Self { shared: Arc::new(shared), subscription })
    }

    /// The public gRPC services.
    pub fn routes(&self) -> Routes {
        service::routes(&self.shared)
    }

    /// A service that other nodes call, to be served beside the public ones: what its requests take is bounded as theirs is.
    pub fn admit_internal<S>(&self, service: S) -> Admitted<S> {
        service::internal(&self.shared, service)
    }

    /// The same for a service whose requests hold names and nothing else, such as health and reflection.
    pub fn admit_names<S>(&self, service: S) -> Admitted<S> {
        service::names(&self.shared, service)
    }

    /// Returns when the gateway has joined and sees the tails: when it can serve.
    pub async fn ready(&self) {
        let mut joined = self.shared.pipeline.joined();
        let mut subscribed = self.shared.tails.subscribed();
        // Both senders live as long as the gateway; when it is gone nothing will be ready any more.
        // What `wait_for` gives is a lock on the value: kept while the other one is waited for, it stops the sender.
        let joined = async { joined.wait_for(Option::is_some).await.map(drop) };
        let subscribed = async { subscribed.wait_for(|subscribed| *subscribed).await.map(drop) };
        if tokio::try_join!(joined, subscribed).is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether it can serve at this moment.
    pub fn is_ready(&self) -> bool {
        let joined = self.shared.pipeline.joined().borrow().is_some();
        let follows = *self.shared.tails.subscribed().borrow() && !self.subscription.is_finished();
        joined && follows && self.shared.check_open().is_ok()
    }

    /// Returns when the gateway takes nothing any more though nobody told it to: a bug ended it.
    pub async fn failed(&self) {
        self.shared.draining.cancelled().await;
    }

    /// Ends well: takes no new requests, ends every stream, and answers what it has taken. Returns whether all of it was
    /// answered within the given time; the rest is told that its outcome is unknown.
    pub async fn drain(&self, within: Duration) -> bool {
        self.shared.draining.cancel();
        self.shared.pipeline.drain(within).await
    }

    /// Brings the gauges up to date; to be called before metrics are read.
    pub fn update_metrics(&self) {
        let shared = &self.shared;
        let requests = &shared.budget;
        metrics::levels(
            requests.used_bytes(),
            shared.settings.produce_bytes_max,
            shared.streams.count(),
            shared.ahead.held_bytes(),
        );
    }
}

impl Shared {
    /// Refuses what comes in once the gateway is going away, or has lost its way into the log to a bug.
    fn check_open(&self) -> Result<(), Refusal> {
        if self.draining.is_cancelled() {
            return Err(Refusal::Unavailable(
                "this gateway is going away or has failed; connect to another one".into(),
            ));
        }
        Ok(())
    }

    /// The answer to a question, which changes nothing, if it comes in time.
    async fn answer<T>(&self, question: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        self.answer_within(self.settings.call_answer_max, question).await
    }

    /// The same for a question that may have to read much.
    async fn answer_within<T>(
        &self,
        max: Duration,
        question: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        timeout(max, question).await.unwrap_or_else(|_| Err(Refusal::Unavailable(self.late(max))))
    }

    /// The outcome of a change, if it is known in time.
    async fn outcome<T>(&self, change: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        let max = self.settings.call_answer_max;
        timeout(max, change).await.unwrap_or_else(|_| Err(Refusal::OutcomeUnknown(self.late(max))))
    }

    fn late(&self, max: Duration) -> String {
        match self.presence.absence() {
            Some(why) => format!("there was no answer within {max:?}, and the bucket does not serve: {why}"),
            None => format!("there was no answer within {max:?}"),
        }
    }

    /// A topic, and the place in it that a request means. What is remembered of the topic may be out of date, so that only
    /// what the sequencer says is a reason to refuse.
    async fn locate<T>(
        &self,
        name: &str,
        place: impl Fn(&TopicRecord) -> Result<T, Refusal>,
    ) -> Result<(Arc<TopicRecord>, T), Refusal> {
        if let Some(topic) = self.directory.known(name)
            && let Ok(found) = place(&topic)
        {
            return Ok((topic, found));
        }
        check_topic_name("topic", name)?;
        let lookup = async { self.directory.lookup(name).await.map_err(|error| Refusal::of_lookup(error, name)) };
        let topic = self.answer(lookup).await?;
        let found = place(&topic)?;
        Ok((topic, found))
    }

    /// Requests of one produce stream whose answers are not taken: the more streams, the fewer, because a client that takes
    /// no answers pins them.
    fn requests_per_stream(&self) -> usize {
        let share = self.settings.requests_max / self.streams.count().max(1);
        self.settings.requests_per_stream_max.min(share.max(REQUESTS_PER_STREAM_MIN))
    }

    /// Room for a fetch message, and how large it may be made.
    fn lease_message(&self) -> (Lease, MessageSizes) {
        let usual = self.settings.fetch_message_bytes;
        let lease = self.messages.lease(usual * DECOMPRESSED_FACTOR);
        let sizes = MessageSizes { bytes: usual.min(lease.bytes), decompressed_bytes: lease.bytes };
        (lease, sizes)
    }
}

/// Pages of the index that are read at a time.
const INDEX_TURNS_MAX: usize = 64;
/// A page of the index gets this part of what is free,
const INDEX_ROWS_SHARE: usize = 16;
/// and so much when nothing is left: a few rows.
const INDEX_ROWS_LEAST_BYTES: usize = 1 << 10;

/// As many as a producer may have unanswered in one partition.
const REQUESTS_PER_STREAM_MIN: usize = 16;

/// Messages of records out of compressed batches are so many times larger.
const DECOMPRESSED_FACTOR: usize = 8;

/// A sequencer that starts or changes hands is away for a moment; only more than that is worth a warning.
fn note_retry(pause: Duration, error: &SequencerError, what: &str) {
    if pause < WORTH_A_WARNING {
        tracing::debug!(%error, "{what}");
    } else {
        tracing::warn!(%error, "{what}");
    }
}

const WORTH_A_WARNING: Duration = Duration::from_millis(300);

/// Between half and all of `pause`.
fn jittered(env: &Env, pause: Duration) -> Duration {
    let half = u64::try_from(pause.as_micros() / 2).unwrap_or(u64::MAX);
    Duration::from_micros(half + env.random.below(half.max(1)))
}
