//! A produce stream: requests in, answers out, in one task.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use eagre_env::HashMap;
use eagre_model::TopicRecord;
use eagre_proto::v1::{ProduceRequest, ProduceStreamRequest, ProduceStreamResponse};
use eagre_sequencer_api::TopicError;
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::mpsc;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, Streaming};

use super::{
    answer::{Lanes, Reply},
    edge::{self, Place},
    origin::Origin,
    submit::submit,
};
use crate::{
    Shared,
    admission::{Grant, Grants},
    limits::StreamSlot,
    refusal::{Refusal, check_topic_name},
};

/// Requests taken in one go before others get their turn.
const REQUESTS_PER_TURN: usize = 32;

type Lookup = BoxFuture<'static, (String, Result<Arc<TopicRecord>, TopicError>)>;

/// The answers of one produce stream. Polling it also reads the requests, so a client that takes no answers sends no more
/// requests than are allowed to be open.
pub(crate) struct ProduceAnswers {
    shared: Arc<Shared>,
    requests: Option<Streaming<ProduceStreamRequest>>,
    /// What the call says of its caller's trace: its requests are parts of it.
    caller: Option<String>,
    grants: Grants,
    lanes: Arc<Lanes>,
    answers: mpsc::Receiver<Box<ProduceStreamResponse>>,
    /// Requests read whose answer has not been taken.
    open: usize,
    /// Requests for topics that are being looked up, in their order. Others pass them.
    parked: HashMap<String, Vec<Parked>>,
    lookups: FuturesUnordered<Lookup>,
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    /// How the stream ends when everything is answered.
    end: Option<Status>,
    _slot: StreamSlot,
}

struct Parked {
    request_id: u64,
    request: ProduceRequest,
    grant: Option<Grant>,
    origin: Origin,
}

impl ProduceAnswers {
    pub fn new(
        shared: Arc<Shared>,
        requests: Streaming<ProduceStreamRequest>,
        caller: Option<String>,
        grants: Grants,
        slot: StreamSlot,
    ) -> Self {
        let (lanes, answers) = Lanes::new(shared.settings.requests_per_stream_max);
        let draining = Box::pin(shared.draining.clone().cancelled_owned());
        Self {
            shared,
            requests: Some(requests),
            caller,
            grants,
            lanes,
            answers,
            open: 0,
            parked: HashMap::default(),
            lookups: FuturesUnordered::new(),
            draining,
            end: None,
            _slot: slot,
        }
    }

    fn take(&mut self, message: ProduceStreamRequest) {
        self.open += 1;
        let grant = self.grants.take();
        let request_id = message.request_id;
        let topic = message.request.as_ref().map_or("", |request| &request.topic);
        let origin = Origin::new(self.caller.as_deref(), topic);
        let Some(request) = message.request else {
            let refusal = Refusal::invalid("request", "the request is missing");
            return self.lanes.answer_now(request_id, &origin, Err(refusal));
        };
        let parked = Parked { request_id, request, grant, origin };
        if let Some(waiting) = self.parked.get_mut(&parked.request.topic) {
            return waiting.push(parked);
        }
        let known = self.shared.directory.known(&parked.request.topic);
        let placed = known.and_then(|topic| {
            let place = edge::place(&topic, &parked.request).ok()?;
            Some((topic, place))
        });
        match placed {
            Some((topic, place)) => self.submit(parked, &topic, place),
            None => {
                if let Err(refusal) = check_topic_name("topic", &parked.request.topic) {
                    return self.lanes.answer_now(request_id, &parked.origin, Err(refusal));
                }
                let (shared, name) = (self.shared.clone(), parked.request.topic.clone());
                self.parked.insert(name.clone(), vec![parked]);
                let lookup = async move {
                    let found = shared.directory.lookup(&name).await;
                    (name, found)
                };
                self.lookups.push(lookup.boxed());
            }
        }
    }

    fn looked_up(&mut self, name: &str, found: Result<Arc<TopicRecord>, TopicError>) {
        for parked in self.parked.remove(name).unwrap_or_default() {
            let placed = match &found {
                Ok(topic) => edge::place(topic, &parked.request).map(|place| (topic, place)),
                Err(error) => Err(Refusal::of_lookup(error.clone(), name)),
            };
            match placed {
                Ok((topic, place)) => self.submit(parked, topic, place),
                Err(refusal) => self.lanes.answer_now(parked.request_id, &parked.origin, Err(refusal)),
            }
        }
    }

    fn submit(&mut self, parked: Parked, topic: &Arc<TopicRecord>, place: Place) {
        let Parked { request_id, request, grant, origin } = parked;
        let reply = Reply::Stream { lanes: self.lanes.clone(), request_id, origin };
        submit(&self.shared, topic, place, request, reply, grant);
    }

    /// Reads requests until none is there, too many are open or it is somebody else's turn.
    fn read(&mut self, cx: &mut Context<'_>) {
        for _ in 0..REQUESTS_PER_TURN {
            if self.open >= self.shared.requests_per_stream() {
                return;
            }
            let Some(requests) = &mut self.requests else { return };
            match requests.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(message))) => self.take(message),
                Poll::Ready(Some(Err(status))) => {
                    tracing::debug!(%status, "a produce stream broke");
                    self.end = Some(status);
                    self.requests = None;
                }
                Poll::Ready(None) => self.requests = None,
                Poll::Pending => return,
            }
        }
        cx.waker().wake_by_ref();
    }
}

impl Stream for ProduceAnswers {
    type Item = Result<ProduceStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.requests.is_some() && this.draining.as_mut().poll(cx).is_ready() {
            this.requests = None;
            this.end = Some(Refusal::Unavailable("this gateway is going away; connect to another one".into()).into());
        }
        while let Poll::Ready(Some((name, found))) = this.lookups.poll_next_unpin(cx) {
            this.looked_up(&name, found);
        }
        this.read(cx);
        // What was just taken may have to be looked up.
        while let Poll::Ready(Some((name, found))) = this.lookups.poll_next_unpin(cx) {
            this.looked_up(&name, found);
        }
        match this.answers.poll_recv(cx) {
            Poll::Ready(Some(answer)) => {
                this.open -= 1;
                Poll::Ready(Some(Ok(*answer)))
            }
            Poll::Pending if this.requests.is_none() && this.open == 0 => Poll::Ready(this.end.take().map(Err)),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
