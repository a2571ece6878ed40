//! All partitions of a producer: which have something to send, which wait for a time. Pure, as `sequencing`.

use std::{
    collections::{BTreeSet, VecDeque},
    ops::Range,
    sync::Arc,
};

use eagre_env::{HashMap, Randomness};
use eagre_model::{batch::BatchError, records::Record};
use eagre_proto::v1::{ProduceRequest, ProduceStreamRequest, produce_request::Payload};
use tokio::time::Instant;

use super::{
    delivery::{Receipts, Room},
    encoding::{Encoded, Unencoded},
    sequencing::{Bounds, Identity, Outgoing, PartitionQueue, Pushed, Settled, Taken},
};
use crate::error::Verdict;

/// A settled batch and whose it is.
#[derive(Debug)]
pub(crate) struct SettledBatch {
    pub topic: Arc<str>,
    pub partition: u32,
    pub batch: Settled,
}

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Turn {
    /// This is to be sent.
    Request(ProduceStreamRequest),
    /// This is to be encoded first, and comes from this slot.
    Unencoded { slot: usize, batch: Unencoded },
}

#[derive(Debug)]
struct Slot {
    topic: Arc<str>,
    partition: u32,
    queue: PartitionQueue,
    is_listed: bool,
    wakes_at: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pool {
    pub bounds: Bounds,
    /// The last thing that went wrong on the way to the service.
    pub obstacle: String,
    slots: Vec<Slot>,
    /// Slots of each topic, by topic id.
    topics: HashMap<String, Range<usize>>,
    identity: Option<Identity>,
    /// Slots that have something to send, in turn.
    ready: VecDeque<usize>,
    timers: BTreeSet<(Instant, usize)>,
    /// For when the task that keeps the time sleeps.
    timer: Option<Instant>,
    /// What was sent on the present connection and is not answered: slot and serial by attempt.
    attempts: HashMap<u64, (usize, u64)>,
    next_attempt: u64,
    next_batch_id: u64,
    /// Batches that are not settled.
    unsettled: BTreeSet<u64>,
}

impl Pool {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            obstacle: "the service has not answered".to_owned(),
            slots: Vec::new(),
            topics: HashMap::default(),
            identity: None,
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            timer: None,
            attempts: HashMap::default(),
            next_attempt: 0,
            next_batch_id: 0,
            unsettled: BTreeSet::new(),
        }
    }

    /// The slots of a topic's partitions, made at the first call.
    pub fn slots_of(
        &mut self,
        topic_id: &str,
        topic: &Arc<str>,
        partitions: u32,
        batch_bytes_max: Option<usize>,
    ) -> Range<usize> {
        if let Some(slots) = self.topics.get(topic_id) {
            return slots.clone();
        }
        let first = self.slots.len();
        self.slots.extend((0..partitions).map(|partition| Slot {
            topic: topic.clone(),
            partition,
            queue: PartitionQueue::new(batch_bytes_max),
            is_listed: false,
            wakes_at: None,
        }));
        let slots = first..self.slots.len();
        self.topics.insert(topic_id.to_owned(), slots.clone());
        slots
    }

    pub fn has_open_batch(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(|slot| slot.queue.has_open_batch())
    }

    /// Hands a record to a slot; `then` gets the batch's receipts and the record's place in it. Says as well whether there
    /// may be something new to send or to wait for.
    pub fn push<T>(
        &mut self,
        slot: usize,
        record: &Record,
        now: Instant,
        new_room: impl FnOnce() -> Room,
        then: impl FnOnce(&mut Receipts, u32) -> T,
    ) -> (Result<T, BatchError>, bool) {
        let (next_batch_id, unsettled) = (&mut self.next_batch_id, &mut self.unsettled);
        let new_batch = || {
            let id = *next_batch_id;
            *next_batch_id += 1;
            unsettled.insert(id);
            (id, Receipts::new(new_room()))
        };
        let pushed = self.slots[slot].queue.push(record, now, &self.bounds, new_batch);
        let (out, is_changed) = match pushed {
            Ok(Pushed { index, receipts, is_changed }) => (Ok(then(receipts, index)), is_changed),
            Err(error) => (Err(error), true),
        };
        if is_changed {
            self.reschedule(slot, now);
        }
        (out, is_changed)
    }

    /// Nothing that was handed over waits for the linger any more. All of it is settled when
    /// [`first_unsettled`](Self::first_unsettled) has reached the number given back.
    pub fn hurry(&mut self, now: Instant) -> u64 {
        for slot in 0..self.slots.len() {
            if self.slots[slot].queue.has_open_batch() {
                self.slots[slot].queue.hurry();
                self.reschedule(slot, now);
            }
        }
        self.next_batch_id
    }

    /// Every batch below this number is settled.
    pub fn first_unsettled(&self) -> u64 {
        self.unsettled.first().copied().unwrap_or(self.next_batch_id)
    }

    pub fn is_empty(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// A batch is to be sent now.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Sent and not answered.
    pub fn has_unanswered(&self) -> bool {
        !self.attempts.is_empty()
    }

    /// There is no producer id to number batches with.
    pub fn needs_identity(&self) -> bool {
        self.identity.is_none()
    }

    pub fn set_identity(&mut self, identity: Identity, in_flight_max: usize) {
        self.identity = Some(identity);
        self.bounds.in_flight_max = in_flight_max.max(1);
    }

    /// The next request to be sent. `None`: nothing is ready, or [`needs_identity`](Self::needs_identity). What is not encoded
    /// is to be given to [`encoded`](Self::encoded) before the next one is taken.
    pub fn take(&mut self, now: Instant) -> Option<Turn> {
        while let Some(index) = self.ready.pop_front() {
            let slot = &mut self.slots[index];
            slot.is_listed = false;
            if slot.queue.needs_identity() {
                self.identity = self.identity.filter(|identity| !slot.queue.has_used_up(identity));
                let Some(identity) = self.identity else {
                    slot.is_listed = true;
                    self.ready.push_front(index);
                    return None;
                };
                slot.queue.set_identity(identity);
            }
            let taken = slot.queue.take(now, &self.bounds, self.next_attempt);
            self.reschedule(index, now);
            match taken {
                Some(Taken::Outgoing(outgoing)) => return Some(Turn::Request(self.request(index, outgoing))),
                Some(Taken::Unencoded(batch)) => return Some(Turn::Unencoded { slot: index, batch }),
                None => {}
            }
        }
        None
    }

    /// What was to be encoded is. `None`: it is not to be sent now.
    pub fn encoded(
        &mut self,
        slot: usize,
        batch: Encoded,
        now: Instant,
        settled: &mut Vec<SettledBatch>,
    ) -> Option<ProduceStreamRequest> {
        let mut done = Vec::new();
        let outgoing = self.slots[slot].queue.encoded(batch, self.next_attempt, &mut done);
        self.collect(slot, done, settled);
        self.reschedule(slot, now);
        outgoing.map(|outgoing| self.request(slot, outgoing))
    }

    fn request(&mut self, index: usize, outgoing: Outgoing) -> ProduceStreamRequest {
        let attempt = self.next_attempt;
        self.next_attempt += 1;
        self.attempts.insert(attempt, (index, outgoing.serial));
        let slot = &self.slots[index];
        let request = ProduceRequest {
            topic: slot.topic.as_ref().to_owned(),
            partition: Some(slot.partition),
            payload: Some(Payload::Batch(outgoing.bytes)),
            producer: None,
            topic_id: None,
        };
        ProduceStreamRequest { request_id: attempt, request: Some(request) }
    }

    /// The answer to an attempt. `verdict` is told topic and partition.
    pub fn answer(
        &mut self,
        attempt: u64,
        verdict: impl FnOnce(&str, u32) -> Verdict,
        now: Instant,
        random: &dyn Randomness,
        settled: &mut Vec<SettledBatch>,
    ) {
        let Some((index, serial)) = self.attempts.remove(&attempt) else { return };
        let slot = &mut self.slots[index];
        let verdict = verdict(&slot.topic, slot.partition);
        let mut done = Vec::new();
        slot.queue.answer(serial, attempt, verdict, now, random, &mut done);
        self.collect(index, done, settled);
        self.reschedule(index, now);
    }

    /// The connection is gone.
    pub fn disconnect(&mut self, now: Instant) {
        self.attempts.clear();
        for index in 0..self.slots.len() {
            if !self.slots[index].queue.is_empty() {
                self.slots[index].queue.disconnect();
                self.reschedule(index, now);
            }
        }
    }

    /// When [`tick`](Self::tick) is to be called next.
    pub fn wakes_at(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Whoever keeps the time sleeps until then.
    pub fn set_timer(&mut self, timer: Option<Instant>) {
        self.timer = timer;
    }

    /// Whoever keeps the time sleeps too long. True once for each earlier time.
    pub fn is_timer_earlier(&mut self) -> bool {
        let wakes_at = self.wakes_at();
        let is_earlier = match (wakes_at, self.timer) {
            (Some(wakes_at), Some(timer)) => wakes_at < timer,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_earlier {
            self.timer = wakes_at;
        }
        is_earlier
    }

    /// Does what time alone brings: batches become ready or too old.
    pub fn tick(&mut self, now: Instant, settled: &mut Vec<SettledBatch>) {
        while let Some(&(at, index)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            let slot = &mut self.slots[index];
            slot.wakes_at = None;
            let mut done = Vec::new();
            slot.queue.expire(now, &self.bounds, &self.obstacle, &mut done);
            self.collect(index, done, settled);
            self.reschedule(index, now);
        }
    }

    fn collect(&mut self, index: usize, done: Vec<Settled>, settled: &mut Vec<SettledBatch>) {
        let slot = &self.slots[index];
        for batch in done {
            self.unsettled.remove(&batch.batch_id);
            settled.push(SettledBatch { topic: slot.topic.clone(), partition: slot.partition, batch });
        }
    }

    fn reschedule(&mut self, index: usize, now: Instant) {
        let slot = &mut self.slots[index];
        if !slot.is_listed && slot.queue.is_ready(now, &self.bounds) {
            slot.is_listed = true;
            self.ready.push_back(index);
        }
        let wakes_at = slot.queue.wakes_at(now, &self.bounds);
        if wakes_at != slot.wakes_at {
            if let Some(at) = slot.wakes_at {
                self.timers.remove(&(at, index));
            }
            if let Some(at) = wakes_at {
                self.timers.insert((at, index));
            }
            slot.wakes_at = wakes_at;
        }
    }
}
