//! Reading records.

mod decode;
mod open;

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use eagre_proto::v1::{FetchEncoding, FetchEnd, FetchPartition, FetchRequest, FetchResponse};
use futures::Stream;
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;
use tracing::{debug, warn};

use self::decode::Decoder;
pub use self::open::ConsumerBuilder;
use crate::{Client, ReadError, TopicError, backoff::Backoff, client::Endpoint, error::CallFailure};

/// Where reading a partition begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The first record that there is.
    Beginning,
    /// After the last record that there is.
    End,
    /// This offset.
    Offset(i64),
    /// The first record with this timestamp (milliseconds since the epoch) or a later one.
    Timestamp(i64),
    /// So many records before the end, or the beginning where there are fewer.
    Last(u64),
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// Its place in the partition.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// `None`: null.
    pub key: Option<Bytes>,
    /// `None`: null.
    pub value: Option<Bytes>,
    /// Names and values (`None`: null), in their order.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// Reads records of many partitions, those of each partition in order and each once, at the pace at which they are taken.
///
/// A connection that breaks is made again, for ever, and reading goes on after the last record that was taken. What is
/// read ahead is bounded by the connection's window and one message. Every call may be cancelled: nothing is lost.
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    partitions: Vec<Assigned>,
    stops_at_end: bool,
    stream: Option<OpenStream>,
    /// The message that is being taken apart.
    decoder: Option<Decoder>,
    buffer: VecDeque<ConsumedRecord>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    /// Since the last message there was trouble, and it was logged.
    is_troubled: bool,
    is_ended: bool,
}

/// A partition that is read.
#[derive(Debug)]
struct Assigned {
    topic: Arc<str>,
    topic_id: Arc<str>,
    partition: u32,
    next_offset: i64,
    /// Where reading ends.
    stop_offset: Option<i64>,
}

impl Assigned {
    fn is_done(&self) -> bool {
        self.stop_offset.is_some_and(|stop| self.next_offset >= stop)
    }
}

#[derive(Debug)]
struct OpenStream {
    messages: Streaming<FetchResponse>,
    /// Places in [`Consumer::partitions`], in the order of the request.
    partitions: Vec<usize>,
    endpoint: Endpoint,
}

impl Consumer {
    /// The next record. `None`: the end was reached (see [`ConsumerBuilder::until_end`]), or an error was given.
    ///
    /// # Errors
    /// [`ReadError`]: reading cannot go on.
    pub async fn next(&mut self) -> Option<Result<ConsumedRecord, ReadError>> {
        loop {
            if let Some(record) = self.buffer.pop_front() {
                return Some(Ok(record));
            }
            match self.next_chunk().await? {
                Ok(chunk) => self.buffer.extend(chunk),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The next records of one partition, never none: as many as came together, up to a few thousand. The way for many
    /// records a second. `None` as [`next`](Self::next).
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_chunk(&mut self) -> Option<Result<Vec<ConsumedRecord>, ReadError>> {
        if !self.buffer.is_empty() {
            return Some(Ok(std::mem::take(&mut self.buffer).into()));
        }
        if self.is_ended {
            return None;
        }
        let chunk = self.read_chunk().await;
        self.is_ended = !matches!(chunk, Ok(Some(_)));
        chunk.transpose()
    }

    /// The records as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<ConsumedRecord, ReadError>> + Send {
        futures::stream::unfold(self, |mut consumer| async move {
            let record = consumer.next().await?;
            Some((record, consumer))
        })
    }

    async fn read_chunk(&mut self) -> Result<Option<Vec<ConsumedRecord>>, ReadError> {
        loop {
            if let Some(records) = self.decode_chunk()? {
                return Ok(Some(records));
            }
            if self.partitions.iter().all(Assigned::is_done) {
                self.stream = None;
                return Ok(None);
            }
            let Some(stream) = &mut self.stream else {
                self.connect().await?;
                continue;
            };
            match stream.messages.message().await {
                Ok(Some(message)) => self.take_message(message)?,
                Ok(None) => self.retry("the service ended the stream"),
                Err(status) => {
                    let failure = stream.endpoint.failure(&status);
                    self.stream = None;
                    self.survive(failure)?;
                }
            }
        }
    }

    /// The rest of the present message, a chunk at a time.
    fn decode_chunk(&mut self) -> Result<Option<Vec<ConsumedRecord>>, ReadError> {
        let Some(decoder) = &mut self.decoder else { return Ok(None) };
        let assigned = &mut self.partitions[decoder.index];
        let records = decoder.next_chunk(assigned)?;
        if records.is_none() {
            assigned.next_offset = assigned.next_offset.max(decoder.next_offset);
            self.decoder = None;
        }
        Ok(records)
    }

    fn take_message(&mut self, mut message: FetchResponse) -> Result<(), ReadError> {
        self.backoff.reset();
        self.is_troubled = false;
        let index = self.stream.as_ref().and_then(|stream| stream.partitions.get(message.index as usize).copied());
        let index =
            index.ok_or_else(|| ReadError::Protocol("a message is of no partition that was asked for".into()))?;
        if let Some(error) = message.error.take() {
            let failure = CallFailure::of_partition(error);
            let Assigned { topic, partition, .. } = &self.partitions[index];
            return Err(failure.into_read_error(topic, Some(*partition)));
        }
        self.decoder = Some(Decoder::new(index, message));
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
        let open = (0..).zip(&self.partitions).filter(|(_, assigned)| !assigned.is_done());
        let (indices, partitions) = open.map(|(index, assigned)| (index, assigned.request())).unzip();
        let end = if self.stops_at_end { FetchEnd::Stop } else { FetchEnd::Follow };
        let request = FetchRequest { partitions, end: end.into(), encoding: FetchEncoding::Batches.into() };
        let (mut service, endpoint) = self.client.fetch_service();
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
        for assigned in self.partitions.iter().filter(|assigned| !assigned.is_done()) {
            if checked.contains(&assigned.topic_id) {
                continue;
            }
            checked.push(assigned.topic_id.clone());
            match self.client.describe(&assigned.topic, Instant::now()).await {
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
        let (topic, partition) = match self.partitions.as_slice() {
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
        self.client.try_another_endpoint();
        self.retry_at = Some(Instant::now() + self.backoff.next(self.client.env().random.as_ref()));
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

/// As a failure to read.
fn read_error(error: TopicError) -> ReadError {
    match error {
        TopicError::UnknownTopic(topic) => ReadError::UnknownTopic(topic),
        TopicError::InvalidName(message) => ReadError::InvalidName(message),
        TopicError::Invalid(message) => ReadError::Invalid(message),
        TopicError::Unavailable(message) | TopicError::OutcomeUnknown(message) => ReadError::Unavailable(message),
        TopicError::Exists(topic) => ReadError::Protocol(format!("topic {topic:?} exists already")),
        TopicError::Protocol(message) => ReadError::Protocol(message),
    }
}
