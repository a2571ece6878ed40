//! The layer's metrics.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use super::traffic::Traffic;

/// Counter: tries beyond the first, hedges excluded, by `traffic` (`commit`, `data`, `tail`, `background`).
pub const RETRIES_TOTAL: &str = "eagre_bucket_retries_total";
/// Counter: requests that failed and were not tried again though another try might have helped, by `reason` (`tries`,
/// `deadline`, `budget`, `away`).
pub const GIVEN_UP_TOTAL: &str = "eagre_bucket_given_up_total";
/// Counter: second tries beside a slow first one, by `op` and `result` (`won`, `lost`, `failed`: neither was of use).
pub const HEDGES_TOTAL: &str = "eagre_bucket_hedges_total";
/// Counter: answers by which the bucket asked for fewer requests (503 SlowDown, 429).
pub const THROTTLED_TOTAL: &str = "eagre_bucket_throttled_total";
/// Counter: tries given up because they took too long.
pub const TIMEOUTS_TOTAL: &str = "eagre_bucket_timeouts_total";
/// Counter: creates that met an object after a try of their own, by whose it was: `owner` (`own`, `rival`, `nobody`,
/// `unknown`).
pub const CREATES_MET_TOTAL: &str = "eagre_bucket_creates_met_total";
/// Gauge: requests under way.
pub const IN_FLIGHT: &str = "eagre_bucket_in_flight";
/// Gauge: how many may be under way.
pub const IN_FLIGHT_LIMIT: &str = "eagre_bucket_in_flight_limit";
/// Gauge: 1 while the bucket serves, 0 while it is away.
pub const AVAILABLE: &str = "eagre_bucket_available";

pub(crate) fn describe() {
    describe_counter!(RETRIES_TOTAL, "Tries beyond the first of requests to the bucket, hedges excluded.");
    describe_counter!(GIVEN_UP_TOTAL, "Requests to the bucket that failed and were not tried again, by reason.");
    describe_counter!(HEDGES_TOTAL, "Second tries beside a slow first one, by what came of them.");
    describe_counter!(THROTTLED_TOTAL, "Answers by which the bucket asked for fewer requests.");
    describe_counter!(TIMEOUTS_TOTAL, "Tries given up because the bucket took too long.");
    describe_counter!(CREATES_MET_TOTAL, "Creates that met an object after a try of their own, by whose it was.");
    describe_gauge!(IN_FLIGHT, "Requests to the bucket under way.");
    describe_gauge!(IN_FLIGHT_LIMIT, "How many requests to the bucket may be under way.");
    describe_gauge!(AVAILABLE, "1 while the bucket serves, 0 while it is away.");
    gauge!(AVAILABLE).set(1.0);
    // From zero on, so that the first one is seen as a rise.
    for traffic in Traffic::ALL {
        counter!(RETRIES_TOTAL, "traffic" => traffic.label()).increment(0);
    }
    for reason in ["tries", "deadline", "budget", "away"] {
        counter!(GIVEN_UP_TOTAL, "reason" => reason).increment(0);
    }
    for (op, result) in
        ["put", "create", "get"].iter().flat_map(|op| ["won", "lost", "failed"].map(|result| (*op, result)))
    {
        counter!(HEDGES_TOTAL, "op" => op, "result" => result).increment(0);
    }
    for owner in ["own", "rival", "nobody", "unknown"] {
        counter!(CREATES_MET_TOTAL, "owner" => owner).increment(0);
    }
    counter!(THROTTLED_TOTAL).increment(0);
    counter!(TIMEOUTS_TOTAL).increment(0);
}

/// What came of a hedge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hedge {
    Won,
    Lost,
    Failed,
}

pub(crate) fn hedged(op: &'static str, hedge: Hedge) {
    let result = match hedge {
        Hedge::Won => "won",
        Hedge::Lost => "lost",
        Hedge::Failed => "failed",
    };
    counter!(HEDGES_TOTAL, "op" => op, "result" => result).increment(1);
}

pub(crate) fn retried(traffic: Traffic) {
    counter!(RETRIES_TOTAL, "traffic" => traffic.label()).increment(1);
}

pub(crate) fn given_up(reason: &'static str) {
    counter!(GIVEN_UP_TOTAL, "reason" => reason).increment(1);
}

pub(crate) fn throttled() {
    counter!(THROTTLED_TOTAL).increment(1);
}

pub(crate) fn timed_out() {
    counter!(TIMEOUTS_TOTAL).increment(1);
}

pub(crate) fn met(owner: &'static str) {
    counter!(CREATES_MET_TOTAL, "owner" => owner).increment(1);
}

pub(crate) fn in_flight(requests: u32) {
    gauge!(IN_FLIGHT).set(f64::from(requests));
}

pub(crate) fn limit(requests: u32) {
    gauge!(IN_FLIGHT_LIMIT).set(f64::from(requests));
}

pub(crate) fn available(is_available: bool) {
    gauge!(AVAILABLE).set(if is_available { 1.0 } else { 0.0 });
}
