//! Judges a whole history with the judge of streams.
//!
//! A history's values have no sequences, so they are given some. Acknowledged batches of one process, of which each was
//! sent for the last time before the next one was sent at all, are a lane. Nothing is promised of the order of other
//! batches: each is a lane of its own. What needs the times of calls, ends of logs or producers' identities is left to
//! [`crate::judge`].

use std::collections::BTreeMap;

use super::{PartitionJudge, Place, ReaderId, Record, Settings, Start, Verdict};
use crate::{
    Drained, History, Moment, Op, Partition, Polled, Process, Seen, Value,
    log::{Log, collect},
};

/// What of a history's promises the judge of streams finds broken.
pub fn replay(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    for (partition, log) in &collect(history) {
        verdict.merge(Replay::new(*partition, log).play(history));
    }
    verdict
}

/// A value's lane and its place there.
type Name = (u32, u64);

/// One partition.
struct Replay<'a> {
    partition: Partition,
    log: &'a Log<'a>,
    judge: PartitionJudge,
    names: BTreeMap<Value, Name>,
    readers: BTreeMap<Process, ReaderId>,
}

/// What the judge is told, in the order of time.
enum Told<'a> {
    Drained(&'a Drained),
    Acked {
        batch: usize,
        base_offset: i64,
    },
    Polled(Process, &'a Polled),
    /// A batch of unknown outcome.
    Unknown(usize),
}

impl<'a> Replay<'a> {
    fn new(partition: Partition, log: &'a Log<'a>) -> Self {
        let place = Place { topic: partition.topic.to_string(), partition: partition.partition };
        let judge = PartitionJudge::new(place, Settings::default());
        Self { partition, log, judge, names: name(log), readers: BTreeMap::new() }
    }

    fn play(mut self, history: &History) -> Verdict {
        let log = self.log;
        for batch in log.batches.iter().filter(|batch| batch.failed()) {
            let (lane, first) = self.names[&batch.values[0]];
            self.judge.failed(lane, first, batch.values.len() as u64);
        }
        for (at, told) in self.in_order_of_time(history) {
            match told {
                Told::Drained(drained) => self.drain(drained, at),
                Told::Polled(process, polled) => self.poll(process, polled, at),
                Told::Acked { batch, base_offset } => {
                    let values = &log.batches[batch].values;
                    let (lane, first) = self.names[&values[0]];
                    self.judge.acked(lane, first, values.len() as u64, base_offset, at.0);
                }
                Told::Unknown(batch) => {
                    let values = &log.batches[batch].values;
                    let (lane, first) = self.names[&values[0]];
                    self.judge.unknown(lane, first, values.len() as u64);
                }
            }
        }
        self.judge.finish()
    }

    /// A reading of the whole log stands where it began: it need not have what came to be known later.
    fn in_order_of_time(&self, history: &'a History) -> Vec<(Moment, Told<'a>)> {
        let mut told = Vec::new();
        for event in history.events() {
            let returned = event.returned.unwrap_or(event.invoked);
            match &event.op {
                Op::Drain(drained) if drained.partition == self.partition => {
                    told.push((event.invoked, Told::Drained(drained)));
                }
                Op::Poll(polled) if polled.partition == self.partition => {
                    told.push((returned, Told::Polled(event.process, polled)));
                }
                _ => {}
            }
        }
        let places = self.log.places();
        for (index, batch) in self.log.batches.iter().enumerate() {
            let acks = batch.acks().map(|ack| (ack.at, Told::Acked { batch: index, base_offset: ack.base_offset }));
            told.extend(acks);
            if batch.first_ack().is_none() && !batch.failed() {
                let seen = batch.values.iter().filter_map(|value| places.get(value).map(|(_, when)| *when)).min();
                told.push((seen.unwrap_or(batch.first_invoked()), Told::Unknown(index)));
            }
        }
        told.sort_by_key(|(at, told)| (*at, !matches!(told, Told::Drained(_))));
        told
    }

    fn poll(&mut self, process: Process, polled: &Polled, at: Moment) {
        let reader = *self.readers.entry(process).or_insert_with(|| {
            let start = if polled.from == 0 { Start::Earliest } else { Start::Anywhere };
            self.judge.reader(&process.to_string(), start)
        });
        if self.judge.next_offset(reader) != Some(polled.from) {
            self.judge.reposition(reader, polled.from);
        }
        self.read(reader, &polled.records, at);
    }

    fn drain(&mut self, drained: &Drained, at: Moment) {
        let reader = self.judge.reader("the reader of the whole log", Start::Earliest);
        if drained.log_start > 0 {
            self.judge.reposition(reader, drained.log_start);
        }
        self.read(reader, &drained.records, at);
        self.judge.leave(reader, true);
    }

    fn read(&mut self, reader: ReaderId, records: &[Seen], at: Moment) {
        for seen in records {
            let name = seen.value.and_then(|value| self.names.get(&value));
            let record = match name {
                Some((producer, sequence)) => Record::Sound { producer: *producer, sequence: *sequence },
                None => Record::Corrupt("nobody sent this to the partition"),
            };
            self.judge.read(reader, seen.offset, record, at.0);
        }
    }
}

/// The end of a process's lane: the place of its last batch's last attempt in the history, and the next free sequence.
struct LaneEnd {
    lane: u32,
    last: usize,
    next: u64,
}

/// Gives each value a lane and a sequence.
fn name(log: &Log<'_>) -> BTreeMap<Value, Name> {
    let mut names = BTreeMap::new();
    let mut lanes = 0..;
    let mut ends: BTreeMap<Process, Vec<LaneEnd>> = BTreeMap::new();
    // Batches stand in the order of their first attempts.
    for batch in &log.batches {
        let orders = batch.attempts.iter().map(|attempt| attempt.order);
        let (first, last) = (orders.clone().min().unwrap_or(0), orders.max().unwrap_or(0));
        let ends = ends.entry(batch.process).or_default();
        let free = ends.iter().enumerate().filter(|(_, end)| end.last < first).max_by_key(|(_, end)| end.last);
        let mut end = match free.map(|(at, _)| at) {
            Some(at) if batch.first_ack().is_some() => ends.swap_remove(at),
            _ => LaneEnd { lane: lanes.next().unwrap_or(u32::MAX), last, next: 0 },
        };
        for (sequence, value) in (end.next..).zip(&batch.values) {
            names.insert(*value, (end.lane, sequence));
        }
        (end.last, end.next) = (last, end.next + batch.values.len() as u64);
        if batch.first_ack().is_some() {
            ends.push(end);
        }
    }
    names
}
