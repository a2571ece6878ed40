//! How long requests of one kind take: a high quantile of the last ones.

use std::time::Duration;

/// So many of the last requests count.
const WINDOW: usize = 128;
/// Fewer say nothing.
const SAMPLES_MIN: usize = 24;
/// The quantile is worked out anew after so many requests.
const REFRESH_EVERY: u32 = 8;

/// The last latencies of one kind of request.
///
/// A try that was overtaken by its hedge counts with the time that it had taken until then: a lower bound, above the quantile
/// at which the hedge was sent, so the quantile stays true.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// In microseconds, in a ring.
    window: Vec<u32>,
    next: usize,
    since_refresh: u32,
    p95: Option<Duration>,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self { window: Vec::with_capacity(WINDOW), next: 0, since_refresh: 0, p95: None }
    }

    /// Takes the latency of a request.
    pub(crate) fn add(&mut self, latency: Duration) {
        let us = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        if self.window.len() < WINDOW {
            self.window.push(us);
        } else {
            self.window[self.next] = us;
        }
        self.next = (self.next + 1) % WINDOW;
        self.since_refresh += 1;
        let is_due = self.since_refresh >= REFRESH_EVERY || self.p95.is_none();
        if self.window.len() >= SAMPLES_MIN && is_due {
            self.since_refresh = 0;
            let mut sorted = self.window.clone();
            let rank = sorted.len() * 95 / 100;
            let (_, at, _) = sorted.select_nth_unstable(rank);
            self.p95 = Some(Duration::from_micros(u64::from(*at)));
        }
    }

    /// What one request of twenty exceeds; `None` while too little is known.
    pub(crate) fn p95(&self) -> Option<Duration> {
        self.p95
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn little_is_no_knowledge() {
        let mut latencies = Latencies::new();
        (1..SAMPLES_MIN).for_each(|_| latencies.add(ms(5)));
        assert_eq!(latencies.p95(), None);
        latencies.add(ms(5));
        assert_eq!(latencies.p95(), Some(ms(5)));
    }

    #[test]
    fn one_of_twenty_is_slower() {
        let mut latencies = Latencies::new();
        (1..=100).for_each(|n| latencies.add(ms(n)));
        let p95 = latencies.p95().unwrap();
        assert!((ms(90)..=ms(97)).contains(&p95), "{p95:?}");
    }

    #[test]
    fn the_past_is_forgotten() {
        let mut latencies = Latencies::new();
        (0..1_000).for_each(|_| latencies.add(ms(900)));
        (0..WINDOW + 8).for_each(|_| latencies.add(ms(10)));
        assert_eq!(latencies.p95(), Some(ms(10)));
    }
}
