//! A group: all work that one flush makes durable. Applied in order to the tentative view, without I/O.

mod forget;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use eagre_env::{Env, PlantedBug};
use eagre_metadata::{
    Changes,
    rows::{
        InlineHead, InlineObject, InlinePlace, InlineRecord, Meta, MetaName, MetaValue, Object, ObjectStream, Outcome,
        Outcomes, Producer, ProducerKey, RunRow, Tail, TopicProducer, TopicProducerKey,
    },
};
use eagre_model::{ObjectId, Placement, ProducerId, Run, TopicConfig, TopicPartition, TopicRecord};
use eagre_sequencer_api::{
    BatchOutcome, CommitAnswer, CommitFailure, CommitReply, CommitRequest, CreateTopicError, Joined, RefusalReason,
    TopicError,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc::OwnedPermit, oneshot};
use tracing::error;

use crate::{
    expiry::{Forget, Forgotten},
    hash::request_hash,
    inline::{Stretch, Swap, key},
    judge::{Rules, judge},
    load::Loaded,
    published::Delta,
    spill::PendingObject,
    sweep, telemetry,
    topics::{self, Birth},
};

/// A place in a commit stream's replies, taken before the commit is queued: answering never waits.
pub type ReplySlot = OwnedPermit<CommitReply>;

/// What the committer is asked to do. When it ends without an answer, the outcome is unknown.
pub enum Work {
    /// To judge an object's batches.
    Commit {
        /// What was asked.
        request: CommitRequest,
        /// Where the reply goes.
        slot: ReplySlot,
        /// Its share of the memory that waiting commits may take.
        budget: OwnedSemaphorePermit,
    },
    /// To create a topic; name and placement are checked.
    CreateTopic {
        /// Its name.
        name: String,
        /// Its partitions.
        placement: Placement,
        /// What is set of it.
        config: TopicConfig,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<TopicRecord, CreateTopicError>>,
    },
    /// To delete a topic.
    DeleteTopic {
        /// Its name.
        name: String,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<(), TopicError>>,
    },
    /// To give a gateway its incarnation.
    Join {
        /// Where the answer goes.
        answer: oneshot::Sender<Joined>,
    },
    /// To take note of what an earlier term left inline.
    Adopt {
        /// What the store holds.
        objects: Vec<PendingObject>,
        /// Streams that have nothing inline and never will.
        ended: Vec<ObjectStream>,
        /// Those that were not known.
        answer: oneshot::Sender<Vec<PendingObject>>,
    },
    /// To delete commit records that nobody asks for any more.
    DropRecords {
        /// Of objects.
        objects: Vec<ObjectId>,
        /// Of inline commits.
        inline: Vec<InlinePlace>,
        /// Where the answer goes.
        answer: oneshot::Sender<()>,
    },
    /// To refer to an object instead of to inline bytes.
    Swap {
        /// What instead of what.
        swap: Swap,
        /// Where the answer goes.
        answer: oneshot::Sender<Swapped>,
    },
    /// To forget producers.
    Forget {
        /// Which ones, and why.
        forget: Forget,
        /// Where the answer goes.
        answer: oneshot::Sender<Forgotten>,
    },
    /// To give out a producer id.
    InitProducer {
        /// Where the answer goes.
        answer: oneshot::Sender<ProducerId>,
    },
}

impl Work {
    /// The trace that it is a part of.
    pub fn traceparent(&self) -> Option<&str> {
        match self {
            Self::Commit { request, .. } => request.traceparent.as_deref(),
            _ => None,
        }
    }
}

/// How many inline runs a swap replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swapped {
    /// They are in the object now.
    pub moved: usize,
    /// They are gone with their topics.
    pub freed: usize,
    /// They are not what was read, and stay as they are.
    pub left: usize,
}

/// An answer that waits for the flush.
pub enum Answer {
    /// To a commit.
    Commit(ReplySlot, CommitReply, OwnedSemaphorePermit),
    /// To a creation.
    Created(oneshot::Sender<Result<TopicRecord, CreateTopicError>>, Result<TopicRecord, CreateTopicError>),
    /// To a deletion.
    Deleted(oneshot::Sender<Result<(), TopicError>>, Result<(), TopicError>),
    /// To a gateway that joins.
    Joined(oneshot::Sender<Joined>, Joined),
    /// To a new producer.
    Producer(oneshot::Sender<ProducerId>, ProducerId),
    /// To whoever turns what is inline into objects.
    Adopted(oneshot::Sender<Vec<PendingObject>>, Vec<PendingObject>),
    /// To the same.
    Swapped(oneshot::Sender<Swapped>, Swapped),
    /// To whoever looks for records that are of no use.
    Dropped(oneshot::Sender<()>),
    /// To whoever forgets producers.
    Forgotten(oneshot::Sender<Forgotten>, Forgotten),
}

impl Answer {
    /// Gives it. Who asked may be gone: then it is of no use to anybody.
    pub fn give(self) {
        match self {
            Self::Commit(slot, reply, _budget) => {
                slot.send(reply);
            }
            Self::Created(answer, result) => drop(answer.send(result)),
            Self::Deleted(answer, result) => drop(answer.send(result)),
            Self::Joined(answer, joined) => drop(answer.send(joined)),
            Self::Producer(answer, id) => drop(answer.send(id)),
            Self::Adopted(answer, runs) => drop(answer.send(runs)),
            Self::Swapped(answer, swapped) => drop(answer.send(swapped)),
            Self::Dropped(answer) => drop(answer.send(())),
            Self::Forgotten(answer, forgotten) => drop(answer.send(forgotten)),
        }
    }
}

/// A group while it is put together.
pub struct Group<'a> {
    env: &'a Env,
    cluster_id: &'a str,
    state: &'a mut Loaded,
    /// Commit records of earlier groups.
    records: BTreeMap<ObjectId, Object>,
    grown: BTreeSet<TopicPartition>,
    forgotten_below: u64,
    sealed: Sealed,
}

/// A finished group.
#[derive(Default)]
pub struct Sealed {
    /// The rows to write.
    pub changes: Changes,
    /// What to publish once they are durable.
    pub delta: Delta,
    /// What is durable then, inline.
    pub inline: Vec<PendingObject>,
    /// What to answer then, in order.
    pub answers: Vec<Answer>,
    /// What later groups have to know while the store does not show it.
    pub written: Written,
    /// Producers that were not known before, each in a partition or a topic.
    pub new_producers: u64,
}

/// Rows that later groups look up.
#[derive(Debug, Default)]
pub struct Written {
    /// The commit records.
    pub records: BTreeMap<ObjectId, Object>,
    /// The producers whose state changed in a partition.
    pub producers: BTreeSet<ProducerKey>,
    /// The producers whose state changed in a topic.
    pub topic_producers: BTreeSet<TopicProducerKey>,
}

impl<'a> Group<'a> {
    /// An empty group. `records` are the commit records of its objects, where the store has them; the state holds the
    /// producers of its batches.
    pub fn new(env: &'a Env, cluster_id: &'a str, state: &'a mut Loaded, records: BTreeMap<ObjectId, Object>) -> Self {
        let (grown, sealed) = Default::default();
        let forgotten_below = state.view.ids.forgotten_below;
        Self { env, cluster_id, state, records, grown, forgotten_below, sealed }
    }

    /// Adds what is asked; order counts.
    pub fn add(&mut self, work: Work) {
        let answer = match work {
            Work::Commit { request, slot, budget } => {
                let result = self.commit(&request);
                let takes_inline = self.state.inline.has_room();
                let reply = CommitReply { object: request.object, result, takes_inline };
                telemetry::judged(&reply);
                Answer::Commit(slot, reply, budget)
            }
            Work::CreateTopic { name, placement, config, answer } => {
                let created = self.create_topic(name, placement, config);
                Answer::Created(answer, created)
            }
            Work::DeleteTopic { name, answer } => {
                let deleted = self.delete_topic(&name);
                Answer::Deleted(answer, deleted)
            }
            Work::Join { answer } => {
                let joined = self.join();
                Answer::Joined(answer, joined)
            }
            Work::Adopt { mut objects, ended, answer } => {
                let inline = &mut self.state.inline;
                objects.retain(|found| inline.add(found.object, found.length_bytes, &found.runs));
                for stream in &ended {
                    inline.end(stream);
                    self.sealed.changes.delete::<InlineHead>(stream);
                }
                Answer::Adopted(answer, objects)
            }
            Work::DropRecords { objects, inline, answer } => {
                objects.iter().for_each(|object| self.sealed.changes.delete::<Object>(object));
                inline.iter().for_each(|place| self.sealed.changes.delete::<InlineRecord>(place));
                Answer::Dropped(answer)
            }
            Work::Swap { swap, answer } => {
                let swapped = self.swap(swap);
                Answer::Swapped(answer, swapped)
            }
            Work::Forget { forget, answer } => {
                let forgotten = self.forget(forget);
                Answer::Forgotten(answer, forgotten)
            }
            Work::InitProducer { answer } => {
                let id = self.init_producer();
                Answer::Producer(answer, id)
            }
        };
        self.sealed.answers.push(answer);
    }

    /// The record is looked up before the epoch is checked: what was committed stays so.
    fn commit(&mut self, request: &CommitRequest) -> Result<CommitAnswer, CommitFailure> {
        let hash = request_hash(request);
        for settled in self.state.settled.note(request.object.incarnation, request.settled_below) {
            self.sealed.changes.delete::<Object>(&settled);
        }
        if self.env.has_planted(PlantedBug::FloorBeforeRecord) {
            self.check_epoch(request)?;
        }
        let record = self.records.get(&request.object).or_else(|| self.sealed.written.records.get(&request.object));
        if let Some(record) = record {
            let answer = answer_of(record, hash, request);
            if answer.is_some() && request.inline.is_some() {
                // An earlier term's, perhaps: this one has to know that it may go. Of one in the ring nothing is deleted then.
                self.state.settled.add(request.object);
            }
            return answer.ok_or(CommitFailure::Mismatch);
        }
        if self.state.settled.is_settled(request.object) {
            error!(object = %request.object, "a commit came again that its gateway had the answer to");
            return Err(CommitFailure::Mismatch);
        }
        self.check_epoch(request)?;
        let verdict = judge(&mut self.state.view, request, Rules::of(self.env));
        for (partition, run) in &verdict.rows {
            self.sealed.changes.put::<RunRow>(&key(*partition, run), run);
            self.grown.insert(*partition);
            self.sealed.delta.tails.entry(*partition).or_default().1.push(*run);
        }
        self.sealed.written.producers.extend(verdict.producers);
        self.sealed.written.topic_producers.extend(verdict.topic_producers);
        let counts = record_counts(request);
        let outcomes = Outcomes::new(verdict.outcomes.iter().map(|outcome| stored(*outcome)).zip(counts));
        let record = Object { request_hash: hash, live_bytes: verdict.live_bytes, outcomes };
        match &request.inline {
            Some(bytes) => {
                telemetry::inline_commit();
                self.put_inline_record(request.object, &record);
                self.add_inline(request.object, verdict.rows, bytes);
            }
            None => self.sealed.changes.put::<Object>(&request.object, &record),
        }
        self.sealed.written.records.insert(request.object, record);
        Ok(CommitAnswer { outcomes: verdict.outcomes })
    }

    /// In the ring of its gateway, unless what stands there may still be asked for.
    fn put_inline_record(&mut self, object: ObjectId, record: &Object) {
        if self.state.settled.has_place(object) {
            let record = InlineRecord { number: object.number, record: record.clone() };
            self.sealed.changes.put::<InlineRecord>(&InlinePlace::of(object), &record);
        } else {
            self.sealed.changes.put::<Object>(&object, record);
            self.state.settled.add(object);
        }
    }

    /// All bytes of an object of which something was accepted.
    fn add_inline(&mut self, object: ObjectId, runs: Vec<(TopicPartition, Run)>, bytes: &Bytes) {
        if runs.is_empty() {
            return;
        }
        let keys = runs.iter().map(|(partition, run)| key(*partition, run)).collect();
        let row = InlineObject { runs: keys, bytes: bytes.clone() };
        let stored = self.sealed.changes.put_shared::<InlineObject>(&object, &row);
        if let Some((stream, head)) = self.state.inline.head_for(object) {
            self.sealed.changes.put::<InlineHead>(&stream, &head);
        }
        let length_bytes = bytes.len() as u64;
        self.state.inline.add(object, length_bytes, &runs);
        // Those that the store keeps anyway.
        let bytes = Some(stored.slice(stored.len() - bytes.len()..));
        self.sealed.inline.push(PendingObject { object, runs, length_bytes, bytes });
    }

    /// Replaces inline runs that are still what was read. Those of a topic that was deleted meanwhile only go: nothing of
    /// it comes back.
    fn swap(&mut self, swap: Swap) -> Swapped {
        let (mut swapped, mut live_bytes, mut gone) = (Swapped::default(), 0, Vec::new());
        let is_checked = !self.env.has_planted(PlantedBug::SwapWithoutCheck);
        for stretch in swap.stretches {
            let Stretch { partition, old, new } = &stretch;
            let lives = self.state.view.tails.contains_key(partition);
            let holds = self.state.inline.holds(*partition, old) && stretch.is_true(swap.object);
            if is_checked && (!holds || (lives && new.is_none())) {
                error!(%partition, runs = old.len(), "inline runs are not what was read of them: they stay as they are");
                swapped.left += old.len();
                continue;
            }
            for run in old {
                let key = key(*partition, run);
                self.sealed.changes.delete::<RunRow>(&key);
                gone.extend(self.state.inline.remove(&key));
            }
            match new.filter(|_| lives) {
                // Under the key of the last one of them, so after its deletion.
                Some(run) => {
                    self.sealed.changes.put::<RunRow>(&key(*partition, &run), &run);
                    live_bytes += u64::from(run.length_bytes);
                    swapped.moved += old.len();
                }
                None => swapped.freed += old.len(),
            }
        }
        for object in &gone {
            self.sealed.changes.delete::<InlineObject>(object);
        }
        for (stream, head) in self.state.inline.advance(&gone) {
            self.sealed.changes.put::<InlineHead>(&stream, &head);
        }
        if live_bytes > 0 {
            // Nobody asks for its commit.
            let record = Object { request_hash: 0, live_bytes, outcomes: Outcomes::new([]) };
            self.sealed.changes.put::<Object>(&swap.object, &record);
        }
        swapped
    }

    /// An epoch above the present one was never given out: the gateway's next upload gets the right one.
    fn check_epoch(&self, request: &CommitRequest) -> Result<(), CommitFailure> {
        let epochs = self.state.epochs;
        if request.inline.is_some() && sweep::has_dropped_inline(request.object.epoch, epochs.floor) {
            // It may have been committed, and nobody knows any more.
            return Err(CommitFailure::Mismatch);
        }
        let is_open = (epochs.floor..=epochs.current).contains(&request.object.epoch);
        if is_open { Ok(()) } else { Err(CommitFailure::EpochBelowFloor { upload_epoch: epochs.current }) }
    }

    fn create_topic(
        &mut self,
        name: String,
        placement: Placement,
        config: TopicConfig,
    ) -> Result<TopicRecord, CreateTopicError> {
        let birth = Birth { id: self.env.random.next_u128(), created_at_ms: self.env.clock.unix_ms(), config };
        let state = &mut *self.state;
        let created =
            topics::create(&mut state.topics, &mut state.view, &mut self.sealed.changes, name, placement, birth)?;
        for partition in topics::partitions(&created) {
            self.sealed.delta.tails.entry(partition).or_default();
        }
        self.sealed.delta.created.push(created.clone());
        Ok(created)
    }

    fn delete_topic(&mut self, name: &str) -> Result<(), TopicError> {
        let now_ms = self.env.clock.unix_ms();
        let state = &mut *self.state;
        let deleted = topics::delete(&mut state.topics, &mut state.view, &mut self.sealed.changes, name, now_ms)?;
        self.sealed.delta.deleted.push(deleted);
        Ok(())
    }

    fn join(&mut self) -> Joined {
        let (incarnation, block) = self.state.incarnations.take();
        self.put_number(MetaName::NextIncarnation, block);
        Joined { incarnation, upload_epoch: self.state.epochs.current, cluster_id: self.cluster_id.to_owned() }
    }

    fn init_producer(&mut self) -> ProducerId {
        let (id, block) = self.state.producer_ids.take();
        self.state.view.ids.unissued_from = self.state.producer_ids.next();
        self.put_number(MetaName::NextProducerId, block);
        ProducerId(i64::try_from(id).expect("a million ids a second for 290,000 years do not reach 2^63"))
    }

    fn put_number(&mut self, name: MetaName, number: Option<u64>) {
        if let Some(number) = number {
            self.sealed.changes.put::<Meta>(&name, &MetaValue::Number(number));
        }
    }

    /// Adds the rows of everything that grew.
    pub fn seal(mut self) -> Sealed {
        let last_use = self.state.epochs.current;
        let now_ms = self.state.clock.now_ms(self.env);
        let forgotten_below = self.state.view.ids.forgotten_below;
        self.put_number(
            MetaName::ProducersForgottenBelow,
            (forgotten_below != self.forgotten_below).then_some(forgotten_below),
        );
        let view = &mut self.state.view;
        for partition in &self.grown {
            if let Some(tail) = view.tails.get(partition) {
                self.sealed.changes.put::<Tail>(partition, &tail.row());
            }
        }
        for key in &self.sealed.written.producers {
            // What was forgotten has none.
            let known = Some(view.producers.entry(*key)).filter(|state| state.epoch.is_some());
            let before = known.and_then(|state| state.last_append_ms.replace(now_ms));
            if let Some(row) = view.producers.get(key).and_then(|state| state.row(last_use)) {
                self.sealed.new_producers += u64::from(before.is_none());
                self.sealed.changes.put::<Producer>(key, &row);
            }
        }
        for key in &self.sealed.written.topic_producers {
            let known = Some(view.topic_producers.entry(*key)).filter(|state| state.epoch.is_some());
            let before = known.and_then(|state| state.last_append_ms.replace(now_ms));
            if let Some(row) = view.topic_producers.get(key).and_then(|state| state.row(last_use)) {
                self.sealed.new_producers += u64::from(before.is_none());
                self.sealed.changes.put::<TopicProducer>(key, &row);
            }
        }
        // What a deletion took out of the view is gone from the delta as well.
        self.sealed.delta.tails.retain(|partition, (tail, _)| match view.tails.get(partition) {
            Some(found) => {
                *tail = *found;
                true
            }
            None => false,
        });
        self.sealed
    }
}

fn record_counts(request: &CommitRequest) -> impl Iterator<Item = u32> + '_ {
    request.runs.iter().flat_map(|run| run.batches.iter().map(|batch| batch.record_count))
}

/// The answer that a record gives; `None` when it is that of another request.
fn answer_of(record: &Object, hash: u128, request: &CommitRequest) -> Option<CommitAnswer> {
    if record.request_hash != hash {
        return None;
    }
    let outcomes = record.outcomes.expand(record_counts(request)).ok()?;
    Some(CommitAnswer { outcomes: outcomes.into_iter().map(recalled).collect() })
}

fn stored(outcome: BatchOutcome) -> Outcome {
    match outcome {
        BatchOutcome::Appended { base_offset } => Outcome::Appended { base_offset },
        BatchOutcome::Duplicate { base_offset } => Outcome::Duplicate { base_offset },
        BatchOutcome::DuplicateElsewhere => Outcome::DuplicateElsewhere,
        BatchOutcome::Refused(RefusalReason::UnknownPartition) => Outcome::UnknownPartition,
        BatchOutcome::Refused(RefusalReason::OutOfOrderSequence { expected }) => {
            Outcome::OutOfOrderSequence { expected }
        }
        BatchOutcome::Refused(RefusalReason::ProducerFenced { current }) => Outcome::ProducerFenced { current },
        BatchOutcome::Refused(RefusalReason::SequenceTooOld) => Outcome::SequenceTooOld,
        BatchOutcome::Refused(RefusalReason::UnissuedProducerId) => Outcome::UnissuedProducerId,
        BatchOutcome::Refused(RefusalReason::UnknownProducerId) => Outcome::UnknownProducerId,
    }
}

fn recalled(outcome: Outcome) -> BatchOutcome {
    match outcome {
        Outcome::Appended { base_offset } => BatchOutcome::Appended { base_offset },
        Outcome::Duplicate { base_offset } => BatchOutcome::Duplicate { base_offset },
        Outcome::DuplicateElsewhere => BatchOutcome::DuplicateElsewhere,
        Outcome::UnknownPartition => BatchOutcome::Refused(RefusalReason::UnknownPartition),
        Outcome::OutOfOrderSequence { expected } => {
            BatchOutcome::Refused(RefusalReason::OutOfOrderSequence { expected })
        }
        Outcome::ProducerFenced { current } => BatchOutcome::Refused(RefusalReason::ProducerFenced { current }),
        Outcome::SequenceTooOld => BatchOutcome::Refused(RefusalReason::SequenceTooOld),
        Outcome::UnissuedProducerId => BatchOutcome::Refused(RefusalReason::UnissuedProducerId),
        Outcome::UnknownProducerId => BatchOutcome::Refused(RefusalReason::UnknownProducerId),
    }
}
