//! One consumer's places in all logs, and what it tells of what it gets.

use std::sync::{Arc, atomic::Ordering};

use eagre_verify::stream::{PartitionJudge, ReaderId, Record, Start};
use eagre_workload::From;

use super::stats::ConsumerStats;
use crate::{
    run::shared::{Finish, LogId, Shared},
    wire::{
        batch::{self, Malformed},
        stamp::{self, Home, Stamped},
    },
};

/// See the module.
pub struct Reading {
    shared: Arc<Shared>,
    number: u32,
    stats: Arc<ConsumerStats>,
    places: Vec<Place>,
    /// It found records when it came, and has not read all of these.
    backlog: Option<Vec<i64>>,
    opened_ns: u64,
    /// What it gets is as new as the service can make it, so that its times say something.
    measures: bool,
    intended_ns: Vec<u64>,
}

struct Place {
    log: LogId,
    reader: ReaderId,
    next_offset: i64,
    /// The first batch of a stream may begin below the place that was asked for.
    is_fresh: bool,
}

impl Reading {
    /// A consumer that begins at the given offsets, or at the first record of each log.
    pub fn new(
        shared: Arc<Shared>,
        number: u32,
        name: &str,
        from: From,
        begins: Option<&[i64]>,
        stats: Arc<ConsumerStats>,
        measures: bool,
    ) -> Self {
        let start = match from {
            From::Earliest => Start::Earliest,
            From::Latest => Start::Anywhere,
        };
        let mut ends = Vec::new();
        let mut places = Vec::new();
        for (index, log) in shared.judges.logs().enumerate() {
            let mut judge = shared.judges.of(log);
            let reader = judge.reader(name, start);
            let next_offset = begins.and_then(|begins| begins.get(index)).copied().unwrap_or(0);
            if start == Start::Anywhere {
                judge.reposition(reader, next_offset);
            }
            stats.positions[index].store(next_offset, Ordering::Relaxed);
            ends.push(judge.end().unwrap_or(0));
            places.push(Place { log, reader, next_offset, is_fresh: true });
        }
        let backlog = (from == From::Earliest && ends.iter().any(|end| *end > 0)).then_some(ends);
        let opened_ns = shared.now_ns();
        let measures = measures && backlog.is_none();
        Self { shared, number, stats, places, backlog, opened_ns, measures, intended_ns: Vec::new() }
    }

    /// Where to go on in each log, in their order.
    pub fn next_offsets(&self) -> impl Iterator<Item = (LogId, i64)> {
        self.places.iter().map(|place| (place.log, place.next_offset))
    }

    /// A stream is opened at those places.
    pub fn reopened(&mut self) {
        self.places.iter_mut().for_each(|place| place.is_fresh = true);
    }

    /// Whole batches came in of the log at a place of [`Self::next_offsets`]. Returns the bytes of their values.
    pub fn batches(&mut self, place: usize, bytes: &[u8], next_offset: i64) -> u64 {
        let now_ns = self.shared.now_ns();
        let shared = self.shared.clone();
        let Some(Place { log, .. }) = self.places.get(place) else { return 0 };
        let mut judge = shared.judges.of(*log);
        let mut seen = Seen::default();
        let walked = batch::walk(bytes, |record| {
            seen.bytes += self.record(place, &mut judge, &record, now_ns);
            seen.records += 1;
        });
        if let Err(Malformed(why)) = walked {
            let place = &mut self.places[place];
            judge.read(place.reader, place.next_offset, Record::Corrupt(why), now_ns - shared.start_ns.min(now_ns));
            judge.reposition(place.reader, next_offset);
            place.next_offset = next_offset;
        }
        drop(judge);
        self.count(place, seen, now_ns);
        seen.bytes
    }

    /// Records of the log at a place of [`Self::next_offsets`] came in, in order and already out of their batches. Returns the
    /// bytes of their values.
    #[cfg(feature = "kafka")]
    pub fn records<'a>(&mut self, place: usize, records: impl IntoIterator<Item = batch::Record<'a>>) -> u64 {
        let now_ns = self.shared.now_ns();
        let shared = self.shared.clone();
        let Some(Place { log, .. }) = self.places.get(place) else { return 0 };
        let mut judge = shared.judges.of(*log);
        let mut seen = Seen::default();
        for record in records {
            seen.bytes += self.record(place, &mut judge, &record, now_ns);
            seen.records += 1;
        }
        drop(judge);
        self.count(place, seen, now_ns);
        seen.bytes
    }

    /// A record of a log, already out of its batch. Returns the bytes of its value.
    fn record(&mut self, place: usize, judge: &mut PartitionJudge, record: &batch::Record<'_>, now_ns: u64) -> u64 {
        let place = &mut self.places[place];
        if place.is_fresh && record.offset < place.next_offset {
            return 0;
        }
        place.is_fresh = false;
        let LogId { topic, partition } = place.log;
        let home = Home { topic, partition, key: record.key };
        let what = match stamp::get(record.value, home, self.shared.run) {
            Stamped::Sound(stamp) => {
                if self.measures {
                    self.intended_ns.push(stamp.intended_ns);
                }
                Record::Sound { producer: stamp.producer, sequence: stamp.sequence }
            }
            Stamped::Foreign => Record::Foreign,
            Stamped::Corrupt => Record::Corrupt("its checksum does not match"),
        };
        judge.read(place.reader, record.offset, what, now_ns.saturating_sub(self.shared.start_ns));
        place.next_offset = record.offset + 1;
        record.value.len() as u64
    }

    fn count(&mut self, place: usize, seen: Seen, now_ns: u64) {
        let next_offset = self.places[place].next_offset;
        self.stats.positions[place].store(next_offset, Ordering::Relaxed);
        self.stats.records.fetch_add(seen.records, Ordering::Relaxed);
        self.stats.bytes.fetch_add(seen.bytes, Ordering::Relaxed);
        if seen.records > 0 && self.backlog.is_some() {
            self.stats.first_record(now_ns - self.opened_ns);
        }
        let mut recorder = self.shared.recorder.writer(self.number);
        let counts = &mut recorder.second(now_ns).counts;
        counts.read_records += seen.records;
        counts.read_bytes += seen.bytes;
        // Producers of one log may be out of step with each other.
        self.intended_ns.sort_unstable();
        recorder.arrived(&self.intended_ns, now_ns);
        drop(recorder);
        self.intended_ns.clear();
        if self.backlog.as_ref().is_some_and(|ends| self.has_read(ends)) {
            self.backlog = None;
            self.stats.caught_up(now_ns - self.opened_ns);
        }
    }

    fn has_read(&self, ends: &[i64]) -> bool {
        self.places.iter().zip(ends).all(|(place, end)| place.next_offset >= *end)
    }

    /// Whether everything is read that is to be read.
    pub fn is_finished(&self, finish: &Finish) -> bool {
        self.has_read(&finish.ends)
    }

    /// It goes: having read everything that it was to read, or before.
    pub fn leave(self, complete: bool) {
        for place in &self.places {
            self.shared.judges.of(place.log).leave(place.reader, complete);
        }
        self.stats.left();
    }
}

#[derive(Clone, Copy, Default)]
struct Seen {
    records: u64,
    bytes: u64,
}
