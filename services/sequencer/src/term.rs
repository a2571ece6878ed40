//! A term: one opening of the store under a claim. It ends for good; the next one begins with what the bucket holds.

use std::{convert::Infallible, sync::Arc, time::Duration};

use eagre_env::{Env, HashMap};
use eagre_metadata::{MetadataStore, OpenError};
use eagre_model::TopicPartition;
use eagre_objects::Bucket;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{info, warn};

use crate::{
    clock::TermClock,
    committer::{Committer, CommitterEnd},
    expiry::Expirer,
    group::Work,
    health::Health,
    judge::TailState,
    lease::authority::{Authority, Deposed},
    load::{self, LoadError, Loaded},
    published::Published,
    settings::SequencerSettings,
    spill::{Pending, Spiller},
    streams::Streams,
    sweep::Sweeper,
    telemetry,
};

/// How many pieces of work wait for the committer.
const QUEUE_MAX: usize = 1_024;
/// While there are subscribers but no work, the claim is looked at so often: a holder that was deposed in its sleep
/// would leave them waiting for ever.
const WATCH_INTERVAL: Duration = Duration::from_secs(30);

/// What requests need of the present term.
pub struct Term {
    /// The durable view.
    pub published: Arc<Published>,
    /// The rows.
    pub store: Arc<MetadataStore>,
    /// Over the claim.
    pub authority: Arc<Authority>,
    /// To the committer.
    pub queue: mpsc::Sender<Work>,
    /// Commit streams.
    pub streams: Arc<Streams>,
    stop: CancellationToken,
    committer: Mutex<Option<JoinHandle<CommitterEnd>>>,
}

/// Why a term did not begin.
#[derive(Debug, thiserror::Error)]
pub enum TermError {
    /// See [`OpenError`].
    #[error(transparent)]
    Open(#[from] OpenError),
    /// See [`LoadError`].
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The claim is lost.
    #[error(transparent)]
    Deposed(#[from] Deposed),
}

impl TermError {
    /// Trying again does not help.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Open(OpenError::Unreadable(_)) => true,
            Self::Load(error) => match error {
                LoadError::OtherFormat(_) | LoadError::OtherBucket { .. } | LoadError::Inconsistent(_) => true,
                LoadError::Read(eagre_metadata::ReadError::Corrupt(_)) => true,
                LoadError::Read(_) | LoadError::Write(_) => false,
            },
            Self::Open(_) | Self::Deposed(_) => false,
        }
    }
}

impl Term {
    /// Opens the store and rebuilds the state. `abandoned`: see [`load::reuse_tails`].
    pub async fn begin(
        env: &Env,
        bucket: &Bucket,
        settings: &SequencerSettings,
        authority: &Arc<Authority>,
        health: &Arc<Health>,
        abandoned: Option<HashMap<TopicPartition, TailState>>,
    ) -> Result<Self, TermError> {
        let opened = open(env, bucket, settings, authority);
        let (store, mut state) = authority.unless_deposed(opened).await??;
        load::reuse_tails(&mut state.view, abandoned);
        info!(
            topics = state.topics.live.len(),
            partitions = state.view.tails.len(),
            upload_epoch = state.epochs.current.0,
            "term begun"
        );
        let store = Arc::new(store);
        let published = Arc::new(Published::new(state.view.tails.clone(), state.topics.live.clone()));
        let (queue, works) = mpsc::channel(QUEUE_MAX);
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let pending = Arc::new(Pending::new(settings.spill));
        let spiller = Spiller {
            env: env.clone(),
            bucket: bucket.clone(),
            store: store.clone(),
            published: published.clone(),
            heads: state.inline.heads().clone(),
            floor: state.epochs.floor,
            queue: queue.clone(),
            pending: pending.clone(),
        };
        let sweeper = Sweeper { store: store.clone(), queue: queue.clone(), epochs: state.epochs };
        let growth = Arc::new(settings.expiry.growth());
        let expirer = Expirer {
            env: env.clone(),
            clock: state.clock,
            store: store.clone(),
            published: published.clone(),
            queue: queue.clone(),
            growth: growth.clone(),
            settings: settings.expiry,
        };
        let committer = Committer {
            env: env.clone(),
            cluster_id: bucket.cluster_id().to_owned(),
            store: store.clone(),
            authority: authority.clone(),
            published: published.clone(),
            state,
            health: health.clone(),
            pending,
            growth,
        };
        let streams = Streams::new(queue.clone(), settings.memory.queued_bytes_max, ended.clone());
        let task = tokio::spawn(run(committer, (spiller, sweeper, expirer), works, stop.clone(), ended));
        telemetry::holds(true);
        let (authority, committer) = (authority.clone(), Mutex::new(Some(task)));
        Ok(Self { published, store, authority, queue, streams, stop, committer })
    }

    /// Waits for the committer to end by itself, and lets go of the store.
    pub async fn ended(&self) -> CommitterEnd {
        let mut task = self.committer.lock().await;
        let end = match task.as_mut() {
            Some(task) => task.await.unwrap_or(CommitterEnd::Panicked),
            None => CommitterEnd::Stopped,
        };
        *task = None;
        self.store.abandon();
        telemetry::holds(false);
        end
    }

    /// Finishes the work that waits, within `limit`, and closes the store within another.
    pub async fn stop(&self, limit: Duration) {
        self.stop.cancel();
        let task = self.committer.lock().await.take();
        if let Some(mut task) = task {
            match tokio::time::timeout(limit, &mut task).await {
                Ok(Ok(CommitterEnd::Stopped)) => {
                    if let Err(error) = self.store.close(limit).await {
                        warn!(%error, "the metadata store did not close");
                    }
                }
                Ok(end) => warn!(?end, "the committer ended while it was stopped"),
                Err(_) => {
                    warn!("the last commits did not end in time: their outcome is unknown");
                    task.abort();
                }
            }
        }
        self.store.abandon();
        telemetry::holds(false);
    }
}

async fn open(
    env: &Env,
    bucket: &Bucket,
    settings: &SequencerSettings,
    authority: &Arc<Authority>,
) -> Result<(MetadataStore, Loaded), TermError> {
    // A process that was asleep since its claim must not fence off its successor.
    authority.await_it().await?;
    let store = MetadataStore::open(env, bucket.store(), settings.shard, settings.store.clone()).await?;
    let (clock, cluster_id) = (TermClock::start(env), bucket.cluster_id());
    let (state, changes) =
        load::load(&store, cluster_id, clock, settings.memory.producers_max, settings.spill.held).await?;
    if !changes.is_empty() {
        authority.await_it().await?;
        store.write(changes).await.map_err(LoadError::from)?;
        store.flush().await.map_err(LoadError::from)?;
    }
    Ok((store, state))
}

/// The committer, and what must happen when it ends, however it ends.
async fn run(
    committer: Committer,
    (spiller, sweeper, expirer): (Spiller, Sweeper, Expirer),
    works: mpsc::Receiver<Work>,
    stop: CancellationToken,
    ended: CancellationToken,
) -> CommitterEnd {
    let published = committer.published.clone();
    let watch = watch(committer.published.clone(), committer.authority.clone());
    let _streams_end = ended.drop_guard();
    // A task of its own: laying out an object takes milliseconds.
    let _spilling = AbortOnDropHandle::new(tokio::spawn(spiller.run()));
    let _sweeping = AbortOnDropHandle::new(tokio::spawn(sweeper.run()));
    let _expiring = AbortOnDropHandle::new(tokio::spawn(expirer.run()));
    let end = tokio::select! {
        biased;
        end = committer.run(works, stop) => end,
        never = watch => match never {},
    };
    published.end_subscriptions();
    end
}

/// Looks at the claim now and then while somebody listens; the committer learns when it is lost.
async fn watch(published: Arc<Published>, authority: Arc<Authority>) -> Infallible {
    let mut changed = published.watch_subscribers();
    loop {
        while published.subscribers() == 0 {
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
        if authority.age().is_none_or(|age| age >= WATCH_INTERVAL / 2) {
            authority.warm();
        }
    }
}
