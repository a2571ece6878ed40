//! Metrics of the sequencer.

use std::time::Duration;

use eagre_sequencer_api::{BatchOutcome, CommitFailure, CommitReply, RefusalReason};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::expiry::Forgotten;

const COMMITS: &str = "eagre_sequencer_commits_total";
const BATCHES: &str = "eagre_sequencer_batches_total";
const GROUP_SIZE: &str = "eagre_sequencer_group_size";
const QUEUE: &str = "eagre_sequencer_queue";
const FLUSH: &str = "eagre_sequencer_flush_seconds";
const PRODUCERS: &str = "eagre_sequencer_producers";
const PRODUCER_ROWS: &str = "eagre_sequencer_producer_rows";
const PRODUCERS_FORGOTTEN: &str = "eagre_sequencer_producers_forgotten_total";
const CLAIMS: &str = "eagre_sequencer_claims_total";
const CLAIM: &str = "eagre_sequencer_claim";
const INLINE_COMMITS: &str = "eagre_sequencer_inline_commits_total";
const INLINE_HELD_BYTES: &str = "eagre_sequencer_inline_held_bytes";
const INLINE_HELD_RUNS: &str = "eagre_sequencer_inline_held_runs";
const SPILLS: &str = "eagre_sequencer_spills_total";
const SPILLED_BYTES: &str = "eagre_sequencer_spilled_bytes_total";
const CORRUPT_RUNS: &str = "eagre_sequencer_corrupt_runs_total";
const HOLDS: &str = "eagre_sequencer_holds";

/// Says what each of them means. What is counted begins at 0, so that the first one of a kind is seen as a rise.
pub fn describe() {
    describe_counter!(COMMITS, "Objects whose commit was answered, by result");
    describe_counter!(BATCHES, "Batches judged, by outcome");
    describe_histogram!(GROUP_SIZE, "Pieces of work made durable by one flush");
    describe_gauge!(QUEUE, "Pieces of work that wait for the next group");
    describe_histogram!(FLUSH, Unit::Seconds, "Time to make a group durable, by result");
    describe_gauge!(PRODUCERS, "Producers, each in a partition, held in memory");
    describe_gauge!(
        PRODUCER_ROWS,
        "Producers, each in a partition or a topic, remembered at the last look through them"
    );
    describe_counter!(PRODUCERS_FORGOTTEN, "Producers, each in a partition or a topic, forgotten, by reason");
    describe_counter!(CLAIMS, "Claims made by this process");
    describe_gauge!(CLAIM, "Number of the last claim made by this process");
    describe_counter!(INLINE_COMMITS, "Commits that came with their bytes");
    describe_gauge!(INLINE_HELD_BYTES, Unit::Bytes, "Bytes of inline runs that are in no object yet");
    describe_gauge!(INLINE_HELD_RUNS, "Inline runs that are in no object yet");
    describe_counter!(SPILLS, "Objects made of inline runs, and attempts to store one that failed, by result");
    describe_counter!(SPILLED_BYTES, Unit::Bytes, "Bytes of objects made of inline runs");
    describe_counter!(CORRUPT_RUNS, "Inline runs whose stored bytes are not what was written");
    describe_gauge!(HOLDS, "1 while this process serves the shard");
    for result in ["judged", "epoch_below_floor", "mismatch"] {
        counter!(COMMITS, "result" => result).increment(0);
    }
    for outcome in [
        "appended",
        "duplicate",
        "duplicate_elsewhere",
        "unknown_partition",
        "out_of_order_sequence",
        "producer_fenced",
        "sequence_too_old",
        "unissued_producer_id",
        "unknown_producer_id",
    ] {
        counter!(BATCHES, "outcome" => outcome).increment(0);
    }
    for reason in ["expired", "room", "topic_deleted"] {
        counter!(PRODUCERS_FORGOTTEN, "reason" => reason).increment(0);
    }
    for result in ["swapped", "failed"] {
        counter!(SPILLS, "result" => result).increment(0);
    }
    for total in [CLAIMS, INLINE_COMMITS, SPILLED_BYTES, CORRUPT_RUNS] {
        counter!(total).increment(0);
    }
    for level in [QUEUE, PRODUCERS, PRODUCER_ROWS, CLAIM, HOLDS, INLINE_HELD_BYTES, INLINE_HELD_RUNS] {
        gauge!(level).set(0.0);
    }
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
        BatchOutcome::Refused(RefusalReason::UnissuedProducerId) => "unissued_producer_id",
        BatchOutcome::Refused(RefusalReason::UnknownProducerId) => "unknown_producer_id",
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

/// So many were there at the last look through them.
pub fn producer_rows(rows: u64) {
    gauge!(PRODUCER_ROWS).set(count(usize::try_from(rows).unwrap_or(usize::MAX)));
}

/// Some were forgotten.
pub fn producers_forgotten(forgotten: &Forgotten) {
    for (reason, number) in
        [("expired", forgotten.expired), ("room", forgotten.evicted), ("topic_deleted", forgotten.freed)]
    {
        counter!(PRODUCERS_FORGOTTEN, "reason" => reason).increment(number);
    }
}

/// The shard was claimed.
pub fn claimed(number: u64) {
    counter!(CLAIMS).increment(1);
    gauge!(CLAIM).set(count(usize::try_from(number).unwrap_or(usize::MAX)));
}

/// A commit came with its bytes.
pub fn inline_commit() {
    counter!(INLINE_COMMITS).increment(1);
}

/// So many bytes in so many runs are inline.
pub fn inline_held((bytes, runs): (u64, usize)) {
    gauge!(INLINE_HELD_BYTES).set(count(usize::try_from(bytes).unwrap_or(usize::MAX)));
    gauge!(INLINE_HELD_RUNS).set(count(runs));
}

/// What became of an attempt to turn inline runs into an object.
#[derive(Debug, Clone, Copy)]
pub enum Spilled {
    /// The index refers to the object.
    Swapped {
        /// Of the object.
        length_bytes: u64,
    },
    /// The bucket did not take the object; it is tried again.
    Failed,
}

/// An attempt to turn inline runs into an object has ended.
pub fn spilled(spilled: Spilled) {
    let result = match spilled {
        Spilled::Swapped { length_bytes } => {
            counter!(SPILLED_BYTES).increment(length_bytes);
            "swapped"
        }
        Spilled::Failed => "failed",
    };
    counter!(SPILLS, "result" => result).increment(1);
}

/// The stored bytes of an inline run are not what was written.
pub fn corrupt_run() {
    counter!(CORRUPT_RUNS).increment(1);
}

/// A term has begun (1) or ended (0).
pub fn holds(holds: bool) {
    gauge!(HOLDS).set(if holds { 1.0 } else { 0.0 });
}

#[expect(clippy::cast_precision_loss, reason = "a metric may be rounded above 2^53")]
fn count(number: usize) -> f64 {
    number as f64
}
