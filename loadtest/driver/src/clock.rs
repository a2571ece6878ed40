//! The clock of a run: monotonic, counted in nanoseconds since the Unix epoch so that records can carry it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Reads the wall clock once and goes on by the monotonic one, so a wall clock that jumps moves nothing.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    began: tokio::time::Instant,
    began_unix_ns: u64,
}

impl RunClock {
    /// A clock that says now what the wall clock says now.
    pub fn start() -> Self {
        Self { began: tokio::time::Instant::now(), began_unix_ns: wall_ns() }
    }

    /// Nanoseconds since the Unix epoch; never goes back.
    pub fn now_ns(&self) -> u64 {
        self.began_unix_ns + nanos(self.began.elapsed())
    }

    /// How far the wall clock is from this one by now: it was set, or stepped.
    pub fn jump(&self) -> Duration {
        Duration::from_nanos(wall_ns().abs_diff(self.now_ns()))
    }
}

/// Whole nanoseconds; what does not fit is the largest.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn wall_ns() -> u64 {
    let wall = clock_gettime(ClockId::Realtime);
    wall.tv_sec.unsigned_abs() * 1_000_000_000 + wall.tv_nsec.unsigned_abs()
}
