//! How long a try may take, how long a request, and how long to wait between two tries.

use std::time::Duration;

use eagre_env::Randomness;

use super::traffic::Traffic;

/// A request is sent at most so often one after the other, hedges not counted.
pub(crate) const ROUNDS_MAX: u32 = 4;

const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Even a quick bucket gets so long. With less left of its time a request is not sent.
pub(crate) const TRY_MIN: Duration = Duration::from_millis(1_000);
/// A try without a payload, while nothing has been measured, and at most.
const TRY_MAX: Duration = Duration::from_secs(4);
/// What a slow way to a bucket still carries.
const BYTES_PER_SECOND_MIN: u64 = 1 << 20;
/// A try is given up after so many times what one of twenty exceeds.
const TIMES_P95: u32 = 8;

/// No hedge is sent before this: it could not gain what it costs.
const HEDGE_AFTER_MIN: Duration = Duration::from_millis(10);

fn transfer(bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / BYTES_PER_SECOND_MIN)
}

/// How long one try may take. `p95`: what one of twenty requests of its kind exceeds.
pub(crate) fn try_max(p95: Option<Duration>, bytes: u64) -> Duration {
    let at_most = TRY_MAX + transfer(bytes);
    p95.map_or(at_most, |p95| (p95 * TIMES_P95).clamp(TRY_MIN, at_most))
}

/// How long a request may take with all its tries, and with waiting for its turn.
pub(crate) fn request_max(traffic: Traffic, bytes: u64) -> Duration {
    let base = match traffic {
        Traffic::Commit | Traffic::Tail => Duration::from_secs(10),
        Traffic::Data => Duration::from_secs(15),
        Traffic::Background => Duration::from_secs(30),
    };
    base + transfer(bytes)
}

/// The pause before the next round, `failed` of them having failed: anything up to twice as long each time ("full jitter").
pub(crate) fn pause(random: &dyn Randomness, failed: u32) -> Duration {
    let up_to = PAUSE_FIRST.saturating_mul(1 << failed.clamp(1, 16).saturating_sub(1)).min(PAUSE_MAX);
    Duration::from_micros(random.below(u64::try_from(up_to.as_micros()).unwrap_or(u64::MAX).max(1)))
}

/// After how long a second try is sent beside the first.
pub(crate) fn hedge_after(p95: Option<Duration>) -> Option<Duration> {
    p95.map(|p95| p95.max(HEDGE_AFTER_MIN))
}

#[cfg(test)]
mod tests {
    use eagre_env::SeededRandomness;

    use super::*;

    #[test]
    fn tries_have_time_for_their_bytes() {
        assert_eq!(try_max(None, 0), TRY_MAX);
        assert_eq!(try_max(None, 8 << 20), Duration::from_secs(12));
        assert_eq!(try_max(Some(Duration::from_millis(300)), 8 << 20), Duration::from_millis(2_400));
        assert_eq!(try_max(Some(Duration::from_millis(5)), 0), TRY_MIN);
        assert_eq!(try_max(Some(Duration::from_secs(60)), 0), TRY_MAX);
        for traffic in Traffic::ALL {
            assert!(request_max(traffic, 0) > try_max(None, 0), "a second try fits");
        }
    }

    #[test]
    fn pauses_grow_to_a_bound_and_are_spread() {
        let random = SeededRandomness::new(1);
        let longest = |failed| (0..200).map(|_| pause(&random, failed)).max().unwrap();
        let shortest = (0..200).map(|_| pause(&random, 3)).min().unwrap();
        assert!(longest(1) <= PAUSE_FIRST && longest(1) > PAUSE_FIRST / 2);
        assert!(longest(2) <= 2 * PAUSE_FIRST && longest(2) > PAUSE_FIRST);
        assert!(longest(1_000) <= PAUSE_MAX && longest(1_000) > PAUSE_MAX / 2);
        assert!(shortest < PAUSE_FIRST / 2, "full jitter goes down to nothing");
    }
}
