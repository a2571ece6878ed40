//! Metrics of the sequencer.

use std::time::Duration;

use eagre_sequencer_api::{BatchOutcome, CommitFailure, CommitReply, RefusalReason};
use metrics::{counter, gauge, histogram};

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
    counter!("eagre_sequencer_commits_total", "result" => result).increment(1);
}

fn batch(outcome: BatchOutcome) {
    let outcome = match outcome {
        BatchOutcome::Appended { .. } => "appended",
        BatchOutcome::Duplicate { .. } => "duplicate",
        BatchOutcome::Refused(RefusalReason::UnknownPartition) => "unknown_partition",
        BatchOutcome::Refused(RefusalReason::OutOfOrderSequence { .. }) => "out_of_order_sequence",
        BatchOutcome::Refused(RefusalReason::ProducerFenced { .. }) => "producer_fenced",
        BatchOutcome::Refused(RefusalReason::SequenceTooOld) => "sequence_too_old",
    };
    counter!("eagre_sequencer_batches_total", "outcome" => outcome).increment(1);
}

/// A group begins with so much work, and so much was waiting.
pub fn group(size: usize, waiting: usize) {
    histogram!("eagre_sequencer_group_size").record(count(size));
    gauge!("eagre_sequencer_queue").set(count(waiting));
}

/// A flush has ended.
pub fn flushed(took: Duration, ok: bool) {
    let result = if ok { "ok" } else { "error" };
    histogram!("eagre_sequencer_flush_seconds", "result" => result).record(took.as_secs_f64());
}

/// So many producers are in memory.
pub fn producers(held: usize) {
    gauge!("eagre_sequencer_producers").set(count(held));
}

/// The shard was claimed.
pub fn claimed(number: u64) {
    counter!("eagre_sequencer_claims_total").increment(1);
    gauge!("eagre_sequencer_claim").set(count(usize::try_from(number).unwrap_or(usize::MAX)));
}

/// A term has begun (1) or ended (0).
pub fn holds(holds: bool) {
    gauge!("eagre_sequencer_holds").set(if holds { 1.0 } else { 0.0 });
}

#[expect(clippy::cast_precision_loss, reason = "a metric may be rounded above 2^53")]
fn count(number: usize) -> f64 {
    number as f64
}
