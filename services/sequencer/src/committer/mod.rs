//! The committer: the one task that writes a shard's store.
//!
//! One half of it ([`takeoff`]) takes all work that waits, judges it in order, writes one batch of rows and begins its
//! flush: that is a *flight*. The other half ([`landing`]) waits for flights in their order, and for each publishes, pushes and
//! answers, in that order. On a folder there is one flight at a time. On an object store, where a flush takes as long
//! as a PUT, there are several, begun at least an interval apart: commits do not wait for the PUT of those before them,
//! and the number of PUTs stays bounded.
//!
//! When a write or a flush fails, nothing is rolled back: the outcome of that flight and of all behind it is unknown, and
//! the term ends.

mod landing;
mod takeoff;

use std::sync::Arc;

use eagre_env::Env;
use eagre_metadata::{MetadataStore, ReadError, WriteError};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    expiry::Growth,
    group::Work,
    health::Health,
    lease::authority::{Authority, Deposed},
    load::Loaded,
    published::Published,
    spill::Pending,
};
use landing::Landing;
use takeoff::Takeoff;

/// Why a committer has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitterEnd {
    /// It was told to stop; all work was finished.
    #[error("stopped")]
    Stopped,
    /// A rival holds a later claim.
    #[error("deposed")]
    Deposed,
    /// A bug ended it.
    #[error("the committer panicked")]
    Panicked,
    /// What was written last has an unknown outcome.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<Deposed> for CommitterEnd {
    fn from(_: Deposed) -> Self {
        Self::Deposed
    }
}

/// The only writer of a store.
pub struct Committer {
    /// Clock, randomness, fail points, planted bugs.
    pub env: Env,
    /// The bucket's.
    pub cluster_id: String,
    /// The rows.
    pub store: Arc<MetadataStore>,
    /// Over the claim.
    pub authority: Arc<Authority>,
    /// The durable view.
    pub published: Arc<Published>,
    /// The tentative view.
    pub state: Loaded,
    /// Told of every flush.
    pub health: Arc<Health>,
    /// Told of every inline run that is durable.
    pub pending: Arc<Pending>,
    /// Told of new producers.
    pub growth: Arc<Growth>,
}

impl Committer {
    /// Works until the claim is lost, whatever it waits for then, or the store fails, or `stop` says so: then it takes no
    /// new work and finishes what waits.
    pub async fn run(self, queue: mpsc::Receiver<Work>, stop: CancellationToken) -> CommitterEnd {
        let authority = self.authority.clone();
        let flights_max = self.store.flushes_parallel();
        let (begun, flights) = mpsc::channel(flights_max);
        let room = Arc::new(Semaphore::new(flights_max));
        let landing = Landing {
            env: self.env.clone(),
            authority: authority.clone(),
            published: self.published.clone(),
            pending: self.pending.clone(),
        };
        let takeoff = Takeoff::new(self, room, flights_max);
        let mut taking_off = std::pin::pin!(takeoff.run(queue, stop, begun));
        let mut landed = std::pin::pin!(landing.run(flights));
        tokio::select! {
            biased;
            end = &mut landed => end,
            () = authority.deposed() => CommitterEnd::Deposed,
            taken_off = &mut taking_off => match taken_off {
                Ok(()) => tokio::select! {
                    biased;
                    end = landed => end,
                    () = authority.deposed() => CommitterEnd::Deposed,
                },
                Err(end) => end,
            },
        }
    }
}
