//! A history, sorted by partition: what was sent, seen and stated of each log.

use std::collections::BTreeMap;

use crate::{Damaged, Drained, Gateway, History, Identity, Indexed, Moment, Op, Outcome, Partition, Process, Value};

/// All that the history says of one log.
#[derive(Debug, Default)]
pub(crate) struct Log<'a> {
    /// Batches in the order of their first attempt, with all attempts.
    pub batches: Vec<Batch>,
    /// The batch that holds a value, and the place of the value in it.
    pub by_value: BTreeMap<Value, (usize, i64)>,
    /// Every sighting of a record by a reader, in the order of the history.
    pub sightings: Vec<Sighting>,
    /// Messages of readers' streams, in the order of the history.
    pub polls: Vec<Poll>,
    /// Readers were told that bytes are damaged: who, of what, and when.
    pub damages: Vec<(Process, &'a Damaged, Moment)>,
    /// Statements of the end of the log that were asked for.
    pub ends: Vec<End>,
    /// The last reading of the whole log, when it was asked for, and when it was over.
    pub drain: Option<(&'a Drained, Moment, Moment)>,
    /// Looks at the index.
    pub indexes: Vec<(&'a Indexed, Moment)>,
}

/// A batch with all attempts to append it.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub process: Process,
    pub values: Vec<Value>,
    pub identity: Option<Identity>,
    pub attempts: Vec<Attempt>,
}

/// One attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// Place in the history: the order of calls.
    pub order: usize,
    pub invoked: Moment,
    pub returned: Option<Moment>,
    pub outcome: Outcome<i64>,
}

/// An ack: base offset and when it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ack {
    pub base_offset: i64,
    pub invoked: Moment,
    pub at: Moment,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sighting {
    pub offset: i64,
    pub value: Option<Value>,
    pub at: Moment,
    pub process: Process,
}

#[derive(Debug, Clone)]
pub(crate) struct Poll {
    pub process: Process,
    pub gateway: Gateway,
    pub stream: u64,
    pub from: i64,
    pub offsets: Vec<i64>,
    pub high_watermark: i64,
    pub invoked: Moment,
    pub at: Moment,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub process: Process,
    pub end: i64,
    pub invoked: Moment,
    pub at: Moment,
}

impl Batch {
    /// The acks of all attempts.
    pub fn acks(&self) -> impl Iterator<Item = Ack> + '_ {
        self.attempts.iter().filter_map(|attempt| match (attempt.outcome, attempt.returned) {
            (Outcome::Ok(base_offset), Some(at)) => Some(Ack { base_offset, invoked: attempt.invoked, at }),
            _ => None,
        })
    }

    /// The ack that came first.
    pub fn first_ack(&self) -> Option<Ack> {
        self.acks().min_by_key(|ack| ack.at)
    }

    /// Whether every attempt failed for certain.
    pub fn failed(&self) -> bool {
        self.attempts.iter().all(|attempt| attempt.outcome == Outcome::Failed)
    }

    /// When it was first sent.
    pub fn first_invoked(&self) -> Moment {
        self.attempts.iter().map(|attempt| attempt.invoked).min().unwrap_or(Moment(0))
    }

    /// Number of its records, as a difference of offsets.
    pub fn length(&self) -> i64 {
        i64::try_from(self.values.len()).unwrap_or(i64::MAX)
    }
}

impl Log<'_> {
    /// The value's batch and the offset that the value has when the batch begins at `base`.
    pub fn batch_of(&self, value: Value) -> Option<(&Batch, i64)> {
        let (batch, place) = self.by_value.get(&value)?;
        Some((&self.batches[*batch], *place))
    }

    /// Where each value was seen, by readers only: the lowest offset and the moment of the first sighting there.
    pub fn places(&self) -> BTreeMap<Value, (i64, Moment)> {
        let mut places = BTreeMap::new();
        for sighting in &self.sightings {
            if let Some(value) = sighting.value {
                let place = places.entry(value).or_insert((sighting.offset, sighting.at));
                *place = (*place).min((sighting.offset, sighting.at));
            }
        }
        places
    }
}

/// Sorts a history by partition.
pub(crate) fn collect(history: &History) -> BTreeMap<Partition, Log<'_>> {
    let mut logs: BTreeMap<Partition, Log<'_>> = BTreeMap::new();
    for (order, event) in history.events().iter().enumerate() {
        let (process, invoked) = (event.process, event.invoked);
        let at = event.returned.unwrap_or(invoked);
        match &event.op {
            Op::Send(sent) => {
                let log = logs.entry(sent.partition).or_default();
                let attempt = Attempt { order, invoked, returned: event.returned, outcome: sent.outcome };
                let known = sent.values.first().and_then(|value| log.by_value.get(value));
                if let Some((batch, _)) = known {
                    log.batches[*batch].attempts.push(attempt);
                    continue;
                }
                for (place, value) in (0..).zip(&sent.values) {
                    log.by_value.insert(*value, (log.batches.len(), place));
                }
                let (values, identity) = (sent.values.clone(), sent.identity);
                log.batches.push(Batch { process, values, identity, attempts: vec![attempt] });
            }
            Op::Poll(polled) => {
                let log = logs.entry(polled.partition).or_default();
                let seen = |seen: &crate::Seen| Sighting { offset: seen.offset, value: seen.value, at, process };
                log.sightings.extend(polled.records.iter().map(seen));
                log.polls.push(Poll {
                    process,
                    gateway: polled.gateway,
                    stream: polled.stream,
                    from: polled.from,
                    offsets: polled.records.iter().map(|record| record.offset).collect(),
                    high_watermark: polled.high_watermark,
                    invoked,
                    at,
                });
            }
            Op::Damage(damaged) => logs.entry(damaged.partition).or_default().damages.push((process, damaged, at)),
            Op::End(ended) => {
                if let Outcome::Ok(end) = ended.outcome {
                    logs.entry(ended.partition).or_default().ends.push(End { process, end, invoked, at });
                }
            }
            Op::Drain(drained) => {
                let log = logs.entry(drained.partition).or_default();
                let seen = |seen: &crate::Seen| Sighting { offset: seen.offset, value: seen.value, at, process };
                log.sightings.extend(drained.records.iter().map(seen));
                log.ends.push(End { process, end: drained.high_watermark, invoked, at });
                log.drain = Some((drained, invoked, at));
            }
            Op::Index(indexed) => logs.entry(indexed.partition).or_default().indexes.push((indexed, at)),
        }
    }
    logs
}
