//! `--rate`: so many records a second.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What was missed is made up for as far back as this, so that a timer's coarseness does not lower the rate, and a pause
/// of the input does not end in a burst.
const CATCH_UP: Duration = Duration::from_millis(20);

/// Spaces records evenly.
#[derive(Debug)]
pub struct Pacer {
    interval: Duration,
    next: Instant,
}

impl Pacer {
    /// `rate` records a second, at least 1.
    pub fn new(rate: u64) -> Self {
        Self { interval: Duration::from_nanos(1_000_000_000 / rate.max(1)), next: Instant::now() }
    }

    /// Waits until the next record is due.
    pub async fn pace(&mut self) {
        let now = Instant::now();
        if self.next > now {
            sleep_until(self.next).await;
        } else if let Some(earliest) = now.checked_sub(CATCH_UP) {
            self.next = self.next.max(earliest);
        }
        self.next += self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_and_a_pause_is_not_made_up_for() {
        let mut pacer = Pacer::new(3_000);
        let start = Instant::now();
        for _ in 0..6_000 {
            pacer.pace().await;
        }
        let took = start.elapsed().as_millis();
        assert!((1_980..=2_020).contains(&took), "{took} ms");

        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        for _ in 0..3_000 {
            pacer.pace().await;
        }
        let took = start.elapsed().as_millis();
        assert!((960..=1_020).contains(&took), "{took} ms");
    }
}
