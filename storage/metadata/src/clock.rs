//! The clock that SlateDB gets.
//!
//! SlateDB refuses to write while its clock lies behind the last writer's. So the store's clock starts at the later of
//! the wall clock and the last time that the bucket shows, and goes on by the monotonic clock: a node whose wall clock
//! is slow takes over at once.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use eagre_env::Clock;
use slatedb_common::clock::{SystemClock, SystemClockTicker};
use tokio::sync::watch;

type Sleep<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Time for one opened store, and the pace of what SlateDB does in the background.
#[derive(Debug)]
pub(crate) struct StoreClock(Polls);

/// The same time, but its sleeps outlast idleness: everything that SlateDB polls for is a consequence of a flush, so
/// when the last flush is long ago its pollers wait for the next one instead of asking the bucket.
#[derive(Debug)]
struct Polls {
    clock: Arc<dyn Clock>,
    /// Reading of the monotonic clock at the start.
    started: Duration,
    /// Milliseconds since the epoch at the start.
    start_ms: i64,
    /// When the last flush ended, by the monotonic clock.
    last_flush: watch::Sender<Duration>,
}

/// Compaction and deletion that follow from a flush are done by then.
const SETTLED_AFTER: Duration = Duration::from_secs(5 * 60);

impl StoreClock {
    /// A clock that starts now, but never before `earliest_ms`.
    pub(crate) fn start(clock: Arc<dyn Clock>, earliest_ms: i64) -> Self {
        let started = clock.monotonic();
        let start_ms = clock.unix_ms().max(earliest_ms);
        let (last_flush, _) = watch::channel(started);
        Self(Polls { clock, started, start_ms, last_flush })
    }

    /// A flush has ended.
    pub(crate) fn flushed(&self) {
        self.0.last_flush.send_replace(self.0.clock.monotonic());
    }
}

impl Polls {
    fn utc(&self) -> DateTime<Utc> {
        let elapsed = self.clock.monotonic().saturating_sub(self.started);
        let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let now = TimeDelta::try_milliseconds(self.start_ms.saturating_add(elapsed_ms));
        now.and_then(|now| DateTime::UNIX_EPOCH.checked_add_signed(now)).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

impl SystemClock for StoreClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.utc()
    }

    fn sleep<'a>(&'a self, duration: Duration) -> Sleep<'a> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn ticker<'a>(&'a self, duration: Duration) -> SystemClockTicker<'a> {
        SystemClockTicker::new(&self.0, duration)
    }
}

impl SystemClock for Polls {
    fn now(&self) -> DateTime<Utc> {
        self.utc()
    }

    fn sleep<'a>(&'a self, duration: Duration) -> Sleep<'a> {
        Box::pin(async move {
            tokio::time::sleep(duration).await;
            let mut flushes = self.last_flush.subscribe();
            let last = *flushes.borrow_and_update();
            if !duration.is_zero() && self.clock.monotonic().saturating_sub(last) > SETTLED_AFTER {
                // The sender lives as long as `self` does.
                let _ = flushes.changed().await;
            }
        })
    }

    fn ticker<'a>(&'a self, duration: Duration) -> SystemClockTicker<'a> {
        SystemClockTicker::new(self, duration)
    }
}
