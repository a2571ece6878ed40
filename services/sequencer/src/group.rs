//! A group: all work that one flush makes durable. Applied in order to the tentative view, without I/O.

use std::collections::{BTreeMap, BTreeSet};

use eagre_env::{Env, PlantedBug};
use eagre_metadata::{
    Changes,
    rows::{
        Meta, MetaName, MetaValue, Object, Outcome, Outcomes, Producer, ProducerKey, RunKey, RunRow, Tail,
        TopicProducer, TopicProducerKey,
    },
};
use eagre_model::{ObjectId, Placement, ProducerId, TopicPartition, TopicRecord};
use eagre_sequencer_api::{
    BatchOutcome, CommitAnswer, CommitFailure, CommitReply, CommitRequest, CreateTopicError, Joined, RefusalReason,
    TopicError,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc::OwnedPermit, oneshot};

use crate::{
    hash::request_hash,
    judge::{Rules, judge},
    load::Loaded,
    published::Delta,
    telemetry,
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
    /// To give out a producer id.
    InitProducer {
        /// Where the answer goes.
        answer: oneshot::Sender<ProducerId>,
    },
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
        }
    }
}

/// A group while it is put together.
pub struct Group<'a> {
    env: &'a Env,
    cluster_id: &'a str,
    state: &'a mut Loaded,
    /// Commit records: those that the store holds, then those of this group.
    records: BTreeMap<ObjectId, Object>,
    grown: BTreeSet<TopicPartition>,
    producers: BTreeSet<ProducerKey>,
    topic_producers: BTreeSet<TopicProducerKey>,
    sealed: Sealed,
}

/// A finished group.
#[derive(Default)]
pub struct Sealed {
    /// The rows to write.
    pub changes: Changes,
    /// What to publish once they are durable.
    pub delta: Delta,
    /// What to answer then, in order.
    pub answers: Vec<Answer>,
}

impl<'a> Group<'a> {
    /// An empty group. `records` are the commit records of its objects, where the store has them; the state holds the
    /// producers of its batches.
    pub fn new(env: &'a Env, cluster_id: &'a str, state: &'a mut Loaded, records: BTreeMap<ObjectId, Object>) -> Self {
        let (grown, producers, topic_producers, sealed) = Default::default();
        Self { env, cluster_id, state, records, grown, producers, topic_producers, sealed }
    }

    /// Adds what is asked; order counts.
    pub fn add(&mut self, work: Work) {
        let answer = match work {
            Work::Commit { request, slot, budget } => {
                let reply = CommitReply { object: request.object, result: self.commit(&request) };
                telemetry::judged(&reply);
                Answer::Commit(slot, reply, budget)
            }
            Work::CreateTopic { name, placement, answer } => {
                let created = self.create_topic(name, placement);
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
        if self.env.has_planted(PlantedBug::FloorBeforeRecord) {
            self.check_epoch(request)?;
        }
        if let Some(record) = self.records.get(&request.object) {
            return answer_of(record, hash, request).ok_or(CommitFailure::Mismatch);
        }
        self.check_epoch(request)?;
        let verdict = judge(&mut self.state.view, request, Rules::of(self.env));
        for (partition, run) in verdict.rows {
            self.sealed.changes.put::<RunRow>(&RunKey { partition, last_offset: run.last_offset }, &run);
            self.grown.insert(partition);
            self.sealed.delta.tails.entry(partition).or_default().1.push(run);
        }
        self.producers.extend(verdict.producers);
        self.topic_producers.extend(verdict.topic_producers);
        let counts = record_counts(request);
        let outcomes = Outcomes::new(verdict.outcomes.iter().map(|outcome| stored(*outcome)).zip(counts));
        let record = Object { request_hash: hash, live_bytes: verdict.live_bytes, outcomes };
        self.sealed.changes.put::<Object>(&request.object, &record);
        self.records.insert(request.object, record);
        Ok(CommitAnswer { outcomes: verdict.outcomes })
    }

    /// An epoch above the present one was never given out: the gateway's next upload gets the right one.
    fn check_epoch(&self, request: &CommitRequest) -> Result<(), CommitFailure> {
        let epochs = self.state.epochs;
        let is_open = (epochs.floor..=epochs.current).contains(&request.object.epoch);
        if is_open { Ok(()) } else { Err(CommitFailure::EpochBelowFloor { upload_epoch: epochs.current }) }
    }

    fn create_topic(&mut self, name: String, placement: Placement) -> Result<TopicRecord, CreateTopicError> {
        let birth = Birth { id: self.env.random.next_u128(), created_at_ms: self.env.clock.unix_ms() };
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
        let view = &self.state.view;
        let last_use = self.state.epochs.current;
        for partition in &self.grown {
            if let Some(tail) = view.tails.get(partition) {
                self.sealed.changes.put::<Tail>(partition, &tail.row());
            }
        }
        for key in &self.producers {
            if let Some(row) = view.producers.get(key).and_then(|state| state.row(last_use)) {
                self.sealed.changes.put::<Producer>(key, &row);
            }
        }
        for key in &self.topic_producers {
            if let Some(row) = view.topic_producers.get(key).and_then(|state| state.row(last_use)) {
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
    }
}
