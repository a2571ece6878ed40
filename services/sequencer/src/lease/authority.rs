//! Authority: the right to start a flush and to answer a read.
//!
//! The holder of claim n has it for R after the *start* of its last GET of n + 1 that said 404, on its own clock. A rival
//! that has created n + 1 waits longer than that before it opens the store, so two nodes never have authority at once.
//! A busy holder renews at R / 2, in the background; an idle one asks nothing, and its next request pays one GET.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use eagre_env::{Env, PlantedBug};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::{info, warn};

use super::register::{Found, Register};

/// Authority over one claim. Shared by everything that flushes or answers.
#[derive(Debug)]
pub struct Authority {
    env: Env,
    register: Register,
    claim: u64,
    reach: Duration,
    state: Mutex<State>,
    deposed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    /// When the last GET that said 404 started, on the monotonic clock.
    proved_at: Option<Duration>,
    /// The GET under way; its waiters see it end.
    proving: Option<watch::Receiver<()>>,
}

/// A rival holds a later claim. Final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another process has claimed the shard")]
pub struct Deposed;

/// Why there is no authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAuthority {
    /// See [`Deposed`].
    #[error("another process has claimed the shard")]
    Deposed,
    /// The bucket did not say in time that the claim still stands.
    #[error("the claim could not be proved in time")]
    Unproved,
}

impl Authority {
    /// Over a claim that is held, `reach` (R) long after each proof.
    pub fn new(env: Env, register: Register, claim: u64, reach: Duration) -> Arc<Self> {
        Arc::new(Self { env, register, claim, reach, state: Mutex::default(), deposed: watch::Sender::new(false) })
    }

    /// Returns once there is authority, or it is known that there is none. Free while the last proof is fresh.
    pub async fn ensure(self: &Arc<Self>) -> Result<(), NoAuthority> {
        if self.env.has_planted(PlantedBug::AuthoritySkipped) {
            return Ok(());
        }
        // Twice R bounds the wait; the bucket may need several attempts within it.
        let deadline = Instant::now() + 2 * self.reach;
        loop {
            if self.is_deposed() {
                return Err(NoAuthority::Deposed);
            }
            let age = self.age();
            if age.is_some_and(|age| age < self.reach) {
                if age.is_some_and(|age| age >= self.reach / 2) {
                    self.prove();
                }
                return Ok(());
            }
            let mut proof = self.prove();
            // The sender goes when the GET has ended; that is the news.
            if timeout_at(deadline, proof.changed()).await.is_err() {
                return Err(NoAuthority::Unproved);
            }
            if !self.is_deposed() && self.age().is_none_or(|age| age >= self.reach) {
                // The GET failed: not at once again.
                sleep(self.reach / 10).await;
                if Instant::now() >= deadline {
                    return Err(NoAuthority::Unproved);
                }
            }
        }
    }

    /// As [`Self::ensure`], but waits as long as the bucket does not answer.
    pub async fn await_it(self: &Arc<Self>) -> Result<(), Deposed> {
        loop {
            match self.ensure().await {
                Ok(()) => return Ok(()),
                Err(NoAuthority::Deposed) => return Err(Deposed),
                Err(NoAuthority::Unproved) => {}
            }
        }
    }

    /// Starts a GET when the next [`Self::ensure`] would have to wait for one.
    pub fn warm(self: &Arc<Self>) {
        let is_skipped = self.env.has_planted(PlantedBug::AuthoritySkipped);
        if !is_skipped && !self.is_deposed() && self.age().is_none_or(|age| age >= self.reach / 2) {
            self.prove();
        }
    }

    /// Waits for something that may take long, as long as nobody else claims the shard.
    pub async fn unless_deposed<T>(self: &Arc<Self>, work: impl Future<Output = T>) -> Result<T, Deposed> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = self.deposed() => return Err(Deposed),
                () = sleep(self.reach) => self.warm(),
            }
        }
    }

    /// How long ago the last proof started.
    pub fn age(&self) -> Option<Duration> {
        let proved_at = self.state().proved_at?;
        Some(self.env.clock.monotonic().saturating_sub(proved_at))
    }

    /// Whether a rival is known to hold a later claim.
    pub fn is_deposed(&self) -> bool {
        *self.deposed.borrow()
    }

    /// Returns when a rival is known to hold a later claim.
    pub async fn deposed(&self) {
        let mut deposed = self.deposed.subscribe();
        // The sender lives as long as `self`.
        let _ = deposed.wait_for(|deposed| *deposed).await;
    }

    /// The GET under way, or a new one in a task of its own: a caller that goes away does not end it.
    fn prove(self: &Arc<Self>) -> watch::Receiver<()> {
        let mut state = self.state();
        if let Some(proving) = &state.proving {
            return proving.clone();
        }
        let (ended, proving) = watch::channel(());
        state.proving = Some(proving.clone());
        drop(state);
        let this = self.clone();
        tokio::spawn(async move {
            this.prove_once().await;
            this.state().proving = None;
            drop(ended);
        });
        proving
    }

    async fn prove_once(&self) {
        let started = self.env.clock.monotonic();
        // What it says later than that is of no use.
        let Ok(read) = timeout(self.reach, self.register.read(self.claim + 1)).await else {
            warn!(claim = self.claim, "the claim could not be proved in time");
            return;
        };
        match read {
            Ok(Found::Absent) => self.state().proved_at = Some(started),
            Ok(Found::Present(rival)) => {
                let holder = rival.map_or_else(|error| error.to_string(), |rival| rival.address);
                info!(claim = self.claim, %holder, "deposed: the shard was claimed by another process");
                self.deposed.send_replace(true);
            }
            Err(error) => warn!(claim = self.claim, %error, "the claim could not be proved"),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
