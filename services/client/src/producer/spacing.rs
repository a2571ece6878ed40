//! The distance of a partition's batches. So many may be unanswered; sent as fast as they fill, they would be used up at once, and
//! what comes then would wait for an answer, behind a bucket with a network a long time. Spread over the time that an answer
//! takes, no record waits for more than a part of it.

use std::time::Duration;

use tokio::time::Instant;

/// How much one answer counts.
const SHARE: u32 = 8;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Spacing {
    last_sent: Option<Instant>,
    /// From a batch to its answer, on average.
    round_trip: Duration,
}

impl Spacing {
    /// The next batch is not to be sent before, unless somebody waits for it or it is full.
    pub fn next_at(&self, in_flight_max: usize) -> Option<Instant> {
        let parts = u32::try_from(in_flight_max.max(1)).unwrap_or(u32::MAX);
        self.last_sent.map(|at| at + self.round_trip / parts)
    }

    /// A batch is sent for the first time.
    pub fn sent(&mut self, now: Instant) {
        self.last_sent = Some(now);
    }

    /// A batch was appended so long after it was sent.
    pub fn answered(&mut self, took: Duration) {
        self.round_trip = match self.round_trip {
            Duration::ZERO => took,
            round_trip => round_trip - round_trip / SHARE + took / SHARE,
        };
    }
}
