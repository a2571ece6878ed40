//! A producer that batches by itself: its feed, its lanes, and what becomes of batches. It does no I/O.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;

use super::{
    feed::{Due, Feed},
    lane::{Lane, Limits, Sent},
};
use crate::{
    clock::nanos,
    run::shared::{LogId, Shared},
    wire::stamp::{self, Home, Stamp},
};

/// Records are taken up in steps of so many bytes, so that answers are looked at in between.
const STEP_BYTES: usize = 1 << 20;

/// See the module.
pub struct Writer {
    shared: Arc<Shared>,
    number: u32,
    feed: Feed,
    lanes: Vec<(LogId, Lane)>,
    places: BTreeMap<LogId, usize>,
    limits: Limits,
    /// Of the producer: id and epoch.
    identity: (i64, i16),
    /// A lane is full and has no place, so nothing more is taken up.
    is_blocked: bool,
    unblocked_ns: u64,
    /// Of the records that are being taken up: when they were due, and bytes. Kept for its room.
    taken: Vec<(u64, u64)>,
}

/// A batch to send.
pub struct Outgoing {
    /// Names it in answers.
    pub id: u64,
    /// Where to.
    pub log: LogId,
    /// As encoded.
    pub bytes: Bytes,
}

impl Writer {
    /// Producer `number` of the run, with the identity that the service gave it and its limit of batches in flight.
    pub fn new(shared: Arc<Shared>, number: u32, identity: (i64, i16), in_flight_max: usize) -> Self {
        let producers = &shared.scenario.producers;
        let limits = Limits {
            batch_bytes: producers.batch_bytes,
            in_flight: producers.in_flight.min(in_flight_max).max(1),
            linger_ns: nanos(producers.linger),
        };
        let feed = Feed::new(&shared.scenario, number, shared.start_ns);
        let (lanes, places) = (Vec::new(), BTreeMap::new());
        let taken = Vec::new();
        Self { shared, number, feed, lanes, places, limits, identity, is_blocked: false, unblocked_ns: 0, taken }
    }

    /// Takes up what is due and closes what ought to go out. True: more is due, and there is a place for it.
    pub fn gather(&mut self, now_ns: u64, stop_ns: u64) -> bool {
        let mut taken_bytes = 0;
        let mut is_blocked = false;
        let mut taken = mem::take(&mut self.taken);
        while let Some(due) = self.due(now_ns, stop_ns) {
            if taken_bytes >= STEP_BYTES {
                break;
            }
            if !self.take_up(due, now_ns) {
                is_blocked = true;
                break;
            }
            taken_bytes += due.draft.value_bytes;
            taken.push((due.at_ns, due.draft.value_bytes as u64));
        }
        if !taken.is_empty() {
            // Together: others wait for this lock.
            let mut recorder = self.shared.recorder.writer(self.number);
            taken.drain(..).for_each(|(at_ns, bytes)| recorder.taken(at_ns, bytes));
        }
        self.taken = taken;
        if self.is_blocked && !is_blocked {
            self.unblocked_ns = now_ns;
        }
        self.is_blocked = is_blocked;
        for place in 0..self.lanes.len() {
            if self.lanes[place].1.ripe_ns(&self.limits).is_some_and(|ripe_ns| ripe_ns <= now_ns) {
                self.seal(place, false, now_ns);
            }
        }
        !is_blocked && self.due(now_ns, stop_ns).is_some()
    }

    fn due(&self, now_ns: u64, stop_ns: u64) -> Option<Due> {
        self.feed.next(now_ns).filter(|due| due.at_ns <= now_ns && due.at_ns <= stop_ns)
    }

    /// False: there is no place.
    fn take_up(&mut self, due: Due, now_ns: u64) -> bool {
        let Due { at_ns, draft, log } = due;
        let place = *self.places.entry(log).or_insert_with(|| {
            self.lanes.push((log, Lane::default()));
            self.lanes.len() - 1
        });
        if !self.lanes[place].1.has_room(draft.value_bytes, &self.limits) {
            if !self.lanes[place].1.has_place(&self.limits) {
                return false;
            }
            self.seal(place, true, now_ns);
        }
        let (lane, feed) = (&mut self.lanes[place].1, &mut self.feed);
        let stamp =
            Stamp { run: self.shared.run, producer: self.number, sequence: lane.next_sequence(), intended_ns: at_ns };
        // A key belongs to all feeds and not to this one's moment, but that cannot be said here.
        let mut key = [0; MAX_KEY_BYTES];
        let key = feed.key(&draft).map(|bytes| {
            let length = bytes.len().min(MAX_KEY_BYTES);
            key[..length].copy_from_slice(&bytes[..length]);
            &key[..length]
        });
        lane.append(key, draft.value_bytes, at_ns, |value| {
            feed.payload(&draft, &mut value[stamp::STAMP_BYTES..]);
            stamp::put(value, stamp, Home { topic: log.topic, partition: log.partition, key });
        });
        feed.step();
        true
    }

    fn seal(&mut self, place: usize, full: bool, now_ns: u64) {
        let (producer_id, epoch) = self.identity;
        let earliest_ns = self.lanes[place].1.seal(producer_id, epoch, full, &self.limits);
        let late_ns = now_ns.saturating_sub(earliest_ns.max(self.unblocked_ns));
        self.shared.recorder.writer(self.number).late(late_ns, now_ns);
    }

    /// When to look again if nothing comes in: a batch ripens, a pause ends, a record is due.
    pub fn next_ns(&self, stop_ns: u64) -> u64 {
        let ripe = self.lanes.iter().filter_map(|(_, lane)| lane.ripe_ns(&self.limits));
        let tries = self.lanes.iter().filter_map(|(_, lane)| lane.next_try_ns()).filter(|at_ns| *at_ns > 0);
        // What becomes due meanwhile joins a batch that is gathered; alone it may wait as long as any.
        let due = self.feed.next(0).filter(|due| !self.is_blocked && due.at_ns <= stop_ns);
        let due = due.map(|due| due.at_ns.saturating_add(self.limits.linger_ns));
        ripe.chain(tries).chain(due).min().unwrap_or(u64::MAX)
    }

    /// Nothing is due any more, gathered or unanswered.
    pub fn is_done(&self, now_ns: u64, stop_ns: u64) -> bool {
        self.feed.next(now_ns).is_none_or(|due| due.at_ns > stop_ns)
            && self.lanes.iter().all(|(_, lane)| lane.is_idle())
    }

    /// Gives out a batch that may be sent now, if `may_send`.
    pub fn next_to_send(&mut self, now_ns: u64) -> Option<Outgoing> {
        let place = self.lanes.iter().position(|(_, lane)| lane.to_send(now_ns).is_some())?;
        let (log, lane) = &mut self.lanes[place];
        let (number, bytes, attempts) = lane.send(self.identity.0, self.identity.1, now_ns)?;
        if attempts > 1 {
            self.shared.recorder.count(self.number, now_ns, |counts| counts.retried += 1);
        }
        Some(Outgoing { id: (place as u64) << 40 | number, log: *log, bytes })
    }

    /// Whether [`Self::next_to_send`] has one.
    pub fn has_to_send(&self, now_ns: u64) -> bool {
        self.lanes.iter().any(|(_, lane)| lane.to_send(now_ns).is_some())
    }

    /// A batch stands at an offset. False: no such batch is under way.
    pub fn acked(&mut self, id: u64, base_offset: i64, now_ns: u64) -> bool {
        let Some((log, lane)) = self.lanes.get_mut(place_of(id)) else { return false };
        let (log, settled) = (*log, lane.acked(number_of(id), now_ns, &self.limits));
        let Some(sent) = settled else { return false };
        let at_ns = now_ns.saturating_sub(self.shared.start_ns);
        self.shared.judges.of(log).acked(self.number, sent.first, sent.count(), base_offset, at_ns);
        let mut recorder = self.shared.recorder.writer(self.number);
        recorder.acked(&sent.intended_ns, now_ns);
        let counts = &mut recorder.second(now_ns).counts;
        counts.acked_records += sent.count();
        counts.acked_bytes += sent.value_bytes;
        true
    }

    /// A batch was definitely not appended, and would not be when it is sent again.
    pub fn failed(&mut self, id: u64, now_ns: u64) -> bool {
        let Some((log, lane)) = self.lanes.get_mut(place_of(id)) else { return false };
        let (log, settled) = (*log, lane.settle(number_of(id), now_ns, &self.limits));
        let Some(sent) = settled else { return false };
        self.shared.judges.of(log).failed(self.number, sent.first, sent.count());
        self.shared.recorder.count(self.number, now_ns, |counts| counts.failed_records += sent.count());
        true
    }

    /// How often a batch under way was sent.
    pub fn attempts(&self, id: u64) -> u32 {
        self.lanes.get(place_of(id)).map_or(0, |(_, lane)| lane.attempts(number_of(id)))
    }

    /// A batch is to be sent again, not before that time.
    pub fn again(&mut self, id: u64, not_before_ns: u64) -> bool {
        self.lanes.get_mut(place_of(id)).is_some_and(|(_, lane)| lane.again(number_of(id), not_before_ns))
    }

    /// There is a connection again: all that is unanswered is sent again. That nothing was taken up meanwhile is not the client's
    /// doing.
    pub fn rewind(&mut self, now_ns: u64) {
        self.unblocked_ns = now_ns;
        self.lanes.iter_mut().for_each(|(_, lane)| lane.rewind());
    }

    /// The service gave the producer another identity; what was sent under the old one is of unknown outcome.
    pub fn renew(&mut self, identity: (i64, i16), now_ns: u64) {
        self.identity = identity;
        for place in 0..self.lanes.len() {
            let (log, lane) = &mut self.lanes[place];
            let (log, unknown) = (*log, lane.renumber());
            self.unknown(log, &unknown, now_ns);
        }
    }

    /// Nobody waits any longer: what was sent is of unknown outcome, what was never sent definitely failed.
    pub fn give_up(&mut self, now_ns: u64) {
        let stop_ns = self.shared.phase.borrow().stop_ns;
        if self.feed.next(now_ns).is_some_and(|due| due.at_ns <= stop_ns) {
            self.shared.left_behind.store(true, Ordering::Relaxed);
        }
        for place in 0..self.lanes.len() {
            let (log, lane) = &mut self.lanes[place];
            let log = *log;
            let (unknown, unsent): (Vec<_>, Vec<_>) = lane.give_up().into_iter().partition(|sent| sent.attempts > 0);
            self.unknown(log, &unknown, now_ns);
            for sent in unsent {
                self.shared.judges.of(log).failed(self.number, sent.first, sent.count());
                self.shared.recorder.count(self.number, now_ns, |counts| counts.failed_records += sent.count());
            }
        }
    }

    fn unknown(&self, log: LogId, unknown: &[Sent], now_ns: u64) {
        for sent in unknown {
            self.shared.judges.of(log).unknown(self.number, sent.first, sent.count());
            self.shared.recorder.count(self.number, now_ns, |counts| counts.unknown_records += sent.count());
        }
    }
}

/// Keys are short: rendered numbers, or a column of the input.
const MAX_KEY_BYTES: usize = 256;

fn place_of(id: u64) -> usize {
    usize::try_from(id >> 40).unwrap_or(usize::MAX)
}

fn number_of(id: u64) -> u64 {
    id & ((1 << 40) - 1)
}
