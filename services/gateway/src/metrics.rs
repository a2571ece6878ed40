//! The gateway's metrics, by name.

use std::time::Duration;

use eagre_proto::v1::ErrorReason;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::{
    produce::{Bounds, CutReason},
    refusal::{self, Refusal},
};

const RECORDS_IN: &str = "eagre_gateway_records_in_total";
const BYTES_IN: &str = "eagre_gateway_bytes_in_total";
const RECORDS_OUT: &str = "eagre_gateway_records_out_total";
const BYTES_OUT: &str = "eagre_gateway_bytes_out_total";
const ACKS: &str = "eagre_gateway_acks_total";
const ACK_SECONDS: &str = "eagre_gateway_ack_seconds";
const REFUSALS: &str = "eagre_gateway_refusals_total";
const IN_FLIGHT_BYTES: &str = "eagre_gateway_in_flight_bytes";
const IN_FLIGHT_BYTES_MAX: &str = "eagre_gateway_in_flight_bytes_max";
const QUEUE_WAIT: &str = "eagre_gateway_queue_wait_seconds";
const OBJECT_BYTES: &str = "eagre_gateway_object_bytes";
const CUTS: &str = "eagre_gateway_cuts_total";
const CUT_INTERVAL_MAX: &str = "eagre_gateway_cut_interval_max_seconds";
const INLINE: &str = "eagre_gateway_inline_objects_total";
const PUT_SECONDS: &str = "eagre_gateway_put_seconds";
const UNANSWERED: &str = "eagre_gateway_unanswered_objects";
const STREAMS: &str = "eagre_gateway_streams";
const READ_AHEAD_BYTES: &str = "eagre_gateway_read_ahead_bytes";

/// Says what the metrics mean. What is counted begins at 0, so that the first one of a kind is seen as a rise.
pub(crate) fn describe() {
    describe_counter!(RECORDS_IN, "Records of produce requests that were well-formed");
    describe_counter!(BYTES_IN, Unit::Bytes, "Bytes of record batches of produce requests that were well-formed");
    describe_counter!(RECORDS_OUT, "Records given to fetch streams");
    describe_counter!(
        BYTES_OUT,
        Unit::Bytes,
        "About how many bytes of records and record batches were given to fetch streams"
    );
    describe_counter!(ACKS, "Produce requests acknowledged");
    describe_histogram!(ACK_SECONDS, Unit::Seconds, "From a produce request to its acknowledgement");
    describe_counter!(REFUSALS, "Requests refused or of unknown outcome, by reason");
    describe_gauge!(IN_FLIGHT_BYTES_MAX, Unit::Bytes, "How many of them there may be");
    describe_gauge!(IN_FLIGHT_BYTES, Unit::Bytes, "Bytes of produce requests that are not answered");
    describe_histogram!(QUEUE_WAIT, Unit::Seconds, "From the first batch of an object to its cut");
    describe_histogram!(OBJECT_BYTES, Unit::Bytes, "Bytes of batches in an object");
    describe_counter!(CUTS, "Objects cut, by reason");
    describe_gauge!(
        CUT_INTERVAL_MAX,
        Unit::Seconds,
        "How long records are gathered for a large object, as the target and the budget of PUTs allow"
    );
    describe_counter!(INLINE, "Objects that went inside of their commits, without an upload");
    describe_histogram!(PUT_SECONDS, Unit::Seconds, "Uploads of objects, attempts that failed included");
    describe_gauge!(UNANSWERED, "Objects cut and not answered by the sequencer");
    describe_gauge!(STREAMS, "Open produce and fetch streams");
    describe_gauge!(READ_AHEAD_BYTES, Unit::Bytes, "Bytes read ahead for fetch streams");
    for total in [RECORDS_IN, BYTES_IN, RECORDS_OUT, BYTES_OUT, ACKS, INLINE] {
        counter!(total).increment(0);
    }
    // Proto numbers of reasons are small and dense; 0 is "unspecified", which nothing is refused for.
    for reason in (1..64).filter_map(|number| ErrorReason::try_from(number).ok()) {
        counter!(REFUSALS, "reason" => refusal::reason_name(reason)).increment(0);
    }
    for reason in [CutReason::Bytes, CutReason::Partitions, CutReason::Age, CutReason::Drain] {
        counter!(CUTS, "reason" => reason.name()).increment(0);
    }
    gauge!(UNANSWERED).set(0.0);
    gauge!(CUT_INTERVAL_MAX).set(0.0);
}

pub(crate) fn accepted(records: u32, bytes: usize) {
    counter!(RECORDS_IN).increment(records.into());
    counter!(BYTES_IN).increment(bytes as u64);
}

pub(crate) fn acked(took: Duration) {
    counter!(ACKS).increment(1);
    histogram!(ACK_SECONDS).record(took.as_secs_f64());
}

pub(crate) fn refused(refusal: &Refusal) {
    counter!(REFUSALS, "reason" => refusal.name()).increment(1);
}

pub(crate) fn fetched(bytes: usize, records: usize) {
    counter!(BYTES_OUT).increment(bytes as u64);
    counter!(RECORDS_OUT).increment(records as u64);
}

pub(crate) fn cut(reason: &'static str, bytes: usize, waited: Duration) {
    counter!(CUTS, "reason" => reason).increment(1);
    histogram!(OBJECT_BYTES).record(bytes as f64);
    histogram!(QUEUE_WAIT).record(waited.as_secs_f64());
}

pub(crate) fn cut_interval_max(bounds: Bounds) {
    gauge!(CUT_INTERVAL_MAX).set(bounds.longest.max(bounds.per_put * 2).as_secs_f64());
}

pub(crate) fn went_inline() {
    counter!(INLINE).increment(1);
}

pub(crate) fn put_seconds(took: Duration) {
    histogram!(PUT_SECONDS).record(took.as_secs_f64());
}

pub(crate) fn unanswered_objects(count: usize) {
    gauge!(UNANSWERED).set(count as f64);
}

pub(crate) fn levels(in_flight_bytes: usize, in_flight_bytes_max: usize, streams: usize, read_ahead_bytes: usize) {
    gauge!(IN_FLIGHT_BYTES).set(in_flight_bytes as f64);
    gauge!(IN_FLIGHT_BYTES_MAX).set(in_flight_bytes_max as f64);
    gauge!(STREAMS).set(streams as f64);
    gauge!(READ_AHEAD_BYTES).set(read_ahead_bytes as f64);
}
