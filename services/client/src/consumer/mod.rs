//! Reading records.

mod decode;
mod offsets;
mod open;
mod reader;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{Stream, future::poll_fn};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

pub use self::open::ConsumerBuilder;
use self::{
    decode::Decoder,
    reader::{Item, Plan},
};
use crate::{Client, ReadError, TopicError};

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

/// Reads records of many partitions, those of each partition in order and each once: a [`Stream`] of records.
///
/// A task reads ahead of what is taken, up to [`ConsumerBuilder::prefetch_bytes`]. A connection that breaks is made again, for
/// ever, and reading goes on after the last record that came. Every call may be cancelled: nothing is lost.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
/// use eagre_client::{Client, Position};
/// use futures::TryStreamExt as _;
/// # use eagre_client::{ProducerSettings, Record};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
/// # let client = Client::builder(endpoint).build()?;
/// # let producer = client.producer(&ProducerSettings::default());
/// # let orders = producer.topic("orders").await?;
/// # for number in 0..10 {
/// #     orders.send(Record::new(format!("order {number}")).with_partition(0)).await?;
/// # }
/// # producer.flush().await;
/// let consumer = client.consumer().topic("orders", Position::Beginning).until_end().open().await?;
/// let values: Vec<_> = consumer.map_ok(|record| record.value.unwrap_or_default()).try_collect().await?;
/// assert_eq!(values.len(), 10);
/// # Ok(()) }) }
/// ```
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    /// Where each partition is: behind the last record that was given.
    partitions: Vec<Assigned>,
    /// Of each partition, the number of the seek that it is behind.
    sought: Vec<u64>,
    seeks: u64,
    plan: watch::Sender<Plan>,
    items: mpsc::Receiver<Item>,
    /// The message that is being taken apart, and its share of what may be read ahead.
    message: Option<(Decoder, OwnedSemaphorePermit)>,
    buffer: VecDeque<ConsumedRecord>,
    progress: Progress,
    room: Arc<Semaphore>,
    prefetch_bytes: usize,
    _reader: AbortOnDropHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Reading,
    /// Everything up to the end was given.
    AtEnd,
    /// An error was given.
    Failed,
}

/// A partition that is read.
#[derive(Debug, Clone)]
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

impl Consumer {
    /// The next record. `None`: the end was reached (see [`ConsumerBuilder::until_end`]), or an error was given.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, Position};
    /// # use eagre_client::{ProducerSettings, Record};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// # let client = Client::builder(endpoint).build()?;
    /// # let producer = client.producer(&ProducerSettings::default());
    /// # let orders = producer.topic("orders").await?;
    /// # for number in 0..10 {
    /// #     orders.send(Record::new(format!("order {number}")).with_partition(0)).await?;
    /// # }
    /// # producer.flush().await;
    /// let mut consumer = client.consumer().topic("orders", Position::Beginning).until_end().open().await?;
    /// while let Some(record) = consumer.next().await {
    ///     let record = record?;
    ///     println!("{} {}: {:?}", record.partition, record.offset, record.value);
    /// }
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`ReadError`]: reading cannot go on.
    pub async fn next(&mut self) -> Option<Result<ConsumedRecord, ReadError>> {
        poll_fn(|cx| self.poll_record(cx)).await
    }

    /// The next records of one partition, never none: as many as came together, up to a few thousand. The way for many
    /// records a second. `None` as [`next`](Self::next).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, Position};
    /// # use eagre_client::{ProducerSettings, Record};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// # let client = Client::builder(endpoint).build()?;
    /// # let producer = client.producer(&ProducerSettings::default());
    /// # let orders = producer.topic("orders").await?;
    /// # for number in 0..10 {
    /// #     orders.send(Record::new(format!("order {number}")).with_partition(0)).await?;
    /// # }
    /// # producer.flush().await;
    /// let mut consumer = client.consumer().topic("orders", Position::Beginning).until_end().open().await?;
    /// let mut records = 0;
    /// while let Some(chunk) = consumer.next_chunk().await {
    ///     records += chunk?.len();
    /// }
    /// assert_eq!(records, 10);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_chunk(&mut self) -> Option<Result<Vec<ConsumedRecord>, ReadError>> {
        if self.buffer.is_empty() {
            return poll_fn(|cx| self.poll_chunk(cx)).await;
        }
        // A chunk is of one partition, and so is what `next` left of one.
        Some(Ok(std::mem::take(&mut self.buffer).into()))
    }

    /// Goes on with a partition elsewhere. No record comes out of it that was read before and lies elsewhere; other partitions
    /// go on as they were. A consumer that was at its end reads again, up to the same end. Cancelled, it is as if it had not
    /// been called.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, Position};
    /// # use eagre_client::{ProducerSettings, Record};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// # let client = Client::builder(endpoint).build()?;
    /// # let producer = client.producer(&ProducerSettings::default());
    /// # let orders = producer.topic("orders").await?;
    /// # for number in 0..10 {
    /// #     orders.send(Record::new(format!("order {number}")).with_partition(0)).await?;
    /// # }
    /// # producer.flush().await;
    /// let mut consumer = client.consumer().topic("orders", Position::Beginning).open().await?;
    /// consumer.next().await.ok_or("there are records")??;
    /// consumer.seek("orders", 0, Position::Offset(7)).await?;
    /// assert_eq!(consumer.next().await.ok_or("there are records")??.offset, 7);
    /// // Once more, from a time on.
    /// consumer.seek("orders", 0, Position::Timestamp(0)).await?;
    /// assert_eq!(consumer.next().await.ok_or("there are records")??.offset, 0);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`ReadError`]: the partition is not one of those that are read, the offset is out of range, the topic is another one
    /// meanwhile, the service could not be reached within the client's patience, or the consumer has failed before.
    pub async fn seek(&mut self, topic: &str, partition: u32, position: Position) -> Result<(), ReadError> {
        if self.progress == Progress::Failed {
            return Err(ReadError::Invalid("this consumer has failed; open another one".to_owned()));
        }
        let is_it = |assigned: &Assigned| &*assigned.topic == topic && assigned.partition == partition;
        let index = self.partitions.iter().position(is_it).ok_or_else(|| {
            ReadError::Invalid(format!("partition {partition} of topic {topic:?} is not read by this consumer"))
        })?;
        let until = Instant::now() + self.client.patience();
        let offset = offsets::resolve(&self.client, &self.partitions[index], position, until).await?;
        self.seeks += 1;
        self.sought[index] = self.seeks;
        self.partitions[index].next_offset = offset;
        self.message.take_if(|(decoder, _)| decoder.index == index);
        self.buffer.retain(|record| record.partition != partition || &*record.topic != topic);
        self.progress = Progress::Reading;
        let seeks = self.seeks;
        self.plan.send_modify(|plan| {
            plan.seeks = seeks;
            plan.offsets[index] = Some((seeks, offset));
        });
        Ok(())
    }

    /// Bytes of messages that were read ahead and are not taken: at most [`ConsumerBuilder::prefetch_bytes`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, Position};
    /// # use eagre_client::{ProducerSettings, Record};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// # let client = Client::builder(endpoint).build()?;
    /// # let producer = client.producer(&ProducerSettings::default());
    /// # let orders = producer.topic("orders").await?;
    /// # for number in 0..10 {
    /// #     orders.send(Record::new(format!("order {number}")).with_partition(0)).await?;
    /// # }
    /// # producer.flush().await;
    /// let consumer = client.consumer().topic("orders", Position::Beginning).prefetch_bytes(1 << 20).open().await?;
    /// assert!(consumer.prefetched_bytes() <= 1 << 20);
    /// # Ok(()) }) }
    /// ```
    pub fn prefetched_bytes(&self) -> usize {
        self.prefetch_bytes - self.room.available_permits()
    }

    fn poll_record(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ConsumedRecord, ReadError>>> {
        loop {
            if let Some(record) = self.buffer.pop_front() {
                return Poll::Ready(Some(Ok(record)));
            }
            match ready!(self.poll_chunk(cx)) {
                Some(Ok(chunk)) => self.buffer.extend(chunk),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<ConsumedRecord>, ReadError>>> {
        while self.progress == Progress::Reading {
            match self.decode_chunk() {
                Ok(Some(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                Ok(None) => {}
                Err(error) => return self.fail(error),
            }
            match ready!(self.items.poll_recv(cx)) {
                Some(Item::Message { seeks, index, message, room }) => {
                    // What was on its way when the partition was sent elsewhere.
                    if seeks >= self.sought[index] {
                        self.message = Some((Decoder::new(index, message), room));
                    }
                }
                Some(Item::End { seeks }) if seeks == self.seeks => self.progress = Progress::AtEnd,
                Some(Item::Failed { seeks, error }) if seeks == self.seeks => return self.fail(error),
                // Of before a seek.
                Some(Item::End { .. } | Item::Failed { .. }) => {}
                None => return self.fail(ReadError::Unavailable("the consumer's runtime was shut down".to_owned())),
            }
        }
        Poll::Ready(None)
    }

    fn fail(&mut self, error: ReadError) -> Poll<Option<Result<Vec<ConsumedRecord>, ReadError>>> {
        self.progress = Progress::Failed;
        self.message = None;
        Poll::Ready(Some(Err(error)))
    }

    /// The rest of the present message, a chunk at a time.
    fn decode_chunk(&mut self) -> Result<Option<Vec<ConsumedRecord>>, ReadError> {
        let Some((decoder, _)) = &mut self.message else { return Ok(None) };
        let assigned = &mut self.partitions[decoder.index];
        let records = decoder.next_chunk(assigned)?;
        if records.is_none() {
            assigned.next_offset = assigned.next_offset.max(decoder.next_offset);
            self.message = None;
        }
        Ok(records)
    }
}

impl Stream for Consumer {
    type Item = Result<ConsumedRecord, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_record(cx)
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
