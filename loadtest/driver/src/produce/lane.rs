//! A lane: what one producer writes to one log, in order.
//!
//! A batch that was refused is sent again only when no later one of the lane is under way any more, so that batches are never
//! overtaken by those behind them.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::wire::batch::{Builder, Identity, renamed};

/// See the module.
#[derive(Default)]
pub struct Lane {
    open: Builder,
    open_intended_ns: Vec<u64>,
    open_value_bytes: usize,
    next_sequence: u64,
    /// What the service has to get next after all that it has acknowledged.
    confirmed_sequence: i32,
    unanswered: VecDeque<Sent>,
    last_sent_ns: u64,
    round_trip_ns: u64,
    /// There was no place for another batch until then.
    free_since_ns: u64,
}

/// A batch that was given to the service, or is to be.
pub struct Sent {
    /// Differs from those of all others of its lane.
    pub number: u64,
    /// As encoded; a clone costs nothing.
    pub bytes: Bytes,
    /// Sequence of its first record, as the stamps have it.
    pub first: u64,
    /// When each record ought to have been sent.
    pub intended_ns: Vec<u64>,
    /// Of all values.
    pub value_bytes: u64,
    /// How often it was sent.
    pub attempts: u32,
    /// As its bytes have it.
    base_sequence: i32,
    /// Its bytes have the identity that the producer had before.
    is_renamed: bool,
    is_under_way: bool,
    not_before_ns: u64,
    sent_ns: u64,
}

/// How a lane batches.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of values in a batch.
    pub batch_bytes: usize,
    /// Batches without an answer.
    pub in_flight: usize,
    /// How long the first record may wait for others.
    pub linger_ns: u64,
}

impl Sent {
    /// Records.
    pub fn count(&self) -> u64 {
        self.intended_ns.len() as u64
    }
}

impl Lane {
    /// Whether another record of so many bytes has a place in the batch that is being gathered.
    pub fn has_room(&self, value_bytes: usize, limits: &Limits) -> bool {
        self.open.is_empty() || self.open_value_bytes + value_bytes <= limits.batch_bytes
    }

    /// Whether another batch may be under way.
    pub fn has_place(&self, limits: &Limits) -> bool {
        self.unanswered.len() < limits.in_flight
    }

    /// Nothing is gathered and nothing unanswered.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty() && self.unanswered.is_empty()
    }

    /// Sequence of the next record.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Takes up a record; `fill` writes its value.
    pub fn append(&mut self, key: Option<&[u8]>, value_bytes: usize, intended_ns: u64, fill: impl FnOnce(&mut [u8])) {
        self.open.append(key, value_bytes, i64::try_from(intended_ns / 1_000_000).unwrap_or(i64::MAX), fill);
        self.open_intended_ns.push(intended_ns);
        self.open_value_bytes += value_bytes;
        self.next_sequence += 1;
    }

    /// When what is gathered ought to go out, full or not; `None` while there is nothing, or no place for it.
    pub fn ripe_ns(&self, limits: &Limits) -> Option<u64> {
        let first_ns = *self.open_intended_ns.first()?;
        if !self.has_place(limits) {
            return None;
        }
        // As a good client does: what may be unanswered is spread over the time of an answer, so that nothing has to wait for one.
        let spread_ns = self.last_sent_ns + self.round_trip_ns / limits.in_flight as u64;
        Some(first_ns.saturating_add(limits.linger_ns).max(spread_ns))
    }

    /// Closes the batch that is gathered; it waits to be sent. Returns when it could have been closed at the earliest.
    pub fn seal(&mut self, producer_id: i64, epoch: i16, full: bool, limits: &Limits) -> u64 {
        let intended_ns = std::mem::take(&mut self.open_intended_ns);
        let due_ns = if full { intended_ns.last().copied() } else { None };
        let ripe_ns = due_ns.or_else(|| intended_ns.first().map(|at| at.saturating_add(limits.linger_ns))).unwrap_or(0);
        let spread_ns = if full { 0 } else { self.last_sent_ns + self.round_trip_ns / limits.in_flight as u64 };
        let count = intended_ns.len() as u64;
        let base_sequence = self.sequence_behind(self.unanswered.len());
        let identity = Identity { producer_id, epoch, base_sequence };
        let first = self.next_sequence - count;
        self.unanswered.push_back(Sent {
            number: first,
            bytes: self.open.seal(identity),
            first,
            intended_ns,
            value_bytes: std::mem::take(&mut self.open_value_bytes) as u64,
            attempts: 0,
            base_sequence,
            is_renamed: false,
            is_under_way: false,
            not_before_ns: 0,
            sent_ns: 0,
        });
        ripe_ns.max(spread_ns).max(self.free_since_ns)
    }

    /// The batch to send next, if one may be sent now.
    pub fn to_send(&self, now_ns: u64) -> Option<&Sent> {
        let place = self.unanswered.iter().position(|sent| !sent.is_under_way)?;
        let behind_are_back = self.unanswered.range(place + 1..).all(|sent| !sent.is_under_way);
        self.unanswered.get(place).filter(|sent| behind_are_back && sent.not_before_ns <= now_ns)
    }

    /// When a batch that waits for a while may be sent again.
    pub fn next_try_ns(&self) -> Option<u64> {
        self.unanswered.iter().find(|sent| !sent.is_under_way).map(|sent| sent.not_before_ns)
    }

    /// Takes the batch of [`Self::to_send`]: its bytes and number. It is under way from now on.
    pub fn send(&mut self, producer_id: i64, epoch: i16, now_ns: u64) -> Option<(u64, Bytes, u32)> {
        let place = self.unanswered.iter().position(|sent| !sent.is_under_way)?;
        let base_sequence = self.sequence_behind(place);
        let sent = self.unanswered.get_mut(place)?;
        // It differs when a batch before it was definitely refused, whose sequences the service still waits for.
        if std::mem::take(&mut sent.is_renamed) || sent.base_sequence != base_sequence {
            sent.base_sequence = base_sequence;
            sent.bytes = renamed(&sent.bytes, Identity { producer_id, epoch, base_sequence });
        }
        sent.is_under_way = true;
        sent.attempts += 1;
        sent.sent_ns = now_ns;
        self.last_sent_ns = now_ns;
        Some((sent.number, sent.bytes.clone(), sent.attempts))
    }

    /// The base sequence of a batch at a place among the unanswered ones: it follows the one before it.
    fn sequence_behind(&self, place: usize) -> i32 {
        match place.checked_sub(1).and_then(|before| self.unanswered.get(before)) {
            Some(before) => later(before.base_sequence, before.count()),
            None => self.confirmed_sequence,
        }
    }

    /// Acknowledged: takes it out.
    pub fn acked(&mut self, number: u64, now_ns: u64, limits: &Limits) -> Option<Sent> {
        let sent = self.settle(number, now_ns, limits)?;
        self.confirmed_sequence = later(sent.base_sequence, sent.count());
        Some(sent)
    }

    /// Definitely refused, for good: takes it out.
    pub fn settle(&mut self, number: u64, now_ns: u64, limits: &Limits) -> Option<Sent> {
        let place = self.unanswered.iter().position(|sent| sent.number == number && sent.is_under_way)?;
        if !self.has_place(limits) {
            self.free_since_ns = now_ns;
        }
        let sent = self.unanswered.remove(place)?;
        let took_ns = now_ns.saturating_sub(sent.sent_ns);
        self.round_trip_ns = if self.round_trip_ns == 0 { took_ns } else { (self.round_trip_ns * 7 + took_ns) / 8 };
        Some(sent)
    }

    /// How often a batch was sent.
    pub fn attempts(&self, number: u64) -> u32 {
        self.unanswered.iter().find(|sent| sent.number == number).map_or(0, |sent| sent.attempts)
    }

    /// To be sent again, not before that time. False: there is no such batch under way.
    pub fn again(&mut self, number: u64, not_before_ns: u64) -> bool {
        let Some(sent) = self.unanswered.iter_mut().find(|sent| sent.number == number && sent.is_under_way) else {
            return false;
        };
        sent.is_under_way = false;
        sent.not_before_ns = not_before_ns;
        true
    }

    /// The connection is gone: everything unanswered is sent again.
    pub fn rewind(&mut self) {
        for sent in &mut self.unanswered {
            sent.is_under_way = false;
            sent.not_before_ns = 0;
        }
    }

    /// The producer has a new identity: what was sent under the old one is taken out, since nobody will know of it any more; the
    /// rest is numbered from 0.
    pub fn renumber(&mut self) -> Vec<Sent> {
        let (unknown, mut kept): (Vec<_>, Vec<_>) = self.unanswered.drain(..).partition(|sent| sent.attempts > 0);
        kept.iter_mut().for_each(|sent| sent.is_renamed = true);
        self.unanswered = kept.into();
        self.confirmed_sequence = 0;
        unknown
    }

    /// Everything that is unanswered; those that were never sent are among them.
    pub fn give_up(&mut self) -> Vec<Sent> {
        self.unanswered.drain(..).collect()
    }
}

/// Sequences go from 0 to 2147483647 and begin anew.
fn later(sequence: i32, count: u64) -> i32 {
    i32::try_from((i64::from(sequence) + i64::try_from(count).unwrap_or(0)) & 0x7fff_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests;
