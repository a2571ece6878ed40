//! The life of a node: claim, hold term after term, step down or be deposed, wait, claim again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use eagre_env::{Env, HashMap, PlantedBug};
use eagre_model::TopicPartition;
use eagre_objects::Bucket;
use eagre_sequencer_api::Peers;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    committer::CommitterEnd,
    health::Health,
    judge::TailState,
    lease::{
        authority::Authority,
        claim::Claim,
        register::Register,
        rival::{Rival, RivalError},
    },
    pause::Pause,
    settings::SequencerSettings,
    telemetry,
    term::{Term, TermError},
};

/// A term that lasted so long was a success: the pauses begin again.
const STABLE: Duration = Duration::from_secs(10);
const REOPEN_PAUSE: Duration = Duration::from_millis(50);
const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(5);
const CLAIM_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Why a node did not come to hold its shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Another living process holds it.
    #[error("another process is at work on this bucket, at {address}")]
    Held {
        /// Where it answers.
        address: String,
    },
    /// What is stored cannot be read by this program. Trying again does not help.
    #[error("{0}")]
    Unreadable(String),
    /// The bucket failed. Try again.
    #[error("{0}")]
    Bucket(String),
    /// The node was stopped first.
    #[error("stopped")]
    Stopped,
}

/// What a node is doing.
#[derive(Clone)]
pub enum Status {
    /// It holds nothing.
    Idle,
    /// It has a claim and opens the store.
    Starting {
        /// Its claim.
        claim: Arc<Claim>,
        /// Since when, on the monotonic clock.
        since: Duration,
    },
    /// It serves.
    Holding {
        /// Its claim.
        claim: Arc<Claim>,
        /// The term.
        term: Arc<Term>,
    },
}

/// What the life of a node needs.
pub struct Supervisor {
    /// Clock, randomness, host, fail points, planted bugs.
    pub env: Env,
    /// Where everything is.
    pub bucket: Bucket,
    /// Asks holders how they are.
    pub peers: Arc<dyn Peers>,
    /// As given.
    pub settings: SequencerSettings,
    /// Told of every change.
    pub status: watch::Sender<Status>,
    /// Of the store.
    pub health: Arc<Health>,
    /// For [`PlantedBug::OffsetReused`]: the tails that this process published last.
    pub abandoned: Mutex<Option<HashMap<TopicPartition, TailState>>>,
}

/// Why a claim is held no more.
enum HoldEnd {
    Stopped,
    Deposed,
    Final(TermError),
}

/// Tells whoever started the node how it went; once.
struct Started(Option<oneshot::Sender<Result<(), StartError>>>);

impl Started {
    fn tell(&mut self, result: Result<(), StartError>) {
        if let Some(started) = self.0.take() {
            drop(started.send(result));
        }
    }

    fn is_told(&self) -> bool {
        self.0.is_none()
    }
}

impl Supervisor {
    /// Runs until `stop`, or until the first start has failed.
    pub async fn run(self: Arc<Self>, stop: CancellationToken, started: oneshot::Sender<Result<(), StartError>>) {
        let mut started = Started(Some(started));
        let reach = self.settings.authority;
        let mut pause = Pause::new(self.env.clone(), reach, CLAIM_PAUSE_MAX.max(reach));
        let mut known = None;
        loop {
            let Some(claimed) = stop.run_until_cancelled(self.claim(&mut known)).await else { break };
            let failure = match claimed {
                Ok((claim, authority)) => {
                    let begun = self.env.clock.monotonic();
                    let end = self.hold(&claim, &authority, &stop, &mut started).await;
                    self.status.send_replace(Status::Idle);
                    if self.env.clock.monotonic().saturating_sub(begun) > STABLE {
                        pause.reset();
                    }
                    match end {
                        HoldEnd::Stopped => break,
                        HoldEnd::Deposed => StartError::Held { address: "an unknown address".into() },
                        HoldEnd::Final(error) => {
                            error!(%error, "the shard cannot be served");
                            StartError::Unreadable(error.to_string())
                        }
                    }
                }
                Err(failure) => failure,
            };
            if !started.is_told() {
                started.tell(Err(failure));
                return;
            }
            info!(reason = %failure, "not holding the shard");
            if stop.run_until_cancelled(pause.wait()).await.is_none() {
                break;
            }
        }
        started.tell(Err(StartError::Stopped));
    }

    /// Claims, and waits until no earlier holder can have authority.
    async fn claim(&self, known: &mut Option<u64>) -> Result<(Arc<Claim>, Arc<Authority>), StartError> {
        let rival = Rival {
            env: self.env.clone(),
            register: Register::new(self.bucket.clone(), self.settings.shard),
            peers: self.peers.clone(),
            address: self.settings.address.clone(),
            reach: self.settings.authority,
        };
        let claim = match rival.claim(*known).await {
            Ok(claim) => Arc::new(claim),
            Err(RivalError::Held { address, claim }) => {
                *known = Some(claim);
                return Err(StartError::Held { address });
            }
            Err(error @ RivalError::Newer(_)) => return Err(StartError::Unreadable(error.to_string())),
            Err(error @ RivalError::Register(_)) => return Err(StartError::Bucket(error.to_string())),
        };
        *known = Some(claim.number);
        telemetry::claimed(claim.number);
        let since = self.env.clock.monotonic();
        self.status.send_replace(Status::Starting { claim: claim.clone(), since });
        rival.await_predecessors(&claim).await;
        let authority = Authority::new(self.env.clone(), rival.register, claim.number, self.settings.authority);
        Ok((claim, authority))
    }

    /// Serves under a claim, term after term. Whatever ends it: nobody answers under this claim any more, and the
    /// marker says so to whoever waits.
    async fn hold(
        &self,
        claim: &Arc<Claim>,
        authority: &Arc<Authority>,
        stop: &CancellationToken,
        started: &mut Started,
    ) -> HoldEnd {
        let end = self.hold_terms(claim, authority, stop, started).await;
        self.status.send_replace(Status::Idle);
        let register = Register::new(self.bucket.clone(), self.settings.shard);
        match register.mark_stepped_down(claim.number).await {
            Ok(()) => info!(claim = claim.number, "stepped down"),
            Err(error) => warn!(%error, "could not say that the claim is over: the next holder will wait"),
        }
        end
    }

    async fn hold_terms(
        &self,
        claim: &Arc<Claim>,
        authority: &Arc<Authority>,
        stop: &CancellationToken,
        started: &mut Started,
    ) -> HoldEnd {
        let mut pause = Pause::new(self.env.clone(), REOPEN_PAUSE, REOPEN_PAUSE_MAX);
        loop {
            let begin = Term::begin(
                &self.env,
                &self.bucket,
                &self.settings,
                authority,
                &self.health,
                self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).take(),
            );
            let Some(begun) = stop.run_until_cancelled(begin).await else { return HoldEnd::Stopped };
            let term = match begun {
                Ok(term) => Arc::new(term),
                Err(TermError::Deposed(_)) => return HoldEnd::Deposed,
                Err(error) if error.is_final() => return HoldEnd::Final(error),
                Err(error) => {
                    warn!(%error, "the store did not open");
                    if stop.run_until_cancelled(pause.wait()).await.is_none() {
                        return HoldEnd::Stopped;
                    }
                    continue;
                }
            };
            let since = self.env.clock.monotonic();
            self.status.send_replace(Status::Holding { claim: claim.clone(), term: term.clone() });
            started.tell(Ok(()));
            let Some(end) = stop.run_until_cancelled(term.ended()).await else {
                self.status.send_replace(Status::Idle);
                term.stop(self.settings.stop_limit).await;
                return HoldEnd::Stopped;
            };
            let ended = self.env.clock.monotonic();
            self.status.send_replace(Status::Starting { claim: claim.clone(), since: ended });
            if self.env.has_planted(PlantedBug::OffsetReused) {
                let tails = Some(term.published.tails());
                *self.abandoned.lock().unwrap_or_else(PoisonError::into_inner) = tails;
            }
            if end == CommitterEnd::Deposed || authority.is_deposed() {
                return HoldEnd::Deposed;
            }
            warn!(reason = %end, "the term ended: what was not answered has an unknown outcome");
            if ended.saturating_sub(since) > STABLE {
                pause.reset();
            }
            if stop.run_until_cancelled(pause.wait()).await.is_none() {
                return HoldEnd::Stopped;
            }
        }
    }
}
