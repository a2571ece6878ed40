//! Which producers are forgotten, by when they appended last. Pure.

use std::time::Duration;

/// Ages are told apart as finely as this part of the time for which producers are remembered.
const BUCKETS: u16 = 1_024;

/// What becomes of the state of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Keep,
    /// Its row does not say when it appended, or says a time to come: from now on it says now.
    Date,
    /// It goes: it did not append for too long.
    Expire,
    /// It goes: there are too many, and it is one of the oldest.
    Evict,
    /// It goes with its topic.
    Free,
}

/// From when on producers are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoff {
    /// Those that appended last before that have expired.
    pub expired_before_ms: i64,
    /// Those that appended last before that make room.
    pub evicted_before_ms: i64,
}

impl Cutoff {
    /// The fate of a producer that appended last at that time.
    pub fn fate(&self, last_append_ms: Option<i64>, now_ms: i64) -> Fate {
        match last_append_ms {
            Some(at) if at > now_ms => Fate::Date,
            Some(at) if at < self.expired_before_ms => Fate::Expire,
            Some(at) if at < self.evicted_before_ms => Fate::Evict,
            Some(_) => Fate::Keep,
            None => Fate::Date,
        }
    }
}

/// How many producers there are, by when they appended last.
#[derive(Debug)]
pub struct Ages {
    from_ms: i64,
    width_ms: i64,
    rows: u64,
    buckets: Vec<u64>,
}

impl Ages {
    /// None yet; all will have appended between then and now.
    pub fn new(from_ms: i64, remembered: Duration) -> Self {
        let width_ms = remembered.as_millis().div_ceil(u128::from(BUCKETS)).max(1);
        let width_ms = i64::try_from(width_ms).unwrap_or(i64::MAX);
        Self { from_ms, width_ms, rows: 0, buckets: vec![0; usize::from(BUCKETS)] }
    }

    /// One more that stays.
    pub fn add(&mut self, last_append_ms: i64) {
        let bucket = last_append_ms.saturating_sub(self.from_ms) / self.width_ms;
        let bucket = usize::try_from(bucket.max(0)).unwrap_or(usize::MAX).min(self.buckets.len() - 1);
        self.buckets[bucket] += 1;
        self.rows += 1;
    }

    /// All of them.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many are more than may be, and a time before which at least so many appended last; `None`: there is room.
    pub fn excess(&self, rows_max: u64) -> Option<(u64, i64)> {
        let excess = self.rows.checked_sub(rows_max).filter(|excess| *excess > 0)?;
        let (mut older, mut end_ms) = (0, self.from_ms);
        for rows in &self.buckets {
            older += rows;
            end_ms = end_ms.saturating_add(self.width_ms);
            if older >= excess {
                break;
            }
        }
        Some((excess, end_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_append_decides() {
        let cutoff = Cutoff { expired_before_ms: 100, evicted_before_ms: 200 };
        let fates = [
            (Some(99), Fate::Expire),
            (Some(100), Fate::Evict),
            (Some(199), Fate::Evict),
            (Some(200), Fate::Keep),
            (Some(1_000), Fate::Keep),
            (Some(1_001), Fate::Date),
            (Some(i64::MAX), Fate::Date),
            (Some(i64::MIN), Fate::Expire),
            (None, Fate::Date),
        ];
        for (last_append_ms, fate) in fates {
            assert_eq!(cutoff.fate(last_append_ms, 1_000), fate, "{last_append_ms:?}");
        }
        let none = Cutoff { evicted_before_ms: i64::MIN, ..cutoff };
        assert_eq!(none.fate(Some(100), 1_000), Fate::Keep);
    }

    #[test]
    fn the_oldest_are_found_without_holding_all() {
        let mut ages = Ages::new(0, Duration::from_millis(10_240));
        for at in (0..10_240).step_by(10) {
            ages.add(at);
        }
        assert_eq!(ages.rows(), 1_024);
        assert_eq!(ages.excess(1_024), None);
        assert_eq!(ages.excess(u64::MAX), None);
        for rows_max in [1_023, 1_000, 1, 0] {
            let (excess, before_ms) = ages.excess(rows_max).unwrap();
            assert_eq!(excess, 1_024 - rows_max);
            let older = u64::try_from(before_ms.min(10_240) / 10).unwrap();
            assert_eq!(older, excess, "{rows_max}");
        }
    }

    #[test]
    fn times_beyond_the_ends_are_counted() {
        let mut ages = Ages::new(1_000, Duration::from_secs(1));
        for at in [i64::MIN, 0, 1_000, i64::MAX] {
            ages.add(at);
        }
        assert_eq!(ages.rows(), 4);
        let (excess, before_ms) = ages.excess(1).unwrap();
        assert!(excess == 3 && before_ms > 1_000, "{before_ms}");
    }
}
