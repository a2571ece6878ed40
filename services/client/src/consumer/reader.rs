//! The task of a consumer: keeps the stream to the service and reads ahead.

use std::sync::Arc;

use eagre_proto::v1::{FetchEncoding, FetchEnd, FetchPartition, FetchRequest, FetchResponse};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Instant, sleep_until},
};
use tonic::Streaming;
use tracing::{debug, warn};

use super::{Assigned, Position, read_error};
use crate::{Client, ReadError, backoff::Backoff, client::Endpoint, error::CallFailure};

/// What a message takes of the room beside its batches.
const MESSAGE_OVERHEAD_BYTES: usize = 256;

/// What the task has for the consumer. Each says how many seeks it knew of.
#[derive(Debug)]
pub(super) enum Item {
    /// Batches of the partition at this place.
    Message { seeks: u64, index: usize, message: FetchResponse, room: OwnedSemaphorePermit },
    /// All partitions are at their ends.
    End { seeks: u64 },
    /// Reading cannot go on.
    Failed { seeks: u64, error: ReadError },
}

/// Where the consumer wants partitions to be read from.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// How often one of them was sent elsewhere.
    pub seeks: u64,
    /// By place: number and offset of the last seek.
    pub offsets: Vec<Option<(u64, i64)>>,
}

/// What the task is made of.
pub(super) struct Reader {
    pub client: Client,
    /// Where each partition is: behind the last message that was read ahead.
    pub partitions: Vec<Assigned>,
    pub stops_at_end: bool,
    pub plan: watch::Receiver<Plan>,
    pub out: mpsc::Sender<Item>,
    pub room: Arc<Semaphore>,
    /// All of the room.
    pub prefetch_bytes: usize,
}

/// What it reads by.
struct State {
    reader: Reader,
    /// That were taken over.
    seeks: u64,
    stream: Option<OpenStream>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    /// Since the last message there was trouble, and it was logged.
    is_troubled: bool,
}

struct OpenStream {
    messages: Streaming<FetchResponse>,
    /// Places in [`Reader::partitions`], in the order of the request.
    partitions: Vec<usize>,
    endpoint: Endpoint,
}

impl Reader {
    /// Reads until the consumer is gone.
    pub async fn run(self) {
        let mut plan = self.plan.clone();
        let backoff = Backoff::default();
        let mut state = State { reader: self, seeks: 0, stream: None, backoff, retry_at: None, is_troubled: false };
        loop {
            // What was read and did not find room is read again.
            state.stream = None;
            state.take_over(&plan.borrow_and_update());
            let seeks = state.seeks;
            let item = tokio::select! {
                biased;
                changed = plan.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                read = state.read_all() => match read {
                    Ok(()) => Item::End { seeks },
                    Err(error) => Item::Failed { seeks, error },
                },
            };
            if state.reader.out.send(item).await.is_err() || plan.changed().await.is_err() {
                return;
            }
        }
    }
}

impl State {
    fn take_over(&mut self, plan: &Plan) {
        for (assigned, sought) in self.reader.partitions.iter_mut().zip(&plan.offsets) {
            if let Some((_, offset)) = sought.filter(|(seek, _)| *seek > self.seeks) {
                assigned.next_offset = offset;
            }
        }
        self.seeks = plan.seeks;
    }

    /// Reads all partitions to their ends. Cancelled, nothing is lost when the stream is opened anew.
    async fn read_all(&mut self) -> Result<(), ReadError> {
        while !self.reader.partitions.iter().all(Assigned::is_done) {
            let Some(stream) = &mut self.stream else {
                self.connect().await?;
                continue;
            };
            match stream.messages.message().await {
                Ok(Some(message)) => self.take(message).await?,
                Ok(None) => self.retry("the service ended the stream"),
                Err(status) => {
                    let failure = stream.endpoint.failure(&status);
                    self.stream = None;
                    self.survive(failure)?;
                }
            }
        }
        self.stream = None;
        Ok(())
    }

    /// Waits until there is room for a message and hands it on.
    async fn take(&mut self, mut message: FetchResponse) -> Result<(), ReadError> {
        self.backoff.reset();
        self.is_troubled = false;
        let index = self.stream.as_ref().and_then(|stream| stream.partitions.get(message.index as usize).copied());
        let index =
            index.ok_or_else(|| ReadError::Protocol("a message is of no partition that was asked for".into()))?;
        let Reader { partitions, room, out, prefetch_bytes, .. } = &mut self.reader;
        let assigned = &mut partitions[index];
        if let Some(error) = message.error.take() {
            let failure = CallFailure::of_partition(error);
            return Err(failure.into_read_error(&assigned.topic, Some(assigned.partition)));
        }
        let next_offset = message.next_offset;
        let bytes = (message.batches.len() + MESSAGE_OVERHEAD_BYTES).min(*prefetch_bytes);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = room.clone().acquire_many_owned(bytes).await.expect("the room is never closed");
        // When nobody is there to take it, the end of the plan is seen next.
        if out.send(Item::Message { seeks: self.seeks, index, message, room }).await.is_ok() {
            assigned.next_offset = assigned.next_offset.max(next_offset);
        }
        Ok(())
    }

    /// Opens the stream anew. Returns without one when that is to be tried again.
    async fn connect(&mut self) -> Result<(), ReadError> {
        if let Some(at) = self.retry_at {
            sleep_until(at).await;
            // What was made under the same name meanwhile is another topic.
            if let Err(failure) = self.check_topics().await {
                return failure.map_or(Ok(()), Err);
            }
        }
        let open = (0..).zip(&self.reader.partitions).filter(|(_, assigned)| !assigned.is_done());
        let (indices, partitions) = open.map(|(index, assigned)| (index, assigned.request())).unzip();
        let end = if self.reader.stops_at_end { FetchEnd::Stop } else { FetchEnd::Follow };
        let request = FetchRequest { partitions, end: end.into(), encoding: FetchEncoding::Batches.into() };
        let (mut service, endpoint) = self.reader.client.fetch_service();
        match endpoint.answer(service.fetch(request)).await {
            Ok(messages) => {
                let endpoint = endpoint.clone();
                self.stream = Some(OpenStream { messages, partitions: indices, endpoint });
                Ok(())
            }
            Err(failure) => self.survive(failure),
        }
    }

    /// Whether the topics are still those that reading began with. `Err(None)`: to be tried again.
    async fn check_topics(&mut self) -> Result<(), Option<ReadError>> {
        let mut checked: Vec<Arc<str>> = Vec::new();
        let mut unavailable = None;
        for assigned in self.reader.partitions.iter().filter(|assigned| !assigned.is_done()) {
            if checked.contains(&assigned.topic_id) {
                continue;
            }
            checked.push(assigned.topic_id.clone());
            match self.reader.client.describe(&assigned.topic, Instant::now()).await {
                Ok(description) if description.topic.id == *assigned.topic_id => {}
                Ok(_) => return Err(Some(ReadError::TopicRecreated(assigned.topic.to_string()))),
                Err(error) => match read_error(error) {
                    ReadError::Unavailable(message) => unavailable = Some(message),
                    error => return Err(Some(error)),
                },
            }
        }
        match unavailable {
            None => Ok(()),
            Some(message) => {
                self.retry(&message);
                Err(None)
            }
        }
    }

    /// Gives the failure back unless reading can go on after it.
    fn survive(&mut self, failure: CallFailure) -> Result<(), ReadError> {
        if failure.is_worth_repeating(true) {
            self.retry(&failure.message);
            return Ok(());
        }
        // A failure of a stream over many partitions says in its message which one it is about.
        let (topic, partition) = match self.reader.partitions.as_slice() {
            [only] => (only.topic.clone(), Some(only.partition)),
            [first, ..] => (first.topic.clone(), None),
            [] => (Arc::from(""), None),
        };
        Err(failure.into_read_error(&topic, partition))
    }

    fn retry(&mut self, message: &str) {
        self.stream = None;
        if !std::mem::replace(&mut self.is_troubled, true) {
            warn!("{message}; reading is tried again");
        } else {
            debug!(%message, "reading is interrupted");
        }
        self.reader.client.try_another_endpoint();
        self.retry_at = Some(Instant::now() + self.backoff.next(self.reader.client.env().random.as_ref()));
    }
}

impl Assigned {
    fn request(&self) -> FetchPartition {
        FetchPartition {
            topic: self.topic.as_ref().to_owned(),
            partition: self.partition,
            position: Some(Position::Offset(self.next_offset).into()),
        }
    }
}
