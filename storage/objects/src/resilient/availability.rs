//! Whether the bucket is there at all.

use std::time::Duration;

/// So many failures in a row, and
const FAILURES_MIN: u32 = 5;
/// none but failures for so long, and the bucket is away.
const FAILING_MIN: Duration = Duration::from_secs(2);

/// What the last answers say together.
#[derive(Debug, Default)]
pub(crate) struct Availability {
    failing_since: Option<Duration>,
    failures: u32,
    is_away: bool,
}

/// What has just become known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// The bucket serves nothing any more.
    Gone,
    /// It serves again.
    Back {
        /// After so long.
        after: Duration,
    },
}

impl Availability {
    /// Whether the bucket is away.
    pub(crate) fn is_away(&self) -> bool {
        self.is_away
    }

    /// The bucket answered a request, if only with a no.
    pub(crate) fn answered(&mut self, now: Duration) -> Option<News> {
        let since = self.failing_since.take();
        self.failures = 0;
        std::mem::take(&mut self.is_away)
            .then(|| News::Back { after: since.map_or(Duration::ZERO, |since| now.saturating_sub(since)) })
    }

    /// A request failed for a reason that lies with the bucket or the way to it.
    pub(crate) fn failed(&mut self, now: Duration) -> Option<News> {
        let since = *self.failing_since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
        let is_news = !self.is_away && self.failures >= FAILURES_MIN && now.saturating_sub(since) >= FAILING_MIN;
        self.is_away |= is_news;
        is_news.then_some(News::Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gone_and_back_are_said_once() {
        let at = Duration::from_millis;
        let mut availability = Availability::default();
        let said: Vec<_> = (0..100).filter_map(|n| availability.failed(at(n * 100))).collect();
        assert_eq!(said, [News::Gone]);
        assert!(availability.is_away());
        assert_eq!(availability.answered(at(60_000)), Some(News::Back { after: at(60_000) }));
        assert_eq!(availability.answered(at(60_001)), None);
    }

    #[test]
    fn one_answer_is_enough_to_be_there() {
        let at = Duration::from_millis;
        let mut availability = Availability::default();
        for n in 0..100 {
            assert_eq!(availability.failed(at(n * 1_000)), None);
            assert_eq!(availability.answered(at(n * 1_000 + 900)), None);
        }
    }

    #[test]
    fn a_burst_is_not_an_absence() {
        let mut availability = Availability::default();
        assert!((0..1_000).all(|n| availability.failed(Duration::from_micros(n)).is_none()));
    }
}
