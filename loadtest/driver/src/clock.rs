//! The clock of a run: monotonic, counted in nanoseconds since the Unix epoch so that records can carry it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Reads the wall clock once and goes on by the monotonic one.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    began: tokio::time::Instant,
    began_unix_ns: u64,
}

impl RunClock {
    /// A clock that says now what the wall clock says now.
    pub fn start() -> Self {
        let wall = clock_gettime(ClockId::Realtime);
        let began_unix_ns = wall.tv_sec.unsigned_abs() * 1_000_000_000 + wall.tv_nsec.unsigned_abs();
        Self { began: tokio::time::Instant::now(), began_unix_ns }
    }

    /// Nanoseconds since the Unix epoch; never goes back.
    pub fn now_ns(&self) -> u64 {
        self.began_unix_ns + u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The moment to hand to a timer.
    pub fn instant(&self, unix_ns: u64) -> tokio::time::Instant {
        self.began + Duration::from_nanos(unix_ns.saturating_sub(self.began_unix_ns))
    }
}
