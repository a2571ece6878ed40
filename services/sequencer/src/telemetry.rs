//! Metrics of the sequencer.

use std::time::Duration;

use eagre_sequencer_api::{BatchOutcome, CommitFailure, CommitReply, RefusalReason};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const COMMITS: &str = "eagre_sequencer_commits_total";
const BATCHES: &str = "eagre_sequencer_batches_total";
const GROUP_SIZE: &str = "eagre_sequencer_group_size";
const QUEUE: &str = "eagre_sequencer_queue";
const FLUSH: &str = "eagre_sequencer_flush_seconds";
const PRODUCERS: &str = "eagre_sequencer_producers";
const CLAIMS: &str = "eagre_sequencer_claims_total";
const CLAIM: &str = "eagre_sequencer_claim";
const HOLDS: &str = "eagre_sequencer_holds";

/// Says what each of them means.
pub fn describe() {
    describe_counter!(COMMITS, "Objects whose commit was answered, by result");
    describe_counter!(BATCHES, "Batches judged, by outcome");
    describe_histogram!(GROUP_SIZE, "Pieces of work made durable by one flush");
    describe_gauge!(QUEUE, "Pieces of work that wait for the next group");
    describe_histogram!(FLUSH, Unit::Seconds, "Time to make a group durable, by result");
    describe_gauge!(PRODUCERS, "Producers, each in a partition, held in memory");
    describe_counter!(CLAIMS, "Claims made by this process");
    describe_gauge!(CLAIM, "Number of the last claim made by this process");
    describe_gauge!(HOLDS, "1 while this process serves the shard");
}

/// A commit was judged.
pub fn judged(reply: &CommitReply) {
    let result = match &reply.result {
        Ok(answer) => {
            answer.outcomes.iter().for_each(|outcome| batch(*outcome));
            "judged"
        }
        Err(CommitFailure::EpochBelowFloor { .. }) => "epoch_below_floor",
        Err(CommitFailure::Mismatch) => "mismatch",
    };
    counter!(COMMITS, "result" => result).increment(1);
}

fn batch(outcome: BatchOutcome) {
    let outcome = match outcome {
        BatchOutcome::Appended { .. } => "appended",
        BatchOutcome::Duplicate { .. } | BatchOutcome::DuplicateElsewhere => "duplicate",
        BatchOutcome::Refused(RefusalReason::UnknownPartition) => "unknown_partition",
        BatchOutcome::Refused(RefusalReason::OutOfOrderSequence { .. }) => "out_of_order_sequence",
        BatchOutcome::Refused(RefusalReason::ProducerFenced { .. }) => "producer_fenced",
        BatchOutcome::Refused(RefusalReason::SequenceTooOld) => "sequence_too_old",
    };
    counter!(BATCHES, "outcome" => outcome).increment(1);
}

/// A group begins with so much work, and so much was waiting.
pub fn group(size: usize, waiting: usize) {
    histogram!(GROUP_SIZE).record(count(size));
    gauge!(QUEUE).set(count(waiting));
}

/// A flush has ended.
pub fn flushed(took: Duration, ok: bool) {
    let result = if ok { "ok" } else { "error" };
    histogram!(FLUSH, "result" => result).record(took.as_secs_f64());
}

/// So many producers are in memory.
pub fn producers(held: usize) {
    gauge!(PRODUCERS).set(count(held));
}

/// The shard was claimed.
pub fn claimed(number: u64) {
    counter!(CLAIMS).increment(1);
    gauge!(CLAIM).set(count(usize::try_from(number).unwrap_or(usize::MAX)));
}

/// A term has begun (1) or ended (0).
pub fn holds(holds: bool) {
    gauge!(HOLDS).set(if holds { 1.0 } else { 0.0 });
}

#[expect(clippy::cast_precision_loss, reason = "a metric may be rounded above 2^53")]
fn count(number: usize) -> f64 {
    number as f64
}
