//! Answers find their way back: to the caller of a unary request, or into a stream, in the order of its partition.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eagre_env::HashMap;
use eagre_model::TopicPartition;
use eagre_proto::v1::{ProduceResponse, ProduceStreamResponse, produce_stream_response::Outcome};
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use super::{origin::Origin, scatter::Gathering};
use crate::refusal::Refusal;

/// The base offset of records that are in the log, though where is not known any more.
pub(crate) const OFFSET_UNKNOWN: i64 = -1;

/// What becomes of a request.
pub(crate) type Answer = Result<ProduceResponse, Refusal>;

/// Where the answer to a request goes.
pub(crate) enum Reply {
    Caller(oneshot::Sender<Answer>, Origin),
    Stream { lanes: Arc<Lanes>, request_id: u64, origin: Origin },
}

impl Reply {
    /// That of a call, and where it comes out.
    pub fn unary(origin: Origin) -> (Self, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        (Self::Caller(sender, origin), receiver)
    }

    /// The reply to a request that goes to one partition; in a stream it takes the next place in the partition's order.
    pub fn ticket(self, partition: TopicPartition) -> Ticket {
        match self {
            Self::Caller(caller, origin) => Ticket(Some(Destination::Caller(caller, origin))),
            Self::Stream { lanes, request_id, origin } => lanes.ticket(partition, request_id, origin),
        }
    }

    /// Whose it is.
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Caller(_, origin) | Self::Stream { origin, .. } => origin,
        }
    }

    /// Answers a request that belongs to no one partition.
    pub fn give(self, answer: Answer) {
        match self {
            Self::Caller(caller, origin) => {
                origin.answered(&answer);
                // The caller may have gone; what was appended stays appended.
                drop(caller.send(answer));
            }
            Self::Stream { lanes, request_id, origin } => lanes.answer_now(request_id, &origin, answer),
        }
    }
}

/// The right to answer one request, or one part of it, once. A ticket that is dropped answers that the outcome is unknown.
pub(crate) struct Ticket(Option<Destination>);

enum Destination {
    Caller(oneshot::Sender<Answer>, Origin),
    Stream { lanes: Arc<Lanes>, partition: TopicPartition, number: u64, origin: Origin },
    Part { gathering: Arc<Gathering>, partition: u32, places: Vec<usize> },
}

impl Ticket {
    /// A ticket for the records of a request that go to one of its partitions.
    pub fn of_part(gathering: Arc<Gathering>, partition: u32, places: Vec<usize>) -> Self {
        Self(Some(Destination::Part { gathering, partition, places }))
    }

    /// The span of the request; none where it is not traced.
    pub fn span(&self) -> Span {
        match &self.0 {
            Some(Destination::Caller(_, origin) | Destination::Stream { origin, .. }) => origin.span().clone(),
            Some(Destination::Part { gathering, .. }) => gathering.span(),
            None => Span::none(),
        }
    }

    pub fn answer(mut self, answer: Answer) {
        self.deliver(answer);
    }

    fn deliver(&mut self, answer: Answer) {
        let Some(destination) = self.0.take() else { return };
        match destination {
            Destination::Caller(caller, origin) => Reply::Caller(caller, origin).give(answer),
            Destination::Stream { lanes, partition, number, origin } => {
                origin.answered(&answer);
                lanes.complete(partition, number, answer);
            }
            // Counted with the whole request.
            Destination::Part { gathering, partition, places } => gathering.complete(partition, &places, answer),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.deliver(Err(Refusal::OutcomeUnknown("the gateway stopped before it knew the outcome".into())));
    }
}

/// The unanswered requests of one stream: a lane for each partition, so that answers of one come in the order of their
/// requests and no lane waits for another.
pub(crate) struct Lanes {
    lanes: Mutex<HashMap<TopicPartition, Lane>>,
    /// Boxed: a channel has a block of places from its beginning on, and thousands of streams have a channel each.
    out: mpsc::Sender<Box<ProduceStreamResponse>>,
}

#[derive(Default)]
struct Lane {
    /// Number of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
}

struct Slot {
    request_id: u64,
    answer: Option<Answer>,
}

impl Lanes {
    /// Lanes and where the answers come out. No more than `capacity` requests may be open; then no answer finds the way
    /// full.
    pub fn new(capacity: usize) -> (Arc<Self>, mpsc::Receiver<Box<ProduceStreamResponse>>) {
        let (out, answers) = mpsc::channel(capacity);
        (Arc::new(Self { lanes: Mutex::default(), out }), answers)
    }

    /// Takes the next place in a partition's order.
    pub fn ticket(self: &Arc<Self>, partition: TopicPartition, request_id: u64, origin: Origin) -> Ticket {
        let mut lanes = self.lanes();
        let lane = lanes.entry(partition).or_default();
        let number = lane.first + lane.slots.len() as u64;
        lane.slots.push_back(Slot { request_id, answer: None });
        Ticket(Some(Destination::Stream { lanes: self.clone(), partition, number, origin }))
    }

    /// Answers a request that belongs to no partition that exists.
    pub fn answer_now(&self, request_id: u64, origin: &Origin, answer: Answer) {
        origin.answered(&answer);
        self.send(request_id, answer);
    }

    fn complete(&self, partition: TopicPartition, number: u64, answer: Answer) {
        let mut lanes = self.lanes();
        let Some(lane) = lanes.get_mut(&partition) else { return };
        let place = usize::try_from(number - lane.first).unwrap_or(usize::MAX);
        let Some(slot) = lane.slots.get_mut(place) else { return };
        slot.answer = Some(answer);
        while let Some(Slot { answer: Some(_), .. }) = lane.slots.front() {
            let Some(Slot { request_id, answer: Some(answer) }) = lane.slots.pop_front() else { break };
            lane.first += 1;
            self.send(request_id, answer);
        }
        if lane.slots.is_empty() {
            lanes.remove(&partition);
        }
    }

    fn send(&self, request_id: u64, answer: Answer) {
        let outcome = match answer {
            Ok(response) => Outcome::Response(response),
            Err(refusal) => Outcome::Error(refusal.into_produce_error()),
        };
        let response = Box::new(ProduceStreamResponse { request_id, outcome: Some(outcome) });
        // It is full never, because the stream reads no more requests than it has room for, and closed when the client went.
        let sent = self.out.try_send(response);
        debug_assert!(!matches!(sent, Err(mpsc::error::TrySendError::Full(_))), "more requests open than agreed");
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<TopicPartition, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
