//! Wall and monotonic time.

use std::time::Duration;

/// Time as one process sees it.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds since the Unix epoch. May jump; used for timestamps only, never to decide safety.
    fn unix_ms(&self) -> i64;

    /// Time since an arbitrary start, never going back, time spent suspended included. Leases are measured by it.
    fn monotonic(&self) -> Duration;
}

/// The clocks of the operating system: `CLOCK_REALTIME` and `CLOCK_BOOTTIME`.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_ms(&self) -> i64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
    }

    fn monotonic(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward() {
        let clock = SystemClock;
        let (wall, mono) = (clock.unix_ms(), clock.monotonic());
        assert!(wall > 1_700_000_000_000, "{wall}");
        assert!(clock.monotonic() >= mono);
    }
}
