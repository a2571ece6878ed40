//! The judge: which batches of an object are appended, and where. Pure: no I/O, no clock.
//!
//! It works on the *tentative* view. Whatever it decides becomes true only when the group's flush has ended.

use eagre_env::{Env, HashMap, PlantedBug};
use eagre_metadata::rows::{Producer, ProducerKey, SequenceRange, Tail, TopicProducerKey, WINDOW_BATCHES};
use eagre_model::{
    ProducerEpoch, Run, RunKind, TopicPartition, UploadEpoch,
    batch::{advance_sequence, crc32c_combine},
};
use eagre_sequencer_api::{
    BatchOutcome, CommitAnswer, CommitBatch, CommitRequest, CommitRun, ProducerSequence, RefusalReason,
};

pub use self::ids::{FIRST_PRODUCER_ID, ProducerIds};
use self::{
    order::{Numbered, Standing, standing},
    request::Decisions,
};
use crate::producers::{Producers, TopicProducers};

mod ids;
mod order;
pub mod request;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

/// What is known of a partition's log. The default is that of a partition without records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailState {
    /// The first offset that can be read.
    pub log_start_offset: i64,
    /// The offset of the next record.
    pub next_offset: i64,
    /// Bytes of all its batches.
    pub size_bytes: u64,
    /// The highest timestamp of all its records; `i64::MIN` when there is none.
    pub prefix_max_timestamp_ms: i64,
}

impl TailState {
    /// A partition without records.
    pub const EMPTY: Self =
        Self { log_start_offset: 0, next_offset: 0, size_bytes: 0, prefix_max_timestamp_ms: i64::MIN };

    /// As the store's row of the log's end.
    pub fn row(&self) -> Tail {
        Tail {
            next_offset: self.next_offset,
            size_bytes: self.size_bytes,
            prefix_max_timestamp_ms: self.prefix_max_timestamp_ms,
        }
    }

    /// Takes over what the store's row says.
    pub fn set(&mut self, row: &Tail) {
        self.next_offset = row.next_offset;
        self.size_bytes = row.size_bytes;
        self.prefix_max_timestamp_ms = row.prefix_max_timestamp_ms;
    }
}

impl Default for TailState {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// What is known of a producer in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerState {
    /// `None`: it has not written here yet.
    pub epoch: Option<ProducerEpoch>,
    /// When it appended last, in milliseconds since the epoch; `None`: not said by the row, or never.
    pub last_append_ms: Option<i64>,
    /// Its last batches under that epoch, oldest first, at most [`WINDOW_BATCHES`].
    pub window: Vec<SequenceRange>,
}

impl ProducerState {
    /// One that has not written to the partition.
    pub const UNKNOWN: Self = Self { epoch: None, last_append_ms: None, window: Vec::new() };

    /// As the store's row; `None` when there is nothing to remember.
    pub fn row(&self, last_use: UploadEpoch) -> Option<Producer> {
        let Self { last_append_ms, ref window, .. } = *self;
        self.epoch.map(|epoch| Producer { epoch, last_use, last_append_ms, window: window.clone() })
    }

    /// From the store's row.
    pub fn of_row(row: Option<Producer>) -> Self {
        let known =
            |row: Producer| Self { epoch: Some(row.epoch), last_append_ms: row.last_append_ms, window: row.window };
        row.map_or(Self::UNKNOWN, known)
    }

    fn remember(&mut self, epoch: ProducerEpoch, batch: SequenceRange) {
        if self.epoch != Some(epoch) {
            self.epoch = Some(epoch);
            self.window.clear();
        }
        if self.window.len() >= WINDOW_BATCHES {
            self.window.remove(0);
        }
        self.window.push(batch);
    }
}

impl Default for ProducerState {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl Numbered for SequenceRange {
    fn sequences(&self) -> (i32, i32) {
        (self.first_sequence, self.last_sequence)
    }
}

/// The tentative view that a commit is judged on. A partition that is not in it does not exist.
#[derive(Debug)]
pub struct View {
    /// Every partition of every live topic.
    pub tails: HashMap<TopicPartition, TailState>,
    /// Which producers may begin.
    pub ids: ProducerIds,
    /// At least the producers of the request; see [`producers_of`].
    pub producers: Producers,
    /// At least those of its requests that are numbered per topic; see [`request::topic_producers_of`].
    pub topic_producers: TopicProducers,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// One a batch, in the order of the request.
    pub outcomes: Vec<BatchOutcome>,
    /// The index rows to add, in offset order per partition.
    pub rows: Vec<(TopicPartition, Run)>,
    /// The producers whose state changed in a partition.
    pub producers: Vec<ProducerKey>,
    /// The producers whose state changed in a topic.
    pub topic_producers: Vec<TopicProducerKey>,
    /// Bytes of the object that the index refers to.
    pub live_bytes: u64,
}

/// The rules as they are, or with one of them broken on purpose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    whole_run_duplicate_check: bool,
    old_epoch_accepted: bool,
    unknown_producer_continues: bool,
    window_forgotten: bool,
    unissued_id_accepted: bool,
    forgotten_producer_begins: bool,
}

impl Rules {
    /// The rules, broken as the environment says.
    pub fn of(env: &Env) -> Self {
        Self {
            whole_run_duplicate_check: env.has_planted(PlantedBug::WholeRunDuplicateCheck),
            old_epoch_accepted: env.has_planted(PlantedBug::OldEpochAccepted),
            unknown_producer_continues: env.has_planted(PlantedBug::ProducerStateLost),
            window_forgotten: env.has_planted(PlantedBug::WindowForgotten),
            unissued_id_accepted: env.has_planted(PlantedBug::UnissuedIdAccepted),
            forgotten_producer_begins: env.has_planted(PlantedBug::ExpiredStateAccepted),
        }
    }
}

/// The producers whose state the judge needs for a request; may name one more than once.
pub fn producers_of(request: &CommitRequest) -> impl Iterator<Item = ProducerKey> + '_ {
    request.runs.iter().flat_map(|run| {
        let of = move |producer: ProducerSequence| ProducerKey { partition: run.partition, producer: producer.id };
        run.batches.iter().filter(|batch| batch.part.is_none()).filter_map(move |batch| batch.producer.map(of))
    })
}

/// Judges every batch of a request in order and appends the accepted ones to the view.
pub fn judge(view: &mut View, request: &CommitRequest, rules: Rules) -> Verdict {
    let (decisions, topic_producers) =
        Decisions::of(request, &view.tails, &mut view.topic_producers, (view.ids, rules));
    let mut verdict = Verdict { topic_producers, ..Verdict::default() };
    for run in &request.runs {
        judge_run(view, request, run, &decisions, rules, &mut verdict);
    }
    verdict
}

/// The answer when every batch of a request is a duplicate on this view; for [`PlantedBug::DuplicateFromTentative`].
pub fn duplicates_only(view: &View, request: &CommitRequest, rules: Rules) -> Option<CommitAnswer> {
    let mut outcomes = Vec::new();
    for run in &request.runs {
        for batch in &run.batches {
            let sequence = batch.producer.filter(|_| batch.part.is_none())?;
            let state = view.producers.get(&ProducerKey { partition: run.partition, producer: sequence.id })?;
            let last_sequence = advance_sequence(sequence.first_sequence, batch.record_count.saturating_sub(1));
            match objection(state, sequence, last_sequence, (view.ids, rules))? {
                duplicate @ BatchOutcome::Duplicate { .. } => outcomes.push(duplicate),
                _ => return None,
            }
        }
    }
    Some(CommitAnswer { outcomes })
}

fn judge_run(
    view: &mut View,
    request: &CommitRequest,
    run: &CommitRun,
    decisions: &Decisions,
    rules: Rules,
    verdict: &mut Verdict,
) {
    let Some(tail) = view.tails.get_mut(&run.partition) else {
        let unknown = BatchOutcome::Refused(RefusalReason::UnknownPartition);
        verdict.outcomes.extend(run.batches.iter().map(|_| unknown));
        return;
    };
    let mut position_bytes = run.position_bytes;
    let mut stretch: Option<Run> = None;
    let mut first_duplicate = None;
    for (index, batch) in run.batches.iter().enumerate() {
        let mut outcome = match batch.producer.zip(batch.part) {
            Some((sequence, part_of)) => {
                let part = (batch, sequence, part_of);
                decisions.outcome(&mut view.topic_producers, run.partition, part, tail.next_offset)
            }
            None => judge_batch(&mut view.producers, run.partition, batch, tail.next_offset, (view.ids, rules)),
        };
        if rules.whole_run_duplicate_check {
            outcome = whole_run(&mut first_duplicate, index, batch, outcome, tail.next_offset);
        }
        verdict.outcomes.push(outcome);
        if let BatchOutcome::Appended { .. } = outcome {
            append(tail, batch);
            verdict.live_bytes += u64::from(batch.length_bytes);
            let of = |producer: ProducerSequence| ProducerKey { partition: run.partition, producer: producer.id };
            verdict.producers.extend(batch.producer.filter(|_| batch.part.is_none()).map(of));
            stretch = Some(match stretch {
                Some(row) => extended(row, batch, tail),
                None => first_of(request, position_bytes, batch, tail),
            });
        } else {
            verdict.rows.extend(stretch.take().map(|row| (run.partition, row)));
        }
        position_bytes += u64::from(batch.length_bytes);
    }
    verdict.rows.extend(stretch.map(|row| (run.partition, row)));
}

/// The outcome of a batch whose first record would get `next_offset`. A producer's window is moved when it is appended.
fn judge_batch(
    producers: &mut Producers,
    partition: TopicPartition,
    batch: &CommitBatch,
    next_offset: i64,
    by: (ProducerIds, Rules),
) -> BatchOutcome {
    let appended = BatchOutcome::Appended { base_offset: next_offset };
    let Some(sequence) = batch.producer else { return appended };
    let state = producers.entry(ProducerKey { partition, producer: sequence.id });
    let last_sequence = advance_sequence(sequence.first_sequence, batch.record_count.saturating_sub(1));
    if let Some(outcome) = objection(state, sequence, last_sequence, by) {
        return outcome;
    }
    let first_sequence = sequence.first_sequence;
    state.remember(sequence.epoch, SequenceRange { first_sequence, last_sequence, base_offset: next_offset });
    appended
}

/// Why a batch is not appended; `None` when it is.
fn objection(
    state: &ProducerState,
    sequence: ProducerSequence,
    last_sequence: i32,
    (ids, rules): (ProducerIds, Rules),
) -> Option<BatchOutcome> {
    match standing(state.epoch, &state.window, sequence, last_sequence, ids, rules) {
        Standing::Next => None,
        Standing::Known(place) => Some(BatchOutcome::Duplicate { base_offset: state.window[place].base_offset }),
        Standing::Refused(reason) => Some(BatchOutcome::Refused(reason)),
    }
}

fn append(tail: &mut TailState, batch: &CommitBatch) {
    tail.next_offset += i64::from(batch.record_count);
    tail.size_bytes += u64::from(batch.length_bytes);
    tail.prefix_max_timestamp_ms = tail.prefix_max_timestamp_ms.max(batch.max_timestamp_ms);
}

/// The row of a stretch that begins with `batch`; the tail is that after the batch.
fn first_of(request: &CommitRequest, position_bytes: u64, batch: &CommitBatch, tail: &TailState) -> Run {
    Run {
        base_offset: tail.next_offset - i64::from(batch.record_count),
        last_offset: tail.next_offset - 1,
        kind: if request.inline.is_some() { RunKind::Inline } else { RunKind::Wal },
        object: request.object,
        position_bytes,
        length_bytes: batch.length_bytes,
        batches: 1,
        crc32c: batch.crc32c,
        prefix_max_timestamp_ms: tail.prefix_max_timestamp_ms,
    }
}

/// The row with one more batch, whose bytes follow.
fn extended(row: Run, batch: &CommitBatch, tail: &TailState) -> Run {
    Run {
        last_offset: tail.next_offset - 1,
        // Cannot wrap: the lengths of a request are checked against that of its object.
        length_bytes: row.length_bytes + batch.length_bytes,
        batches: row.batches + 1,
        crc32c: crc32c_combine(row.crc32c, batch.crc32c, u64::from(batch.length_bytes)),
        prefix_max_timestamp_ms: tail.prefix_max_timestamp_ms,
        ..row
    }
}

/// The planted bug: the first batch of a run decides for all of them. `expected` is where the next duplicate would lie.
fn whole_run(
    duplicate: &mut Option<i64>,
    index: usize,
    batch: &CommitBatch,
    outcome: BatchOutcome,
    next_offset: i64,
) -> BatchOutcome {
    let outcome = match (index, outcome) {
        (0, BatchOutcome::Duplicate { base_offset }) => {
            *duplicate = Some(base_offset);
            outcome
        }
        (0, _) => outcome,
        (_, _) => duplicate.map_or(BatchOutcome::Appended { base_offset: next_offset }, |base_offset| {
            BatchOutcome::Duplicate { base_offset }
        }),
    };
    if let Some(next) = duplicate {
        *next += i64::from(batch.record_count);
    }
    outcome
}
