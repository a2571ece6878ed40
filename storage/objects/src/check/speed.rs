//! How long writes and reads take, one at a time.

use std::time::Duration;

use object_store::Error as StoreError;

use super::bench::{Bench, pattern};

/// A size is timed for so long at most, writes and reads each.
const TIME_MAX: Duration = Duration::from_secs(20);

/// What was timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Until the write was answered.
    Put,
    /// Until the last byte was read.
    Get,
}

/// The times of one kind of request with objects of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    /// Which kind.
    pub op: Op,
    /// Of each object.
    pub size_bytes: usize,
    /// One for each request, in order of length; at least one.
    pub sorted: Vec<Duration>,
}

/// The time that so many of a hundred requests kept; by the nearest rank, so of few samples the high ones are the longest.
pub fn percentile(sorted: &[Duration], percent: u32) -> Duration {
    let rank = (sorted.len() * percent as usize).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Writes and reads objects of one size, as many as there is time for and at least one.
pub(super) async fn time(bench: &Bench, size_bytes: usize, count: usize) -> Result<[Latency; 2], StoreError> {
    let bytes = pattern(size_bytes as u64, size_bytes);
    let key = |n: usize| format!("speed/{size_bytes}/{n:04}");
    let has_time = |began| !bench.is_stopped() && bench.clock.monotonic() - began < TIME_MAX;
    let (mut puts, mut gets) = (Vec::new(), Vec::new());
    let began = bench.clock.monotonic();
    while puts.len() < count && (puts.is_empty() || has_time(began)) {
        let at = bench.clock.monotonic();
        bench.put(&key(puts.len()), &bytes).await?;
        puts.push(bench.clock.monotonic() - at);
    }
    let began = bench.clock.monotonic();
    while gets.len() < puts.len() && (gets.is_empty() || has_time(began)) {
        let at = bench.clock.monotonic();
        bench.read(&key(gets.len())).await?;
        gets.push(bench.clock.monotonic() - at);
    }
    let latency = |op, mut times: Vec<Duration>| {
        times.sort_unstable();
        Latency { op, size_bytes, sorted: times }
    };
    Ok([latency(Op::Put, puts), latency(Op::Get, gets)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_go_by_the_nearest_rank() {
        let times: Vec<Duration> = (1..=10).map(Duration::from_millis).collect();
        for (percent, expected) in [(0, 1), (1, 1), (50, 5), (90, 9), (91, 10), (99, 10), (100, 10)] {
            assert_eq!(percentile(&times, percent), Duration::from_millis(expected), "{percent}");
        }
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
