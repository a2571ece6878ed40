//! How many requests may be under way: more while all goes well, fewer when the store says so.

use std::time::Duration;

const START: u32 = 64;
const FLOOR: u32 = 2;
const CEILING: u32 = 256;
/// What is left of the limit after a sign of congestion.
const KEPT: f64 = 0.7;
/// Signs that come so soon after one that was heeded are about requests from before it.
const HEED_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Additive increase, multiplicative decrease.
#[derive(Debug)]
pub(crate) struct Limit {
    limit: f64,
    heeded_at: Option<Duration>,
}

impl Limit {
    pub(crate) fn new() -> Self {
        Self { limit: f64::from(START), heeded_at: None }
    }

    /// Requests that may be under way. At least 2.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between the floor and the ceiling")]
    pub(crate) fn now(&self) -> u32 {
        self.limit as u32
    }

    /// A request was answered while `in_flight` were under way, itself included.
    pub(crate) fn went_well(&mut self, in_flight: u32) {
        // A limit that is not reached says nothing.
        if f64::from(in_flight) * 2.0 >= self.limit {
            self.limit = (self.limit + 1.0 / self.limit).min(f64::from(CEILING));
        }
    }

    /// The store asked for fewer, or did not answer in time, while `in_flight` were under way. Whether the limit changed.
    pub(crate) fn congested(&mut self, now: Duration, in_flight: u32) -> bool {
        if self.heeded_at.is_some_and(|at| now.saturating_sub(at) < HEED_AGAIN_AFTER) {
            return false;
        }
        self.heeded_at = Some(now);
        // What was under way was too much, however far the limit was above it.
        self.limit = (self.limit.min(f64::from(in_flight)) * KEPT).max(f64::from(FLOOR));
        true
    }

    /// Whether the store was congested within the last moments: no time for requests that are not needed.
    pub(crate) fn is_tender(&self, now: Duration) -> bool {
        self.heeded_at.is_some_and(|at| now.saturating_sub(at) < 2 * HEED_AGAIN_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn congestion_lowers_it_once_in_a_while_to_the_floor() {
        let mut limit = Limit::new();
        assert!(limit.congested(ms(0), 40));
        assert_eq!(limit.now(), 28, "from what was under way");
        assert!(!limit.congested(ms(100), 28), "the same burst");
        for n in 1..20 {
            assert!(limit.congested(ms(600 * n), 64));
        }
        assert_eq!(limit.now(), FLOOR);
    }

    #[test]
    fn use_raises_it_again_and_idleness_does_not() {
        let mut limit = Limit::new();
        limit.congested(ms(0), 10);
        (0..1_000).for_each(|_| limit.went_well(1));
        assert_eq!(limit.now(), 7);
        (0..1_000).for_each(|_| limit.went_well(limit.now()));
        assert!((40..60).contains(&limit.now()), "{limit:?}");
        (0..100_000).for_each(|_| limit.went_well(limit.now()));
        assert_eq!(limit.now(), CEILING);
        assert!(limit.is_tender(ms(900)) && !limit.is_tender(ms(1_000)));
    }
}
