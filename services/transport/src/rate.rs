//! How quickly connections may be made: in ten seconds as many as may be open, and twice as many at once, so that all who were there may
//! come back.

use std::{net::IpAddr, time::Duration};

use eagre_env::HashMap;
use tokio::time::Instant;

/// In which as many connections may be made anew as may be open.
const RENEWAL: Duration = Duration::from_secs(10);
/// Sources that are remembered. Of others only the rate of all counts.
const SOURCES_MAX: usize = 16_384;

/// Tokens that come back steadily, one for each connection.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(connections_max: usize, now: Instant) -> Self {
        Self { tokens: at_once(connections_max), at: now }
    }

    /// As it is now.
    fn refilled(self, connections_max: usize, now: Instant) -> Self {
        let come_back = connections_max as f64 * now.duration_since(self.at).as_secs_f64() / RENEWAL.as_secs_f64();
        Self { tokens: (self.tokens + come_back).min(at_once(connections_max)), at: now }
    }

    fn take(&mut self, connections_max: usize, now: Instant) -> bool {
        *self = self.refilled(connections_max, now);
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }
}

fn at_once(connections_max: usize) -> f64 {
    2.0 * connections_max as f64
}

/// The rates of a port.
#[derive(Debug)]
pub(crate) struct Rates {
    all_max: usize,
    source_max: usize,
    all: Bucket,
    /// Those that are not full.
    by_source: HashMap<IpAddr, Bucket>,
}

impl Rates {
    /// So many may be open, of all and of one source.
    pub(crate) fn new(all_max: usize, source_max: usize) -> Self {
        Self { all_max, source_max, all: Bucket::full(all_max, Instant::now()), by_source: HashMap::default() }
    }

    /// Counts a connection of anybody; false when there were too many of late.
    pub(crate) fn take(&mut self) -> bool {
        self.all.take(self.all_max, Instant::now())
    }

    /// Counts a connection of a source; false when there were too many of late.
    pub(crate) fn take_of(&mut self, source: IpAddr) -> bool {
        let now = Instant::now();
        if self.by_source.len() >= SOURCES_MAX && !self.by_source.contains_key(&source) {
            let max = self.source_max;
            self.by_source.retain(|_, bucket| bucket.refilled(max, now).tokens < at_once(max));
            if self.by_source.len() >= SOURCES_MAX {
                return true;
            }
        }
        let bucket = self.by_source.entry(source).or_insert_with(|| Bucket::full(self.source_max, now));
        bucket.take(self.source_max, now)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn source(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    #[tokio::test(start_paused = true)]
    async fn twice_as_many_at_once_as_may_be_open_and_then_as_many_in_ten_seconds() {
        let mut rates = Rates::new(100, 10);
        let of = |rates: &mut Rates, number| (0..1_000).filter(|_| rates.take_of(source(number))).count();
        assert_eq!(of(&mut rates, 1), 20);
        assert_eq!(of(&mut rates, 2), 20, "another one has its own");
        tokio::time::advance(RENEWAL / 10).await;
        assert_eq!(of(&mut rates, 1), 1);
        tokio::time::advance(RENEWAL * 100).await;
        assert_eq!(of(&mut rates, 1), 20, "no more than at once");
        assert_eq!((0..1_000).filter(|_| rates.take()).count(), 200);
        tokio::time::advance(RENEWAL / 2).await;
        assert_eq!((0..1_000).filter(|_| rates.take()).count(), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn sources_that_are_remembered_are_bounded() {
        let mut rates = Rates::new(100, 1);
        for number in 0..2 * u32::try_from(SOURCES_MAX).expect("small") {
            assert!(rates.take_of(source(number)));
        }
        assert_eq!(rates.by_source.len(), SOURCES_MAX);
        tokio::time::advance(RENEWAL).await;
        assert!(rates.take_of(source(u32::MAX)));
        assert_eq!(rates.by_source.len(), 1, "who has been quiet is not worth remembering");
    }
}
