//! What is cut and not answered, in order: decides what is submitted next and what an answer means. No I/O.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use eagre_model::{ObjectId, TopicNumber, TopicPartition, TopicRecord, UploadEpoch};
use eagre_proto::v1::ProduceResponse;
use eagre_sequencer_api::{BatchOutcome, CommitAnswer, CommitFailure, CommitReply, CommitRequest, RefusalReason};
use tokio::time::Instant;
use tracing::Span;

use crate::{
    admission::Grant,
    produce::{
        answer::{Answer, OFFSET_UNKNOWN, Ticket},
        open::OpenObject,
        upload::{Parts, UploadFailure, Uploaded},
    },
    refusal::Refusal,
};

/// Objects between their cut and their answer, oldest first.
pub(super) struct CommitQueue {
    entries: VecDeque<Entry>,
    /// What was sent on the present stream and not answered, in the order in which it was sent.
    sent: VecDeque<ObjectId>,
    next_order: u64,
    answer_after_max: Duration,
    /// A planted bug.
    resends_reversed: bool,
    /// Why the sequencer could not be reached the last time.
    trouble: Option<String>,
}

struct Entry {
    /// Place in the order of cuts; stays when the object is uploaded again under another id.
    order: u64,
    id: Option<ObjectId>,
    stage: Stage,
    /// It was sent to the sequencer at least once and never answered.
    maybe_judged: bool,
    answer_by: Instant,
    cut_at: Instant,
    /// One a batch, in the order of the runs; empty once the clients were told that the outcome is unknown.
    waiters: Vec<Waiter>,
    /// Held as long as the bytes.
    grants: Vec<Grant>,
    /// Of the object; none where nobody traces it.
    span: Span,
    /// Of its commit, while it is submitted.
    commit_span: Span,
}

enum Stage {
    Uploading,
    Uploaded(Uploaded),
    Submitted(Uploaded),
}

struct Waiter {
    topic: Arc<TopicRecord>,
    partition: TopicPartition,
    ticket: Ticket,
}

fn appended(base_offset: i64, duplicate: bool) -> ProduceResponse {
    ProduceResponse { base_offset, duplicate, positions: Vec::new() }
}

/// What an answer of the sequencer asks for, in order.
pub(super) enum Effect {
    Forget(TopicNumber),
    Answer(Answers),
    UploadAgain { order: u64, uploaded: Uploaded, upload_epoch: UploadEpoch },
}

/// Answers that may go out now.
pub(super) struct Answers {
    answers: Vec<(Ticket, Answer)>,
    uploaded_cut_at: Option<Instant>,
    _grants: Vec<Grant>,
}

impl Answers {
    /// When the object was cut, if it was uploaded.
    pub fn uploaded_cut_at(&self) -> Option<Instant> {
        self.uploaded_cut_at
    }

    pub fn deliver(self) {
        for (ticket, answer) in self.answers {
            ticket.answer(answer);
        }
    }
}

impl CommitQueue {
    pub fn new(answer_after_max: Duration, resends_reversed: bool) -> Self {
        Self {
            entries: VecDeque::new(),
            sent: VecDeque::new(),
            next_order: 0,
            answer_after_max,
            resends_reversed,
            trouble: None,
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// For how long the oldest object has been waiting for its answer since it was cut.
    pub fn oldest_age(&self, now: Instant) -> Duration {
        let oldest = self.entries.front().map(|entry| now.saturating_duration_since(entry.cut_at));
        oldest.unwrap_or_default()
    }

    /// Takes an object that was cut; returns its place and what is to be uploaded.
    pub fn push(&mut self, object: OpenObject, now: Instant) -> (u64, Parts) {
        let order = self.next_order;
        self.next_order += 1;
        let answer_by = object.opened.unwrap_or(now) + self.answer_after_max;
        let (mut parts, mut waiters, mut grants) = (Parts::with_capacity(object.runs.len()), Vec::new(), Vec::new());
        for (partition, batches) in object.runs {
            let mut run = Vec::with_capacity(batches.len());
            for pending in batches {
                run.push(pending.batch);
                grants.extend(pending.grant);
                waiters.push(Waiter { topic: pending.topic, partition, ticket: pending.ticket });
            }
            parts.push((partition, run));
        }
        self.entries.push_back(Entry {
            order,
            id: None,
            stage: Stage::Uploading,
            maybe_judged: false,
            answer_by,
            cut_at: now,
            waiters,
            grants,
            span: object.span,
            commit_span: Span::none(),
        });
        (order, parts)
    }

    /// Under which id it is being uploaded.
    /// Returns the span of that upload.
    pub fn uploading(&mut self, order: u64, id: ObjectId) -> Span {
        let Some(place) = self.place(order) else { return Span::none() };
        let entry = &mut self.entries[place];
        entry.id = Some(id);
        eagre_trace::put(&entry.span, &id)
    }

    /// An upload ended. One that failed for good leaves the order and holds up nothing.
    pub fn uploaded(&mut self, order: u64, result: Result<Uploaded, UploadFailure>) {
        // It may have been refused meanwhile, because it took too long.
        let Some(place) = self.place(order) else { return };
        match result {
            Ok(uploaded) => self.entries[place].stage = Stage::Uploaded(uploaded),
            Err(UploadFailure(why)) => self.refuse(place, &Refusal::Unavailable(why)),
        }
    }

    /// The object that may be submitted now: everything before it has been, and nothing before it is under way with an
    /// older epoch. Such a one may be refused and have to come again, before what is behind it.
    pub fn next_to_submit(&self) -> Option<ObjectId> {
        self.candidate().and_then(|place| self.entries[place].id)
    }

    fn candidate(&self) -> Option<usize> {
        let place = self.entries.iter().position(|entry| !matches!(entry.stage, Stage::Submitted(_)))?;
        let epoch = self.entries[place].id?.epoch;
        let is_uploaded = matches!(self.entries[place].stage, Stage::Uploaded(_));
        let older = self.entries.range(..place).any(|entry| entry.id.is_some_and(|id| id.epoch < epoch));
        (is_uploaded && !older).then_some(place)
    }

    /// Marks that object as submitted and returns the request to send.
    pub fn submit(&mut self) -> Option<CommitRequest> {
        let place = self.candidate()?;
        let settled_below = self.entries.iter().filter_map(|entry| entry.id).map(|id| id.number).min()?;
        let entry = &mut self.entries[place];
        let Stage::Uploaded(uploaded) = std::mem::replace(&mut entry.stage, Stage::Uploading) else { return None };
        entry.commit_span = eagre_trace::commit(&entry.span);
        let traceparent = eagre_trace::traceparent(&entry.commit_span);
        // What is not in the queue any more was answered, or never submitted; numbers are given in order.
        let request = CommitRequest { traceparent, settled_below, ..uploaded.request.clone() };
        entry.stage = Stage::Submitted(uploaded);
        entry.maybe_judged = true;
        self.sent.push_back(request.object);
        Some(request)
    }

    /// The stream broke: what is unanswered is to be submitted again, in the same order, before anything newer.
    pub fn stream_lost(&mut self) {
        self.sent.clear();
        let mut unanswered = Vec::new();
        for (place, entry) in self.entries.iter_mut().enumerate() {
            match std::mem::replace(&mut entry.stage, Stage::Uploading) {
                Stage::Submitted(uploaded) => {
                    entry.stage = Stage::Uploaded(uploaded);
                    unanswered.push(place);
                }
                other => entry.stage = other,
            }
        }
        if self.resends_reversed {
            for pair in 0..unanswered.len() / 2 {
                self.entries.swap(unanswered[pair], unanswered[unanswered.len() - 1 - pair]);
            }
        }
    }

    /// Why the sequencer cannot be reached, for those who have to be refused because of it.
    pub fn note_trouble(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// What the answer asks for; `None`: it is not the answer to the oldest commit that was sent.
    pub fn reply(&mut self, reply: CommitReply) -> Option<Vec<Effect>> {
        self.trouble = None;
        let expected = self.sent.pop_front();
        if expected != Some(reply.object) {
            tracing::error!(?expected, got = %reply.object, "answers out of order");
            return None;
        }
        let submitted = |entry: &Entry| entry.id == expected && matches!(entry.stage, Stage::Submitted(_));
        let place = self.entries.iter().position(submitted)?;
        match reply.result {
            Ok(answer) => Some(self.judged(place, &answer)),
            Err(CommitFailure::EpochBelowFloor { upload_epoch }) => self.below_floor(place, upload_epoch),
            Err(failure @ CommitFailure::Mismatch) => {
                tracing::error!(object = %reply.object, %failure, "a commit was refused: this is a bug");
                // It may have been judged under this name, and its batches appended.
                self.refuse(place, &Refusal::OutcomeUnknown("the gateway mixed up its objects".into()));
                Some(Vec::new())
            }
        }
    }

    /// When the oldest request that is still waited for has waited too long.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.entries.iter().find(|entry| !entry.waiters.is_empty()).map(|entry| entry.answer_by)
    }

    /// Tells those who have waited too long what is known: not appended when it was never submitted, else unknown. What
    /// may have been judged stays in the order until it is answered.
    pub fn expire(&mut self, now: Instant) {
        let mut place = 0;
        while place < self.entries.len() {
            let entry = &mut self.entries[place];
            if entry.answer_by > now {
                // Those behind were opened later.
                return;
            }
            if entry.waiters.is_empty() {
                place += 1;
            } else if entry.maybe_judged {
                for waiter in entry.waiters.drain(..) {
                    let why = "the sequencer has not answered in time".to_owned();
                    waiter.ticket.answer(Err(Refusal::OutcomeUnknown(why)));
                }
                place += 1;
            } else {
                let why = self.trouble.clone().unwrap_or_else(|| "it took too long to store this".to_owned());
                self.refuse(place, &Refusal::Unavailable(why));
            }
        }
    }

    fn judged(&mut self, place: usize, answer: &CommitAnswer) -> Vec<Effect> {
        let Some(entry) = self.entries.remove(place) else { return Vec::new() };
        let mut effects = Vec::new();
        let mut answers = Vec::with_capacity(entry.waiters.len());
        let complete = entry.waiters.is_empty() || answer.outcomes.len() == entry.waiters.len();
        if !complete {
            let (expected, got) = (entry.waiters.len(), answer.outcomes.len());
            tracing::error!(expected, got, "a commit was answered with another number of outcomes");
        }
        let outcomes = answer.outcomes.iter().copied().map(Some).chain(std::iter::repeat(None));
        let mut gone = None;
        for (waiter, outcome) in entry.waiters.into_iter().zip(outcomes) {
            let answer = match outcome.filter(|_| complete) {
                Some(BatchOutcome::Appended { base_offset }) => Ok(appended(base_offset, false)),
                Some(BatchOutcome::Duplicate { base_offset }) => Ok(appended(base_offset, true)),
                Some(BatchOutcome::DuplicateElsewhere) => Ok(appended(OFFSET_UNKNOWN, true)),
                Some(BatchOutcome::Refused(reason)) => {
                    let topic = waiter.partition.topic;
                    if reason == RefusalReason::UnknownPartition && gone != Some(topic) {
                        gone = Some(topic);
                        effects.push(Effect::Forget(topic));
                    }
                    Err(Refusal::of_batch(reason, &waiter.topic.name))
                }
                None => Err(Refusal::OutcomeUnknown("the sequencer's answer cannot be read".into())),
            };
            answers.push((waiter.ticket, answer));
        }
        let was_uploaded = matches!(&entry.stage, Stage::Submitted(uploaded) if uploaded.request.inline.is_none());
        let uploaded_cut_at = was_uploaded.then_some(entry.cut_at);
        effects.push(Effect::Answer(Answers { answers, uploaded_cut_at, _grants: entry.grants }));
        effects
    }

    /// Definite, and sure to happen to everything submitted behind it under the same epoch. It keeps its place.
    fn below_floor(&mut self, place: usize, upload_epoch: UploadEpoch) -> Option<Vec<Effect>> {
        let entry = self.entries.get_mut(place)?;
        entry.maybe_judged = false;
        let order = entry.order;
        match std::mem::replace(&mut entry.stage, Stage::Uploading) {
            Stage::Submitted(uploaded) | Stage::Uploaded(uploaded) => {
                Some(vec![Effect::UploadAgain { order, uploaded, upload_epoch }])
            }
            Stage::Uploading => None,
        }
    }

    /// Removes an object that is definitely not appended.
    fn refuse(&mut self, place: usize, refusal: &Refusal) {
        let Some(entry) = self.entries.remove(place) else { return };
        for waiter in entry.waiters {
            waiter.ticket.answer(Err(refusal.clone()));
        }
    }

    /// Where the object is that was cut at that place in the order.
    fn place(&self, order: u64) -> Option<usize> {
        self.entries.iter().position(|entry| entry.order == order)
    }
}

#[cfg(test)]
mod tests;
