//! What acknowledgements take and what requests cost, worked out of what was measured. Pure.

use std::time::Duration;

pub use crate::price::{PriceSheet, S3_STANDARD};

/// How a service turns what comes in into requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// What is gathered goes inside of its commit as long as it is no more than this.
    pub inline_bytes_max: usize,
    /// Cuts are so far apart while next to nothing comes, and up to `interval_min` as it grows to that.
    pub inline_interval_min: Duration,
    /// What went inside is written once more, in objects of this size.
    pub spill_bytes: u64,
    /// Cuts of the smallest objects that are uploaded are so far apart,
    pub interval_min: Duration,
    /// and those of large ones so far.
    pub interval_max: Duration,
    /// From this size on an object is large.
    pub large_bytes: usize,
    /// At this size it is full, and cut at once.
    pub object_bytes_max: usize,
    /// Commits begin so far apart while some are under way.
    pub commit_interval_min: Duration,
}

impl Cut {
    /// How far apart cuts are in the long run.
    fn interval(&self, bytes_per_second: f64) -> Duration {
        let mut interval = self.inline_interval_min;
        // Each cut is as far from the one before as what that one held says. It comes to rest soon.
        for _ in 0..32 {
            let bytes = bytes_per_second * interval.as_secs_f64();
            interval = if bytes < self.inline_bytes_max as f64 {
                let share = bytes / self.inline_bytes_max as f64;
                self.inline_interval_min + (self.interval_min - self.inline_interval_min).mul_f64(share)
            } else {
                let share = (bytes / self.large_bytes as f64).min(1.0);
                self.interval_min + (self.interval_max - self.interval_min).mul_f64(share)
            };
        }
        interval
    }
}

/// What one rate of produced bytes costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// The rate, after compression.
    pub mib_per_second: f64,
    /// Objects and their commits.
    pub puts_per_second: f64,
    /// A month of those requests.
    pub request_dollars: f64,
    /// A month of keeping every byte for one day; 7 days cost 7 times that.
    pub day_kept_dollars: f64,
}

const MIB: f64 = 1024.0 * 1024.0;
const DAY_SECONDS: f64 = 86_400.0;
const MONTH_SECONDS: f64 = 30.0 * DAY_SECONDS;

/// A month (30 days) of a steady rate.
///
/// What is little travels inside of its commit: one PUT, and one for each few MiB of it later. What is more is a PUT of its own
/// beside the commit. Commits of several objects share a PUT when they come quicker than commits begin. Live readers are served
/// from memory; the metadata's own upkeep is not counted.
pub fn month(sheet: &PriceSheet, cut: Cut, mib_per_second: f64) -> Cost {
    let bytes_per_second = mib_per_second * MIB;
    let interval = cut.interval(bytes_per_second).as_secs_f64();
    let is_inline = bytes_per_second * interval <= cut.inline_bytes_max as f64;
    let (cuts, other_puts) = if is_inline {
        (1.0 / interval, bytes_per_second / cut.spill_bytes as f64)
    } else {
        let objects = (1.0 / interval).max(bytes_per_second / cut.object_bytes_max as f64);
        (objects, objects)
    };
    let commits_max = 1.0 / cut.commit_interval_min.as_secs_f64().max(f64::MIN_POSITIVE);
    let puts_per_second = cuts.min(commits_max) + other_puts;
    let gib_a_day = mib_per_second / 1024.0 * DAY_SECONDS;
    Cost {
        mib_per_second,
        puts_per_second,
        request_dollars: puts_per_second * MONTH_SECONDS / 1e6 * sheet.dollars_per_million_puts(),
        day_kept_dollars: gib_a_day * sheet.dollars_per_gib_month,
    }
}

/// What an acknowledgement takes: a PUT of its object, then one of its commit. Every measured PUT of the one is paired with
/// every one of the other, which says more about rare long ones than adding up percentiles. In order of length.
///
/// It has neither the time that a record waits for its object to be cut nor that for the commit before.
pub fn acks(object: &[Duration], commit: &[Duration]) -> Vec<Duration> {
    let pairs = object.iter().flat_map(|object| commit.iter().map(move |commit| *object + *commit));
    let mut acks: Vec<Duration> = pairs.collect();
    acks.sort_unstable();
    acks
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: Cut = Cut {
        inline_bytes_max: 256 << 10,
        inline_interval_min: Duration::from_millis(40),
        spill_bytes: 4 << 20,
        interval_min: Duration::from_millis(100),
        interval_max: Duration::from_millis(200),
        large_bytes: 3 << 20,
        object_bytes_max: 8 << 20,
        commit_interval_min: Duration::from_millis(40),
    };

    fn puts(mib_per_second: f64) -> f64 {
        month(&S3_STANDARD, CUT, mib_per_second).puts_per_second
    }

    #[test]
    fn a_month_is_billed_by_requests_and_by_what_is_kept() {
        // Cuts 52.6 ms apart, each inside of its commit, and an object for each 4 MiB.
        let slow = month(&S3_STANDARD, CUT, 1.0);
        assert!((slow.puts_per_second - 19.25).abs() < 0.01, "{slow:?}");
        // A PUT a second is 2.592 million a month.
        assert!((slow.request_dollars - slow.puts_per_second * 2.592 * 5.0).abs() < 1e-9, "{slow:?}");
        // 84.375 GiB a day.
        assert!((slow.day_kept_dollars - 1.940_625).abs() < 1e-9, "{slow:?}");
    }

    #[test]
    fn what_is_much_makes_objects() {
        // 150 ms apart, each a PUT and a commit.
        assert!((puts(10.0) - 2.0 / 0.15).abs() < 0.01, "{}", puts(10.0));
        // Full objects of 8 MiB.
        assert!((puts(50.0) - 12.5).abs() < 0.01, "{}", puts(50.0));
        // And commits that are shared.
        assert!((puts(400.0) - 75.0).abs() < 0.01, "{}", puts(400.0));
    }

    #[test]
    fn acks_are_every_pair() {
        let ms = |times: &[u64]| times.iter().map(|time| Duration::from_millis(*time)).collect::<Vec<_>>();
        assert_eq!(acks(&ms(&[10, 20]), &ms(&[1, 2, 30])), ms(&[11, 12, 21, 22, 40, 50]));
        assert_eq!(acks(&[], &ms(&[1])), []);
    }
}
