//! One consumer's places in all logs, and what it tells of what it gets.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
};

use eagre_verify::stream::{ReaderId, Record, Start};
use eagre_workload::{Consumers, From};

use super::stats::ConsumerStats;
use crate::{
    clock::nanos,
    run::shared::{Finish, HURRY, LogId, Shared},
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
    last_read_ns: u64,
    /// What it gets is as new as the service can make it, so that its times say something.
    measures: bool,
    intended_ns: Vec<u64>,
    came: Vec<Came>,
}

/// A record as it came, once its checksum was looked at.
struct Came {
    offset: i64,
    what: Stamped,
    value_bytes: u64,
}

impl Came {
    fn of(record: &batch::Record<'_>, log: LogId, run: u32) -> Self {
        let home = Home { topic: log.topic, partition: log.partition, key: record.key };
        let what = stamp::get(record.value, home, run);
        Self { offset: record.offset, what, value_bytes: record.value.len() as u64 }
    }
}

fn judged(what: Stamped) -> Record {
    match what {
        Stamped::Sound(stamp) => Record::Sound { producer: stamp.producer, sequence: stamp.sequence },
        Stamped::Foreign => Record::Foreign,
        Stamped::Corrupt => Record::Corrupt("its checksum does not match"),
    }
}

struct Place {
    log: LogId,
    reader: ReaderId,
    next_offset: i64,
    highest_offset: i64,
    /// The first batch of a stream may begin below the place that was asked for.
    is_fresh: bool,
}

impl Reading {
    /// A consumer that begins at the given offsets, or at the first record of each log.
    pub fn new(
        shared: Arc<Shared>,
        number: u32,
        name: &str,
        kind: &Consumers,
        begins: Option<&[i64]>,
        stats: Arc<ConsumerStats>,
    ) -> Self {
        let from = kind.from;
        let start = match from {
            From::Earliest => Start::Earliest,
            From::Latest => Start::Anywhere,
        };
        stats.came.store(true, Ordering::Relaxed);
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
            places.push(Place { log, reader, next_offset, highest_offset: next_offset, is_fresh: true });
        }
        let backlog = (from == From::Earliest && ends.iter().any(|end| *end > 0)).then_some(ends);
        let opened_ns = shared.now_ns();
        // Those that are slow or away on purpose say nothing of the service.
        let measures = kind.max_bytes_per_s.is_none() && kind.restart_every.is_none() && backlog.is_none();
        Self {
            shared,
            number,
            stats,
            places,
            backlog,
            opened_ns,
            last_read_ns: opened_ns,
            measures,
            intended_ns: Vec::new(),
            came: Vec::new(),
        }
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
        let Some(Place { log, .. }) = self.places.get(place) else { return 0 };
        let (log, run) = (*log, self.shared.run);
        let mut came = mem::take(&mut self.came);
        // Outside of the judge's lock: whoever writes to the log needs that as well.
        let walked = batch::walk(bytes, |record| came.push(Came::of(&record, log, run)));
        let damaged = walked.err().map(|Malformed(why)| (why, next_offset));
        self.take(place, came, damaged)
    }

    /// Records of the log at a place of [`Self::next_offsets`] came in, in order and already out of their batches. Returns the
    /// bytes of their values.
    #[cfg(feature = "kafka")]
    pub fn records<'a>(&mut self, place: usize, records: impl IntoIterator<Item = batch::Record<'a>>) -> u64 {
        let Some(Place { log, .. }) = self.places.get(place) else { return 0 };
        let (log, run) = (*log, self.shared.run);
        let mut came = mem::take(&mut self.came);
        came.extend(records.into_iter().map(|record| Came::of(&record, log, run)));
        self.take(place, came, None)
    }

    /// Tells the judge, in one go. `damaged`: what follows cannot be read, up to an offset.
    fn take(&mut self, place: usize, mut came: Vec<Came>, damaged: Option<(&'static str, i64)>) -> u64 {
        let now_ns = self.shared.now_ns();
        let at_ns = now_ns.saturating_sub(self.shared.start_ns);
        let mut seen = Seen::default();
        let at = &mut self.places[place];
        let mut judge = self.shared.judges.of(at.log);
        for Came { offset, what, value_bytes } in came.drain(..) {
            if at.is_fresh && offset < at.next_offset {
                continue;
            }
            at.is_fresh = false;
            if let (Stamped::Sound(stamp), true) = (what, self.measures) {
                self.intended_ns.push(stamp.intended_ns);
            }
            judge.read(at.reader, offset, judged(what), at_ns);
            at.next_offset = offset + 1;
            seen.bytes += value_bytes;
            seen.records += 1;
        }
        if let Some((why, next_offset)) = damaged {
            judge.read(at.reader, at.next_offset, Record::Corrupt(why), at_ns);
            judge.reposition(at.reader, next_offset);
            at.next_offset = next_offset;
        }
        drop(judge);
        // Only what it never had is progress: a service that gives the same again and again is not waited for.
        if at.next_offset > at.highest_offset {
            at.highest_offset = at.next_offset;
            self.last_read_ns = now_ns;
        }
        self.came = came;
        self.count(place, seen, now_ns);
        seen.bytes
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

    /// Whether nothing new has come for so long that nothing will, or nobody waits any longer.
    pub fn is_in_vain(&self, finish: &Finish) -> bool {
        let now_ns = self.shared.now_ns();
        let since_ns = finish.since_ns.max(self.last_read_ns);
        let hurried_ns = self.shared.phase.borrow().hurried_ns;
        now_ns >= since_ns.saturating_add(finish.patience_ns)
            || hurried_ns.is_some_and(|hurried_ns| now_ns >= hurried_ns + nanos(HURRY))
    }

    /// It goes without having got everything: what it did not get is missing, unless it had no time for it because the run was
    /// interrupted.
    pub fn give_up(&mut self) {
        let is_hurried = self.shared.phase.borrow().hurried_ns.is_some();
        self.leave(!is_hurried);
    }

    /// It goes: having read everything that it was to read, or before.
    pub fn leave(&mut self, complete: bool) {
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
