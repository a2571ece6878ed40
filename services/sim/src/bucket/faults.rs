//! How often which fault strikes a bucket request, and how long a request takes.

use std::time::Duration;

use eagre_env::Randomness;

/// Rates in thousandths of all requests to which the fault applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Answered 503, not applied.
    pub refused: u64,
    /// A PUT is applied, its answer is lost: the caller sees a timeout.
    pub answer_lost: u64,
    /// The caller sees a timeout first, the PUT is applied up to seconds later.
    pub late: u64,
    /// A conditional PUT is applied, and answered with the 409 or 412 of its own retry.
    pub own_conflict: u64,
    /// A PUT of metadata is refused in a way that is not worth a retry: the flush fails.
    pub hard: u64,
    /// A read breaks off with an error.
    pub broken_read: u64,
    /// A read of record data ends early without an error.
    pub short_read: u64,
    /// A request takes up to seconds.
    pub slow: u64,
    /// Answered 500; of PUTs one half is applied all the same.
    pub failed: u64,
}

impl Faults {
    /// A bucket without faults.
    pub const NONE: Faults = Faults {
        refused: 0,
        answer_lost: 0,
        late: 0,
        own_conflict: 0,
        hard: 0,
        broken_read: 0,
        short_read: 0,
        slow: 0,
        failed: 0,
    };

    /// Arms each kind of fault with probability one half and an intensity of its own, so that seeds differ in kind
    /// and not in degree only.
    pub fn drawn(random: &dyn Randomness) -> Self {
        let rate = |up_to: u64| if random.below(2) == 0 { 0 } else { 1 + random.below(up_to) };
        Faults {
            refused: rate(120),
            answer_lost: rate(80),
            late: rate(60),
            own_conflict: rate(80),
            hard: rate(20),
            broken_read: rate(80),
            short_read: rate(60),
            slow: rate(60),
            failed: 0,
        }
    }

    /// The same with 500s in half of all cases: an object store has them, a folder has not.
    pub(crate) fn with_failures_drawn(self, random: &dyn Randomness) -> Self {
        Faults { failed: random.below(2) * random.below(60), ..self }
    }
}

/// How long requests take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latency {
    /// An object store: tens of milliseconds, seconds in the tail.
    Remote,
    /// A disk: a millisecond, now and then some tens.
    Disk,
}

impl Latency {
    /// A read's or a write's time.
    pub(super) fn draw(self, random: &dyn Randomness, slow_permille: u64) -> Duration {
        let slow = random.below(1_000) < slow_permille;
        let (typical_us, spread_us, slow_us) = match self {
            Self::Remote => (8_000, 30_000, 3_000_000),
            Self::Disk => (300, 1_500, 200_000),
        };
        // The product of two uniform draws leans to the short side and has a tail.
        let spread = random.below(spread_us) * random.below(1_000) / 1_000;
        Duration::from_micros(typical_us + spread + if slow { random.below(slow_us) } else { 0 })
    }

    /// How late a PUT may be applied whose caller has given up.
    pub(super) fn draw_lateness(self, random: &dyn Randomness) -> Duration {
        let up_to_ms = match self {
            Self::Remote => 6_000,
            Self::Disk => 50,
        };
        Duration::from_millis(1 + random.below(up_to_ms))
    }
}
