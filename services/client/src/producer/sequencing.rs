//! The order of one partition's batches: numbering, window, repetition, expiry. Pure: time comes in as a parameter.
//!
//! Batches stand in one queue, in the order of their sequences. A batch is numbered when it is sent for the first time; its
//! bytes are then made outside of the queue, which goes on meanwhile.
//! What was sent and is not answered is sent again with its number, lowest first, until it is answered or too old. The
//! service appends a batch only after the one before it; so when a batch was definitely not appended, none behind it in
//! the same epoch was or will be, and those may be numbered anew in the next epoch.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use eagre_env::Randomness;
use eagre_model::{
    batch::{BatchError, Compression, advance_sequence},
    records::{BatchBuilder, ProducerFields, Record},
};
use tokio::time::Instant;

use super::{
    delivery::Receipts,
    encoding::{Encoded, Source, Unencoded},
    spacing::Spacing,
};
use crate::{SendError, backoff::Backoff, error::Verdict};

/// A batch takes records for at most this part of the delivery timeout, so that no record's time is cut by more.
const BATCH_AGE_DIVISOR: u32 = 20;

/// What bounds a partition's queue.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub linger: Duration,
    pub batch_bytes: usize,
    pub compression: Compression,
    pub delivery_timeout: Duration,
    /// How many batches may be sent and not answered; so many the service remembers.
    pub in_flight_max: usize,
}

/// A producer as the service numbered it, and the epoch that this partition has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub producer_id: i64,
    pub epoch: i16,
}

/// A batch that is settled.
#[derive(Debug)]
pub(crate) struct Settled {
    pub batch_id: u64,
    pub receipts: Receipts,
    pub result: Result<i64, SendError>,
}

/// A batch whose turn it is.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It has its bytes.
    Outgoing(Outgoing),
    /// Its bytes are to be made.
    Unencoded(Unencoded),
}

/// A batch to be sent now.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Its place among all batches of the partition.
    pub serial: u64,
    pub bytes: Bytes,
}

#[derive(Debug)]
struct Batch {
    id: u64,
    content: Content,
    state: State,
    opened_at: Instant,
    /// The last time.
    sent_at: Instant,
    /// An attempt ended without an answer.
    is_maybe_appended: bool,
    /// Until it is settled.
    receipts: Option<Receipts>,
}

impl Batch {
    fn settle(&mut self, result: Result<i64, SendError>) -> Option<Settled> {
        self.receipts.take().map(|receipts| Settled { batch_id: self.id, receipts, result })
    }
}

#[derive(Debug)]
enum Content {
    /// Never sent.
    Unnumbered(Box<BatchBuilder>),
    /// Its bytes are being made.
    Encoding,
    /// Sent at least once in the present epoch.
    Numbered(Bytes),
    /// Sent in an earlier epoch, in which it was definitely not appended.
    Outdated(Bytes),
    /// Answered.
    Gone,
}

#[derive(Debug)]
enum State {
    Waiting,
    /// Its bytes are being made, with the next number.
    Encoding,
    Sent {
        attempt: u64,
    },
    /// Refused while an earlier batch is unanswered.
    Refused(SendError),
    Answered,
}

/// Where a record went.
#[derive(Debug)]
pub(crate) struct Pushed<'a> {
    /// Place in its batch.
    pub index: u32,
    pub receipts: &'a mut Receipts,
    /// A batch was opened or closed: there may be something new to send or to wait for.
    pub is_changed: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct PartitionQueue {
    identity: Option<Identity>,
    /// The producer id that this partition cannot go on with: its epochs are used up, or the service has forgotten it.
    used_up: Option<i64>,
    next_sequence: i32,
    /// Closed batches in the order of their sequences; the first one is not answered.
    closed: VecDeque<Batch>,
    first_serial: u64,
    /// The batch that takes records.
    open: Option<OpenBatch>,
    spacing: Spacing,
    backoff: Backoff,
    retry_at: Option<Instant>,
    size_hint_bytes: usize,
    /// The topic takes no larger batch; `None`: any that the bounds allow.
    batch_bytes_max: Option<usize>,
}

#[derive(Debug)]
struct OpenBatch {
    id: u64,
    builder: Box<BatchBuilder>,
    opened_at: Instant,
    /// Somebody waits for it: the linger is over.
    is_urgent: bool,
    receipts: Receipts,
}

impl PartitionQueue {
    /// Of a topic that takes no larger batch than this.
    pub fn new(batch_bytes_max: Option<usize>) -> Self {
        Self { batch_bytes_max, ..Self::default() }
    }

    pub fn has_open_batch(&self) -> bool {
        self.open.is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.closed.is_empty()
    }

    pub fn needs_identity(&self) -> bool {
        self.identity.is_none()
    }

    /// The partition cannot go on with this producer id.
    pub fn has_used_up(&self, identity: &Identity) -> bool {
        self.used_up == Some(identity.producer_id)
    }

    /// From now on batches are numbered by this producer, from 0.
    pub fn set_identity(&mut self, identity: Identity) {
        self.identity = Some(identity);
        self.next_sequence = 0;
    }

    /// Appends a record to the open batch, or to a new one.
    pub fn push(
        &mut self,
        record: &Record,
        now: Instant,
        bounds: &Bounds,
        new_batch: impl FnOnce() -> (u64, Receipts),
    ) -> Result<Pushed<'_>, BatchError> {
        let batch_bytes = bounds.batch_bytes.min(self.batch_bytes_max.unwrap_or(usize::MAX));
        let is_full = self.open.as_ref().is_some_and(|open| {
            open.builder.size_bytes_with(record) > batch_bytes
                || now - open.opened_at > bounds.delivery_timeout / BATCH_AGE_DIVISOR
        });
        if is_full {
            self.close();
        }
        let is_new = self.open.is_none();
        let open = match &mut self.open {
            Some(open) => {
                open.builder.push(record)?;
                open
            }
            none => {
                let capacity = self.size_hint_bytes.min(batch_bytes);
                let mut builder = Box::new(BatchBuilder::with_capacity(ProducerFields::NONE, capacity));
                builder.push(record)?;
                let (id, receipts) = new_batch();
                none.insert(OpenBatch { id, builder, opened_at: now, is_urgent: bounds.linger.is_zero(), receipts })
            }
        };
        let index = open.builder.record_count() - 1;
        Ok(Pushed { index, receipts: &mut open.receipts, is_changed: is_new || is_full })
    }

    /// The open batch is to be sent without waiting for more.
    pub fn hurry(&mut self) {
        if let Some(open) = &mut self.open {
            open.is_urgent = true;
        }
    }

    /// Whether [`take`](Self::take) would give a batch.
    pub fn is_ready(&self, now: Instant, bounds: &Bounds) -> bool {
        if self.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        match self.first_waiting(bounds) {
            Some(_) => true,
            // The window counts from the first unanswered batch, whatever was answered behind it.
            None => {
                self.closed.len() < bounds.in_flight_max
                    && self.open.as_ref().is_some_and(|open| open.is_urgent || now >= self.ripe_at(open, bounds))
            }
        }
    }

    /// When a batch that takes records is to be sent though it is not full.
    fn ripe_at(&self, open: &OpenBatch, bounds: &Bounds) -> Instant {
        let ripe = open.opened_at + bounds.linger;
        self.spacing.next_at(bounds.in_flight_max).map_or(ripe, |at| ripe.max(at))
    }

    /// The next batch to be sent, if one is ready and the window has room. `attempt` names this sending in the answer. What is
    /// not encoded is to be given to [`encoded`](Self::encoded) before the next one is taken.
    pub fn take(&mut self, now: Instant, bounds: &Bounds, attempt: u64) -> Option<Taken> {
        let identity = self.identity?;
        if !self.is_ready(now, bounds) {
            return None;
        }
        let index = self.first_waiting(bounds).unwrap_or_else(|| {
            self.close();
            self.closed.len() - 1
        });
        let serial = self.first_serial + index as u64;
        let batch = self.closed.get_mut(index)?;
        batch.sent_at = now;
        let source = match std::mem::replace(&mut batch.content, Content::Gone) {
            Content::Numbered(bytes) => {
                batch.content = Content::Numbered(bytes.clone());
                batch.state = State::Sent { attempt };
                return Some(Taken::Outgoing(Outgoing { serial, bytes }));
            }
            Content::Unnumbered(builder) => {
                self.spacing.sent(now);
                Source::Builder(builder)
            }
            Content::Outdated(bytes) => Source::Outdated(bytes),
            // A batch that waits has its content.
            Content::Encoding | Content::Gone => return None,
        };
        batch.content = Content::Encoding;
        batch.state = State::Encoding;
        let (base_sequence, compression) = (self.next_sequence, bounds.compression);
        Some(Taken::Unencoded(Unencoded { serial, identity, base_sequence, compression, source }))
    }

    /// What was to be encoded is: gives back what is to be sent, unless the epoch ended meanwhile.
    pub fn encoded(&mut self, encoded: Encoded, attempt: u64, settled: &mut Vec<Settled>) -> Option<Outgoing> {
        let Encoded { serial, identity, result } = encoded;
        // It is there: what is being encoded is neither answered nor given up.
        let index = serial.checked_sub(self.first_serial).and_then(|index| usize::try_from(index).ok())?;
        let batch = self.closed.get_mut(index)?;
        match result {
            Ok((bytes, _)) if self.identity != Some(identity) => {
                batch.content = Content::Outdated(bytes);
                batch.state = State::Waiting;
                None
            }
            Ok((bytes, record_count)) => {
                self.next_sequence = advance_sequence(self.next_sequence, record_count);
                self.size_hint_bytes = bytes.len() + bytes.len() / 4;
                batch.content = Content::Numbered(bytes.clone());
                batch.state = State::Sent { attempt };
                Some(Outgoing { serial, bytes })
            }
            Err(error) => {
                batch.content = Content::Gone;
                batch.state = State::Refused(SendError::Refused(error.to_string()));
                self.settle_front(settled);
                None
            }
        }
    }

    /// The answer to an attempt came. Answers to anything but the present attempt of a batch are ignored.
    pub fn answer(
        &mut self,
        serial: u64,
        attempt: u64,
        verdict: Verdict,
        now: Instant,
        random: &dyn Randomness,
        settled: &mut Vec<Settled>,
    ) {
        let Some(index) = serial.checked_sub(self.first_serial).and_then(|index| usize::try_from(index).ok()) else {
            return;
        };
        let Some(batch) = self.closed.get_mut(index) else { return };
        if !matches!(batch.state, State::Sent { attempt: present } if present == attempt) {
            return;
        }
        match verdict {
            Verdict::Appended { base_offset } => {
                self.backoff.reset();
                self.retry_at = None;
                self.spacing.answered(now.saturating_duration_since(batch.sent_at));
                batch.state = State::Answered;
                batch.content = Content::Gone;
                settled.extend(batch.settle(Ok(base_offset)));
            }
            Verdict::Again { maybe_appended } => {
                batch.is_maybe_appended |= maybe_appended;
                batch.state = State::Waiting;
                self.retry_at = Some(now + self.backoff.next(random));
            }
            // It follows the one before it, which is to be sent again or was already.
            Verdict::OutOfOrder(_) if index > 0 => {
                batch.state = State::Waiting;
                self.retry_at = Some(now + self.backoff.next(random));
            }
            Verdict::OutOfOrder(message) => {
                let error =
                    format!("the service does not know the batches before it, was the topic created again? {message}");
                batch.state = State::Refused(SendError::Refused(error));
            }
            Verdict::Refused(error) => batch.state = State::Refused(error),
            Verdict::Unknowable(message) => {
                batch.is_maybe_appended = true;
                batch.state = State::Refused(SendError::Refused(message));
            }
            // As above: the one before it is looked at first.
            Verdict::ProducerForgotten(_) if index > 0 => {
                batch.state = State::Waiting;
                self.retry_at = Some(now + self.backoff.next(random));
            }
            // An earlier attempt may have been appended, and nobody knows.
            Verdict::ProducerForgotten(message) if batch.is_maybe_appended => {
                batch.state = State::Refused(SendError::Refused(message));
                self.settle_front(settled);
                self.leave_producer();
                return;
            }
            // This was the first one, so neither it nor one behind it was appended: nothing is lost by another id.
            Verdict::ProducerForgotten(_) => {
                batch.state = State::Waiting;
                self.renumber();
                self.leave_producer();
            }
        }
        self.settle_front(settled);
    }

    /// The connection is gone: what was sent on it is sent again.
    pub fn disconnect(&mut self) {
        for batch in &mut self.closed {
            if matches!(batch.state, State::Sent { .. }) {
                batch.state = State::Waiting;
                batch.is_maybe_appended = true;
            }
        }
        self.backoff.reset();
        self.retry_at = None;
    }

    /// Fails what has waited too long. `obstacle` says what was in the way.
    pub fn expire(&mut self, now: Instant, bounds: &Bounds, obstacle: &str, settled: &mut Vec<Settled>) {
        while let Some(front) = self.closed.front_mut()
            && now >= front.opened_at + bounds.delivery_timeout
            && !matches!(front.state, State::Encoding)
        {
            // An attempt that is under way may still succeed.
            front.is_maybe_appended |= matches!(front.state, State::Sent { .. });
            front.state = State::Refused(SendError::Expired(obstacle.to_owned()));
            self.settle_front(settled);
        }
        if self.closed.is_empty()
            && let Some(open) = self.open.take_if(|open| now >= open.opened_at + bounds.delivery_timeout)
        {
            let result = Err(SendError::Expired(obstacle.to_owned()));
            settled.push(Settled { batch_id: open.id, receipts: open.receipts, result });
        }
    }

    /// When time alone may make a batch ready or too old.
    pub fn wakes_at(&self, now: Instant, bounds: &Bounds) -> Option<Instant> {
        let oldest = match self.closed.front() {
            // It is looked at again when its bytes are made.
            Some(front) if matches!(front.state, State::Encoding) => None,
            Some(front) => Some(front.opened_at),
            None => self.open.as_ref().map(|open| open.opened_at),
        };
        let expiry = oldest.map(|opened_at| opened_at + bounds.delivery_timeout);
        let retry = self.retry_at.filter(|&at| now < at);
        let ripe = self.open.as_ref().map(|open| self.ripe_at(open, bounds)).filter(|&at| now < at);
        [expiry, retry, ripe].into_iter().flatten().min()
    }

    /// Place of the first batch that is to be sent (again) and lies within the window.
    fn first_waiting(&self, bounds: &Bounds) -> Option<usize> {
        let window = self.closed.iter().take(bounds.in_flight_max);
        window.enumerate().find(|(_, batch)| matches!(batch.state, State::Waiting)).map(|(index, _)| index)
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.closed.push_back(Batch {
                id: open.id,
                content: Content::Unnumbered(open.builder),
                state: State::Waiting,
                opened_at: open.opened_at,
                sent_at: open.opened_at,
                is_maybe_appended: false,
                receipts: Some(open.receipts),
            });
        }
    }

    /// Takes answered batches off the front; a refused one ends the epoch.
    fn settle_front(&mut self, settled: &mut Vec<Settled>) {
        loop {
            let Some(front) = self.closed.front() else { return };
            match &front.state {
                State::Waiting | State::Encoding | State::Sent { .. } => return,
                State::Answered => {
                    self.pop_front();
                }
                State::Refused(_) => self.fail_front(settled),
            }
        }
    }

    fn fail_front(&mut self, settled: &mut Vec<Settled>) {
        let Some(mut front) = self.pop_front() else { return };
        let State::Refused(error) = std::mem::replace(&mut front.state, State::Answered) else { return };
        if front.is_maybe_appended {
            // Those sent behind it may have been appended as well.
            let error = SendError::OutcomeUnknown(error.to_string());
            settled.extend(front.settle(Err(error.clone())));
            while self.closed.front().is_some_and(|next| matches!(next.content, Content::Numbered(_) | Content::Gone)) {
                let Some(mut next) = self.pop_front() else { break };
                settled.extend(next.settle(Err(error.clone())));
            }
        } else {
            settled.extend(front.settle(Err(error)));
        }
        if matches!(front.content, Content::Numbered(_)) {
            self.begin_epoch();
        }
    }

    /// The next epoch.
    fn begin_epoch(&mut self) {
        if let Some(Identity { producer_id, epoch }) = self.identity.take() {
            self.identity = epoch.checked_add(1).map(|epoch| Identity { producer_id, epoch });
            self.used_up = self.identity.is_none().then_some(producer_id);
        }
        self.renumber();
    }

    /// Another producer id is needed, in whatever epoch.
    fn leave_producer(&mut self) {
        if let Some(Identity { producer_id, .. }) = self.identity.take() {
            self.used_up = Some(producer_id);
        }
    }

    /// The first sequence is 0, and what waits is numbered anew.
    fn renumber(&mut self) {
        self.next_sequence = 0;
        for batch in &mut self.closed {
            if let Content::Numbered(bytes) = &batch.content {
                batch.content = Content::Outdated(bytes.clone());
                batch.is_maybe_appended = false;
                if matches!(batch.state, State::Sent { .. }) {
                    batch.state = State::Waiting;
                }
            }
        }
    }

    fn pop_front(&mut self) -> Option<Batch> {
        let front = self.closed.pop_front()?;
        self.first_serial += 1;
        Some(front)
    }
}

#[cfg(test)]
mod tests;
