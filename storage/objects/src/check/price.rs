//! What acknowledgements take and what requests cost, worked out of what was measured. Pure.

use std::time::Duration;

/// What a provider bills, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceSheet {
    /// Whose prices, and where.
    pub name: &'static str,
    /// A million PUT or LIST requests.
    pub per_million_puts: f64,
    /// A million GET requests.
    pub per_million_gets: f64,
    /// A GiB kept for a month, which providers spell GB.
    pub per_gib_month: f64,
}

/// Amazon S3 Standard, us-east-1, the first price of each table; traffic out of the region is not in it.
pub const S3_STANDARD: PriceSheet =
    PriceSheet { name: "Amazon S3 Standard", per_million_puts: 5.0, per_million_gets: 0.4, per_gib_month: 0.023 };

/// How a service cuts what comes in into objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// After so long.
    pub interval: Duration,
    /// Or when an object is so large.
    pub object_bytes_max: usize,
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
/// Each object is a PUT, and each commit is one: several objects share a commit only when they come quicker than commits,
/// of which one is under way at a time. Live readers are served from memory; the metadata's own upkeep is not counted.
pub fn month(sheet: &PriceSheet, cut: Cut, mib_per_second: f64, commit: Duration) -> Cost {
    let by_age = 1.0 / cut.interval.as_secs_f64();
    let by_size = mib_per_second * MIB / cut.object_bytes_max as f64;
    let objects_per_second = by_age.max(by_size);
    let commits_per_second = objects_per_second.min(1.0 / commit.as_secs_f64().max(f64::MIN_POSITIVE));
    let puts_per_second = objects_per_second + commits_per_second;
    let gib_a_day = mib_per_second / 1024.0 * DAY_SECONDS;
    Cost {
        mib_per_second,
        puts_per_second,
        request_dollars: puts_per_second * MONTH_SECONDS / 1e6 * sheet.per_million_puts,
        day_kept_dollars: gib_a_day * sheet.per_gib_month,
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

    const CUT: Cut = Cut { interval: Duration::from_millis(100), object_bytes_max: 8 << 20 };

    #[test]
    fn a_month_is_billed_by_requests_and_by_what_is_kept() {
        let slow = month(&S3_STANDARD, CUT, 1.0, Duration::from_millis(50));
        assert_eq!(slow.puts_per_second, 20.0);
        // 20 a second are 51.84 million a month.
        assert!((slow.request_dollars - 259.2).abs() < 1e-9, "{slow:?}");
        // 84.375 GiB a day.
        assert!((slow.day_kept_dollars - 1.940_625).abs() < 1e-9, "{slow:?}");
        // Full objects of 8 MiB, and commits that are slower than they.
        let fast = month(&S3_STANDARD, CUT, 160.0, Duration::from_millis(200));
        assert_eq!(fast.puts_per_second, 25.0);
    }

    #[test]
    fn acks_are_every_pair() {
        let ms = |times: &[u64]| times.iter().map(|time| Duration::from_millis(*time)).collect::<Vec<_>>();
        assert_eq!(acks(&ms(&[10, 20]), &ms(&[1, 2, 30])), ms(&[11, 12, 21, 22, 40, 50]));
        assert_eq!(acks(&[], &ms(&[1])), []);
    }
}
