//! What acknowledgements take and what requests cost, worked out of what was measured. Pure.

use std::time::Duration;

pub use crate::price::{PriceSheet, S3_STANDARD};

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

const DAY_SECONDS: f64 = 86_400.0;
const MONTH_SECONDS: f64 = 30.0 * DAY_SECONDS;

/// A month (30 days) of a steady rate that takes so many PUTs a second. Live readers are served from memory; the metadata's own
/// upkeep is not counted.
pub fn month(sheet: &PriceSheet, mib_per_second: f64, puts_per_second: f64) -> Cost {
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

    #[test]
    fn a_month_is_billed_by_requests_and_by_what_is_kept() {
        let cost = month(&S3_STANDARD, 1.0, 20.0);
        // 20 a second are 51.84 million a month.
        assert!((cost.request_dollars - 259.2).abs() < 1e-9, "{cost:?}");
        // 84.375 GiB a day.
        assert!((cost.day_kept_dollars - 1.940_625).abs() < 1e-9, "{cost:?}");
    }

    #[test]
    fn acks_are_every_pair() {
        let ms = |times: &[u64]| times.iter().map(|time| Duration::from_millis(*time)).collect::<Vec<_>>();
        assert_eq!(acks(&ms(&[10, 20]), &ms(&[1, 2, 30])), ms(&[11, 12, 21, 22, 40, 50]));
        assert_eq!(acks(&[], &ms(&[1])), []);
    }
}
