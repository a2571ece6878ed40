//! How long the modelled store takes.

use std::time::Duration;

use eagre_env::Randomness;

/// Latencies of requests with this many bytes are given; those between and beyond lie on the line through both.
const LARGE_BYTES: f64 = (8 << 20) as f64;

/// The 99th percentile of a normal distribution, in standard deviations.
const Z_P99: f64 = 2.326_348;

/// What half of all requests, and what 99 of 100 of them, take at most, in milliseconds: of the smallest and of 8 MiB.
#[derive(Debug, Clone, Copy)]
struct Model {
    median_ms: (f64, f64),
    p99_ms: (f64, f64),
}

const PUT: Model = Model { median_ms: (30.0, 100.0), p99_ms: (120.0, 300.0) };
/// Until the first byte; the body follows as PUTs grow with theirs.
const FIRST_BYTE: Model = Model { median_ms: (30.0, 30.0), p99_ms: (150.0, 150.0) };
const BODY_MS: f64 = 70.0;

impl Model {
    fn draw(&self, random: &dyn Randomness, bytes: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
        let share = bytes as f64 / LARGE_BYTES;
        let at = |(small, large): (f64, f64)| small + (large - small) * share;
        let (median, p99) = (at(self.median_ms), at(self.p99_ms));
        let sigma = (p99 / median).ln() / Z_P99;
        Duration::from_secs_f64(median * (sigma * normal(random)).exp() / 1_000.0)
    }
}

/// A PUT of so many bytes.
pub(super) fn put(random: &dyn Randomness, bytes: u64) -> Duration {
    PUT.draw(random, bytes)
}

/// Any other request, until its first byte.
pub(super) fn first_byte(random: &dyn Randomness) -> Duration {
    FIRST_BYTE.draw(random, 0)
}

/// The body of a GET, after its first byte.
pub(super) fn body(bytes: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
    let share = bytes as f64 / LARGE_BYTES;
    Duration::from_secs_f64(BODY_MS * share / 1_000.0)
}

/// A standard normal number (Box and Muller, 1958).
fn normal(random: &dyn Randomness) -> f64 {
    let (one, other) = (uniform(random), uniform(random));
    (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos()
}

/// Above 0, up to 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn uniform(random: &dyn Randomness) -> f64 {
    ((random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use eagre_env::SeededRandomness;

    use super::*;

    #[track_caller]
    fn check(draw: impl Fn(&dyn Randomness) -> Duration, median_ms: f64, p99_ms: f64) {
        let random = SeededRandomness::new(1);
        let mut drawn: Vec<f64> = (0..20_000).map(|_| draw(&random).as_secs_f64() * 1_000.0).collect();
        drawn.sort_by(f64::total_cmp);
        let (median, p99) = (drawn[10_000], drawn[19_800]);
        assert!((median / median_ms - 1.0).abs() < 0.05, "median {median} ms");
        assert!((p99 / p99_ms - 1.0).abs() < 0.1, "p99 {p99} ms");
    }

    #[test]
    fn latencies_are_those_that_are_documented() {
        check(|random| put(random, 0), 30.0, 120.0);
        check(|random| put(random, 8 << 20), 100.0, 300.0);
        check(|random| put(random, 4 << 20), 65.0, 210.0);
        check(first_byte, 30.0, 150.0);
        assert_eq!(body(8 << 20), Duration::from_millis(70));
    }

    #[test]
    fn a_seed_gives_one_sequence() {
        let take = |seed| {
            let random = SeededRandomness::new(seed);
            (0..8).map(|_| put(&random, 1_000)).collect::<Vec<_>>()
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }
}
