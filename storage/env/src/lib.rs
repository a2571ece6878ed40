//! Everything that differs between a real process and a simulated one: time, randomness, the network, named crash
//! points. It is injected as one [`Env`]; `clippy.toml` bans the ambient ones everywhere else.
//!
//! Timers are tokio's own: its clock is paused and driven by the simulation.

mod clock;
mod failpoint;
mod host;
mod network;
mod planted;
mod random;
mod secret;

use std::sync::Arc;

pub use clock::{Clock, SystemClock};
pub use failpoint::FailPoints;
pub use host::{HostIdentity, raise_open_files_max};
pub use network::{Connection, Listener, Network, TcpNetwork};
pub use planted::PlantedBug;
pub use random::{Randomness, SeededRandomness, system_randomness};
pub use secret::{redacted, redacted_address};

/// A hash map whose iteration order is the same in every run.
#[expect(clippy::disallowed_types, reason = "the hasher is fixed")]
pub type HashMap<K, V> = std::collections::HashMap<K, V, FixedHasher>;
/// A hash set whose iteration order is the same in every run.
#[expect(clippy::disallowed_types, reason = "the hasher is fixed")]
pub type HashSet<K> = std::collections::HashSet<K, FixedHasher>;
/// SipHash with fixed keys. Keys that come from outside are bounded in number before they are hashed.
pub type FixedHasher = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

/// What a component may ask of the world around it. Cheap to clone.
#[derive(Clone)]
pub struct Env {
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// The only source of random numbers and ids.
    pub random: Arc<dyn Randomness>,
    /// Listening and connecting.
    pub network: Arc<dyn Network>,
    /// Which machine and process this is.
    pub host: HostIdentity,
    fail_points: Option<Arc<dyn FailPoints>>,
    planted: Option<PlantedBug>,
}

impl Env {
    /// The real machine.
    pub fn system() -> Self {
        Self::new(
            Arc::new(SystemClock),
            Arc::new(system_randomness()),
            Arc::new(TcpNetwork),
            HostIdentity::of_this_process(),
        )
    }

    /// An environment made of the given parts, without fail points or planted bugs.
    pub fn new(
        clock: Arc<dyn Clock>,
        random: Arc<dyn Randomness>,
        network: Arc<dyn Network>,
        host: HostIdentity,
    ) -> Self {
        Self { clock, random, network, host, fail_points: None, planted: None }
    }

    /// The same environment with a hook at every named crash point.
    pub fn with_fail_points(mut self, fail_points: Arc<dyn FailPoints>) -> Self {
        self.fail_points = Some(fail_points);
        self
    }

    /// The same environment with one known bug switched on. Without the feature `planted-bugs` it has no effect.
    pub fn with_planted_bug(mut self, bug: Option<PlantedBug>) -> Self {
        self.planted = bug;
        self
    }

    /// Passes a named crash point. In a real process it returns at once; in the simulation it may never return, and the
    /// host is crashed there.
    pub async fn fail_point(&self, name: &'static str) {
        if let Some(fail_points) = &self.fail_points {
            fail_points.pass(name).await;
        }
    }

    /// Whether a known bug is switched on. Always false unless built with the feature `planted-bugs`.
    pub fn has_planted(&self, bug: PlantedBug) -> bool {
        cfg!(feature = "planted-bugs") && self.planted == Some(bug)
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env").field("host", &self.host).field("planted", &self.planted).finish_non_exhaustive()
    }
}
