//! Where a consumer begins and ends.

use std::{collections::VecDeque, sync::Arc};

use eagre_proto::v1::{self, FetchPartition, position};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Assigned, Consumer, Position, Progress, offsets, read_error,
    reader::{Plan, Reader},
};
use crate::{Client, ReadError};

/// Read ahead unless it is said otherwise.
const PREFETCH_BYTES: usize = 8 << 20;
/// The most that may be read ahead.
const PREFETCH_BYTES_MAX: usize = 1 << 30;
/// Messages between the task that reads and the consumer; small ones are many.
const ITEMS_MAX: usize = 256;

/// Says what a [`Consumer`] reads.
#[derive(Debug, Clone)]
pub struct ConsumerBuilder {
    client: Client,
    sources: Vec<Source>,
    stops_at_end: bool,
    prefetch_bytes: usize,
}

#[derive(Debug, Clone)]
struct Source {
    topic: String,
    /// Left out: all.
    partition: Option<u32>,
    position: Position,
}

impl ConsumerBuilder {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, sources: Vec::new(), stops_at_end: false, prefetch_bytes: PREFETCH_BYTES }
    }

    /// All partitions of a topic, each from this position.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, Position};
    /// use futures::StreamExt as _;
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
    /// let builder = client.consumer().topic("orders", Position::Last(3)).until_end();
    /// assert_eq!(builder.open().await?.count().await, 3, "three of partition 0, and partition 1 is empty");
    /// # Ok(()) }) }
    /// ```
    pub fn topic(mut self, topic: impl Into<String>, position: Position) -> Self {
        self.sources.push(Source { topic: topic.into(), partition: None, position });
        self
    }

    /// One partition of a topic.
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
    /// let builder = client.consumer().partition("orders", 0, Position::Offset(4)).until_end();
    /// let mut consumer = builder.open().await?;
    /// assert_eq!(consumer.next().await.ok_or("there are records")??.offset, 4);
    /// # Ok(()) }) }
    /// ```
    pub fn partition(mut self, topic: impl Into<String>, partition: u32, position: Position) -> Self {
        self.sources.push(Source { topic: topic.into(), partition: Some(partition), position });
        self
    }

    /// Reads each partition up to the end that it has when the consumer is opened, instead of waiting for more.
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
    /// let mut consumer = client.consumer().topic("orders", Position::End).until_end().open().await?;
    /// assert!(consumer.next().await.is_none(), "it begins where it ends");
    /// # Ok(()) }) }
    /// ```
    pub fn until_end(mut self) -> Self {
        self.stops_at_end = true;
        self
    }

    /// How much is read ahead of what is taken, in bytes as they are sent: 8 MiB. One message always is, however large; beside
    /// it stands the window of the connection.
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
    /// // Little memory, for one of many consumers.
    /// let builder = client.consumer().topic("orders", Position::Beginning).prefetch_bytes(256 << 10);
    /// let mut consumer = builder.open().await?;
    /// consumer.next().await.ok_or("there are records")??;
    /// # Ok(()) }) }
    /// ```
    pub fn prefetch_bytes(mut self, bytes: usize) -> Self {
        self.prefetch_bytes = bytes.clamp(1, PREFETCH_BYTES_MAX);
        self
    }

    /// Asks the service where the positions are and gives a consumer that begins there. Called within a tokio runtime.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, Position, ReadError};
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
    /// let refused = client.consumer().partition("orders", 0, Position::Offset(99)).open().await.unwrap_err();
    /// assert!(matches!(refused, ReadError::OffsetOutOfRange { high_watermark: 10, .. }));
    /// let consumer = client.consumer().partition("orders", 0, Position::Offset(9)).open().await?;
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`ReadError`]: a topic or partition does not exist, an offset is out of range, or the service could not be reached
    /// within the client's patience.
    pub async fn open(self) -> Result<Consumer, ReadError> {
        let partitions = self.resolve().await?;
        let Self { client, stops_at_end, prefetch_bytes, .. } = self;
        let (plan, plans) = watch::channel(Plan { seeks: 0, offsets: vec![None; partitions.len()] });
        let (out, items) = mpsc::channel(ITEMS_MAX);
        let room = Arc::new(Semaphore::new(prefetch_bytes));
        let reader = Reader {
            client: client.clone(),
            partitions: partitions.clone(),
            stops_at_end,
            plan: plans,
            out,
            room: room.clone(),
            prefetch_bytes,
        };
        Ok(Consumer {
            client,
            sought: vec![0; partitions.len()],
            partitions,
            seeks: 0,
            plan,
            items,
            message: None,
            buffer: VecDeque::new(),
            progress: Progress::Reading,
            room,
            prefetch_bytes,
            _reader: AbortOnDropHandle::new(tokio::spawn(reader.run())),
        })
    }

    async fn resolve(&self) -> Result<Vec<Assigned>, ReadError> {
        let until = Instant::now() + self.client.patience();
        let mut assigned = Vec::new();
        let mut asked = Vec::new();
        for source in &self.sources {
            let topic = self.client.describe(&source.topic, until).await.map_err(read_error)?.topic;
            let partitions = match source.partition {
                None => 0..topic.placement.partitions(),
                Some(partition) if partition < topic.placement.partitions() => partition..partition + 1,
                Some(partition) => {
                    return Err(ReadError::UnknownPartition { topic: source.topic.clone(), partition });
                }
            };
            let (name, topic_id): (Arc<str>, Arc<str>) = (source.topic.as_str().into(), topic.id.into());
            for partition in partitions {
                let position = Some(source.position.into());
                asked.push(FetchPartition { topic: source.topic.clone(), partition, position });
                let (topic, topic_id) = (name.clone(), topic_id.clone());
                assigned.push(Assigned { topic, topic_id, partition, next_offset: 0, stop_offset: None });
            }
        }
        let about = match self.sources.as_slice() {
            [only] => (only.topic.as_str(), only.partition),
            _ => ("", None),
        };
        let offsets = offsets::list(&self.client, asked, about, until).await?;
        for (assigned, offset) in assigned.iter_mut().zip(offsets) {
            assigned.next_offset = offset.offset;
            assigned.stop_offset = self.stops_at_end.then_some(offset.high_watermark);
        }
        Ok(assigned)
    }
}

impl From<Position> for v1::Position {
    fn from(position: Position) -> Self {
        let position = match position {
            Position::Beginning => position::Position::Earliest(v1::Earliest {}),
            Position::End => position::Position::Latest(v1::Latest {}),
            Position::Offset(offset) => position::Position::Offset(offset),
            Position::Timestamp(timestamp_ms) => position::Position::TimestampMs(timestamp_ms),
            Position::Last(records) => position::Position::Last(records),
        };
        Self { position: Some(position) }
    }
}
