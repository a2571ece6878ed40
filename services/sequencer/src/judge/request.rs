//! Requests that are numbered per topic. Their records lie in several partitions, so they are judged whole, before any
//! of their parts: all parts are appended or none. What is remembered is the request and not where its records went, so
//! that one that comes again is known though its records would be placed elsewhere by now.

use std::collections::BTreeMap;

use eagre_env::HashMap;
use eagre_metadata::rows::{
    NumberedRequest, RequestPart, TopicProducer, TopicProducerKey, WINDOW_PARTS, WINDOW_REQUESTS,
};
use eagre_model::{ProducerEpoch, TopicPartition, UploadEpoch, batch::advance_sequence};
use eagre_sequencer_api::{BatchOutcome, CommitBatch, CommitRequest, PartOf, ProducerSequence, RefusalReason};

use super::{
    ProducerIds, Rules, TailState,
    order::{Numbered, Standing, standing},
};
use crate::producers::TopicProducers;

/// The offset of a part that is about to be appended; none is ever stored.
const NOT_YET: i64 = -1;

/// What is known of a producer in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicProducerState {
    /// `None`: it has not written here yet.
    pub epoch: Option<ProducerEpoch>,
    /// When it appended last, in milliseconds since the epoch; `None`: not said by the row, or never.
    pub last_append_ms: Option<i64>,
    /// Its last requests under that epoch, oldest first, at most [`WINDOW_REQUESTS`] with [`WINDOW_PARTS`] parts.
    pub window: Vec<NumberedRequest>,
}

impl TopicProducerState {
    /// As the store's row; `None` when there is nothing to remember.
    pub fn row(&self, last_use: UploadEpoch) -> Option<TopicProducer> {
        let Self { last_append_ms, ref window, .. } = *self;
        self.epoch.map(|epoch| TopicProducer { epoch, last_use, last_append_ms, window: window.clone() })
    }

    /// From the store's row.
    pub fn of_row(row: Option<TopicProducer>) -> Self {
        let known = |row: TopicProducer| Self {
            epoch: Some(row.epoch),
            last_append_ms: row.last_append_ms,
            window: row.window,
        };
        row.map_or_else(Self::default, known)
    }

    fn remember(&mut self, epoch: ProducerEpoch, request: NumberedRequest) {
        if self.epoch != Some(epoch) {
            self.epoch = Some(epoch);
            self.window.clear();
        }
        if self.window.len() >= WINDOW_REQUESTS {
            self.window.remove(0);
        }
        self.window.push(request);
        let mut left = WINDOW_PARTS;
        for request in self.window.iter_mut().rev() {
            if request.parts.len() > left {
                request.parts = Vec::new();
                left = 0;
            }
            left -= request.parts.len();
        }
    }

    /// The newest appended part of that request in that partition, if it is remembered.
    fn part(&mut self, sequence: ProducerSequence, partition: u32) -> Option<&mut RequestPart> {
        let first_sequence = sequence.first_sequence;
        let window = self.window.iter_mut().filter(|_| self.epoch == Some(sequence.epoch));
        let request = window.rev().find(|request| request.first_sequence == first_sequence)?;
        request.parts.iter_mut().find(|part| part.partition == partition)
    }
}

impl Numbered for NumberedRequest {
    fn sequences(&self) -> (i32, i32) {
        (self.first_sequence, self.last_sequence)
    }
}

/// The producers, each in a topic, whose state the judge needs for a request; may name one more than once.
pub fn topic_producers_of(request: &CommitRequest) -> impl Iterator<Item = TopicProducerKey> + '_ {
    request.runs.iter().flat_map(|run| {
        let key =
            move |producer: ProducerSequence| TopicProducerKey { topic: run.partition.topic, producer: producer.id };
        run.batches.iter().filter(|batch| batch.part.is_some()).filter_map(move |batch| batch.producer.map(key))
    })
}

/// What becomes of the numbered requests of a commit, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Decisions(BTreeMap<u32, Decision>);

#[derive(Debug, Clone)]
enum Decision {
    Append,
    /// Appended before, its records where they would be placed now: the parts as they were known at the decision.
    Known(Vec<RequestPart>),
    /// Appended before; where is not remembered, or by another partition map.
    Elsewhere,
    Refused(RefusalReason),
}

/// A request with the parts of it that a commit holds, which are all.
struct Asked {
    key: TopicProducerKey,
    sequence: ProducerSequence,
    part_of: PartOf,
    parts: BTreeMap<u32, u32>,
}

impl Decisions {
    /// Decides about all requests of a commit, in the order in which their gateway took them. Those that are appended move
    /// their producer's window; returns whose.
    pub fn of(
        request: &CommitRequest,
        tails: &HashMap<TopicPartition, TailState>,
        producers: &mut TopicProducers,
        by: (ProducerIds, Rules),
    ) -> (Self, Vec<TopicProducerKey>) {
        let (mut decisions, mut changed) = (Self::default(), Vec::new());
        for (number, asked) in asked(request) {
            let exists =
                |partition: &u32| tails.contains_key(&TopicPartition { topic: asked.key.topic, partition: *partition });
            let decision = if asked.parts.keys().all(exists) {
                decide(producers.entry(asked.key), &asked, by)
            } else {
                Decision::Refused(RefusalReason::UnknownPartition)
            };
            if matches!(decision, Decision::Append) {
                changed.push(asked.key);
            }
            decisions.0.insert(number, decision);
        }
        (decisions, changed)
    }

    /// The outcome of a part whose first record would get `next_offset`.
    pub fn outcome(
        &self,
        producers: &mut TopicProducers,
        partition: TopicPartition,
        (batch, sequence, part_of): (&CommitBatch, ProducerSequence, PartOf),
        next_offset: i64,
    ) -> BatchOutcome {
        let state = producers.entry(TopicProducerKey { topic: partition.topic, producer: sequence.id });
        let part = state.part(sequence, partition.partition);
        match self.0.get(&part_of.number) {
            Some(Decision::Append) => {
                if let Some(part) = part.filter(|part| part.records == batch.record_count) {
                    part.base_offset = next_offset;
                }
                BatchOutcome::Appended { base_offset: next_offset }
            }
            Some(Decision::Known(parts)) => {
                // It may have left the window since, for others of this commit.
                let known = parts.iter().find(|part| part.partition == partition.partition);
                let base_offset = part.as_deref().or(known).map(|part| part.base_offset);
                match base_offset.filter(|base_offset| *base_offset != NOT_YET) {
                    Some(base_offset) => BatchOutcome::Duplicate { base_offset },
                    None => BatchOutcome::DuplicateElsewhere,
                }
            }
            Some(Decision::Elsewhere) => BatchOutcome::DuplicateElsewhere,
            Some(Decision::Refused(reason)) => BatchOutcome::Refused(*reason),
            // Every part was seen when the decisions were made.
            None => BatchOutcome::Refused(RefusalReason::UnknownPartition),
        }
    }
}

fn asked(request: &CommitRequest) -> BTreeMap<u32, Asked> {
    let mut all: BTreeMap<u32, Asked> = BTreeMap::new();
    for run in &request.runs {
        for batch in &run.batches {
            let Some((sequence, part_of)) = batch.producer.zip(batch.part) else { continue };
            let key = TopicProducerKey { topic: run.partition.topic, producer: sequence.id };
            let new = || Asked { key, sequence, part_of, parts: BTreeMap::new() };
            let asked = all.entry(part_of.number).or_insert_with(new);
            asked.parts.insert(run.partition.partition, batch.record_count);
        }
    }
    all
}

fn decide(state: &mut TopicProducerState, asked: &Asked, (ids, rules): (ProducerIds, Rules)) -> Decision {
    let Asked { sequence, part_of, parts, .. } = asked;
    let last_sequence = advance_sequence(sequence.first_sequence, part_of.records.saturating_sub(1));
    match standing(state.epoch, &state.window, *sequence, last_sequence, ids, rules) {
        Standing::Refused(reason) => return Decision::Refused(reason),
        Standing::Known(_) if rules.window_forgotten => return Decision::Append,
        Standing::Known(place) => {
            let known = &state.window[place];
            let same_parts = known.parts.iter().map(|part| (&part.partition, &part.records)).eq(parts);
            let same_map = known.partition_map_version == part_of.partition_map_version;
            return if same_parts && same_map { Decision::Known(known.parts.clone()) } else { Decision::Elsewhere };
        }
        Standing::Next => {}
    }
    // The offsets are filled in as the parts are appended.
    let part = |(partition, records): (&u32, &u32)| RequestPart {
        partition: *partition,
        records: *records,
        base_offset: NOT_YET,
    };
    let request = NumberedRequest {
        first_sequence: sequence.first_sequence,
        last_sequence,
        partition_map_version: part_of.partition_map_version,
        parts: parts.iter().map(part).collect(),
    };
    state.remember(sequence.epoch, request);
    Decision::Append
}

#[cfg(test)]
mod tests;
