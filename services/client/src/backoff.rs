//! Pauses between attempts.

use std::time::Duration;

use eagre_env::Randomness;

const FIRST_MS: u64 = 10;
const LAST_MS: u64 = 1_000;

/// Doubles from 10 ms to a second; each pause is drawn from the upper half of its bound, so that many clients part.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    pub fn next(&mut self, random: &dyn Randomness) -> Duration {
        let bound_ms = FIRST_MS.saturating_mul(1 << self.attempts.min(16)).min(LAST_MS);
        self.attempts = self.attempts.saturating_add(1);
        Duration::from_millis(bound_ms - random.below(bound_ms / 2))
    }

    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_and_start_anew() {
        let random = eagre_env::SeededRandomness::new(3);
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..40).map(|_| backoff.next(&random).as_millis()).collect();
        assert!((5..=10).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses[10..].iter().all(|pause| (500..=1_000).contains(pause)), "{pauses:?}");
        backoff.reset();
        assert!(backoff.next(&random).as_millis() <= 10);
    }
}
