//! Virtual time: one for the whole world, and the clock that each host reads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use eagre_env::Clock;

/// 2026-01-01T00:00:00Z: when every simulation begins.
pub const EPOCH_MS: i64 = 1_767_225_600_000;

/// Time since the simulation began. Inside a host it moves with that host's timers, between two steps it is the end of
/// the last one.
#[derive(Debug, Default)]
pub struct VirtualTime {
    between_steps_ns: AtomicU64,
    stepping: AtomicU64,
}

impl VirtualTime {
    /// The present moment.
    pub fn now(&self) -> Duration {
        let settled = Duration::from_nanos(self.between_steps_ns.load(Ordering::Relaxed));
        // While a crashed host's tasks are dropped, no paused clock is in reach: asking tokio would give real time.
        if self.stepping.load(Ordering::Relaxed) == 0 {
            return settled;
        }
        turmoil::sim_elapsed().unwrap_or(settled)
    }

    /// Runs one step of the simulation.
    pub(crate) fn during_step<T>(&self, step: impl FnOnce() -> T) -> T {
        self.stepping.store(1, Ordering::Relaxed);
        let result = step();
        self.stepping.store(0, Ordering::Relaxed);
        result
    }

    /// States how far the simulation has come.
    pub(crate) fn settle(&self, elapsed: Duration) {
        self.between_steps_ns.store(nanos(elapsed), Ordering::Relaxed);
    }
}

/// Whole nanoseconds; a simulation lasts minutes, far below the 584 years that fit.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A host's clocks. The wall clock may be set wrong; the monotonic one goes on over restarts, as that of a machine does.
#[derive(Debug, Clone)]
pub struct SimClock {
    time: Arc<VirtualTime>,
    wall_skew_ms: Arc<AtomicI64>,
}

impl SimClock {
    /// A clock that is right.
    pub fn new(time: Arc<VirtualTime>) -> Self {
        Self { time, wall_skew_ms: Arc::default() }
    }

    /// Sets the wall clock off by so much.
    pub fn skew_wall_ms(&self, by_ms: i64) {
        self.wall_skew_ms.store(by_ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn unix_ms(&self) -> i64 {
        let since_start = i64::try_from(self.time.now().as_millis()).unwrap_or(i64::MAX);
        EPOCH_MS.saturating_add(since_start).saturating_add(self.wall_skew_ms.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.time.now()
    }
}
