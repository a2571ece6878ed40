//! Writing records.

mod delivery;
mod driver;
mod encoding;
mod pool;
mod sequencing;
mod settings;
mod spacing;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use eagre_model::{
    Placement,
    batch::{Compression, Limits},
    keys::partition_for_key,
    records::{self, BatchBuilder, ProducerFields},
};
use tokio::time::Instant;

pub use self::{
    delivery::{Ack, Delivery, Report, Reports},
    settings::ProducerSettings,
};
use self::{
    delivery::{ReportQueue, Room},
    driver::Shared,
};
use crate::{Client, SendError, TopicError};

/// What a record takes of the producer's memory beside its bytes.
const RECORD_OVERHEAD_BYTES: usize = 32;
/// The length in front of the largest records.
const RECORD_LENGTH_BYTES: usize = 4;

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Where it goes. Left out: by its key, or where it suits the producer if it has none.
    pub partition: Option<u32>,
    /// `None`: null.
    pub key: Option<Bytes>,
    /// `None`: null.
    pub value: Option<Bytes>,
    /// Names and values (`None`: null), in their order.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Milliseconds since the epoch. Left out: the time of handing it over.
    pub timestamp_ms: Option<i64>,
}

impl Record {
    /// A record with this value and nothing else.
    ///
    /// ```
    /// use eagre_client::Record;
    ///
    /// let record = Record::new("3 apples");
    /// assert_eq!(record.value.as_deref(), Some(&b"3 apples"[..]));
    /// // Everything can be set; what is left out is null, or decided when it is handed over.
    /// let headers = vec![("trace".to_owned(), Some("a1".into()))];
    /// let record = Record { value: None, headers, timestamp_ms: Some(1_795_428_000_000), ..Record::default() };
    /// assert!(record.key.is_none() && record.partition.is_none());
    /// ```
    pub fn new(value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// The same record with a key.
    ///
    /// ```
    /// use eagre_client::Record;
    ///
    /// let record = Record::new("3 apples").with_key("alice");
    /// assert_eq!(record.key.as_deref(), Some(&b"alice"[..]));
    /// ```
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same record for this partition.
    ///
    /// ```
    /// use eagre_client::Record;
    ///
    /// let record = Record::new("3 apples").with_key("alice").with_partition(1);
    /// assert_eq!(record.partition, Some(1), "whatever the key is");
    /// ```
    pub fn with_partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }
}

/// Writes records, each of them once and those of a partition in the order in which they were handed over, whatever
/// happens to connections and gateways.
///
/// Cheap to clone. When it and all its topics are dropped, what was handed over is still delivered for as long as the
/// runtime lives; [`flush`](Self::flush) waits for that.
#[derive(Clone, Debug)]
pub struct Producer {
    handle: Arc<Handle>,
}

/// The tasks of a producer go on until its last handle is dropped and everything is settled.
#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Producer {
    /// Starts the producer's tasks; called within a tokio runtime. With `wants_reports` the reports are to be read.
    pub(crate) fn start(client: Client, settings: &ProducerSettings, wants_reports: bool) -> (Self, Reports) {
        let reports = Arc::new(ReportQueue::default());
        let shared = Arc::new(Shared::new(client, settings, wants_reports.then(|| reports.clone())));
        driver::start(shared.clone());
        (Self { handle: Arc::new(Handle(shared)) }, Reports(reports))
    }

    /// A handle for writing to a topic. Asks the service what the topic looks like; while the service cannot be reached it
    /// tries again, up to the delivery timeout.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, ProducerSettings, TopicError};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// let producer = client.producer(&ProducerSettings::default());
    /// let orders = producer.topic("orders").await?;
    /// assert_eq!((orders.name(), orders.partitions()), ("orders", 2));
    /// assert!(matches!(producer.topic("oders").await, Err(TopicError::UnknownTopic(_))));
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`TopicError::UnknownTopic`], or why the service did not answer.
    pub async fn topic(&self, name: &str) -> Result<TopicProducer, TopicError> {
        let shared = &self.handle.0;
        let until = Instant::now() + shared.lock().bounds.delivery_timeout;
        let topic = shared.client.describe(name, until).await?.topic;
        let name: Arc<str> = name.into();
        let batch_bytes_max = topic.max_message_bytes.map(|most| most as usize);
        let (slots, record_batch_bytes_max) = {
            let mut pool = shared.lock();
            let is_compressed = pool.bounds.compression != Compression::None;
            let records_bytes_max =
                batch_bytes_max.map(|most| if is_compressed { before_compression(most) } else { most });
            let slots = pool.slots_of(&topic.id, &name, topic.placement.partitions(), records_bytes_max);
            (slots, batch_bytes_max.filter(|_| !is_compressed))
        };
        let sticky = AtomicU32::new(0);
        let state = TopicState { name, placement: topic.placement, slots, sticky, record_batch_bytes_max };
        Ok(TopicProducer { handle: self.handle.clone(), state: Arc::new(state) })
    }

    /// Waits until everything that was handed over before is settled, without waiting for the linger. Cancelling it does no
    /// harm.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, ProducerSettings, Record};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// let producer = client.producer(&ProducerSettings::default());
    /// let orders = producer.topic("orders").await?;
    /// for number in 0..100 {
    ///     // Its delivery is dropped: the record is sent all the same.
    ///     orders.send(Record::new(format!("order {number}"))).await?;
    /// }
    /// producer.flush().await;
    /// let held = client.topics().describe("orders").await?.bounds;
    /// assert_eq!(held.iter().map(|bounds| bounds.high_watermark).sum::<i64>(), 100);
    /// # Ok(()) }) }
    /// ```
    pub async fn flush(&self) {
        self.handle.0.flush().await;
    }
}

/// Writes to one topic. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TopicProducer {
    handle: Arc<Handle>,
    state: Arc<TopicState>,
}

#[derive(Debug)]
struct TopicState {
    name: Arc<str>,
    placement: Placement,
    slots: Range<usize>,
    /// Where records without a key go until its batch is closed.
    sticky: AtomicU32,
    /// A record whose batch is larger than this cannot be sent. `None`: there is no such bound, or it is not known before the
    /// batch is compressed.
    record_batch_bytes_max: Option<usize>,
}

impl TopicProducer {
    /// The topic's name.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> u32 {
        self.state.placement.partitions()
    }

    /// Hands over a record: waits until the producer's memory has room for it, and gives back its delivery, to be awaited
    /// at once or later. Cancelled while it waits, the record is not sent.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, ProducerSettings, Record, SendError};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// let producer = client.producer(&ProducerSettings::default());
    /// let orders = producer.topic("orders").await?;
    /// // The first await hands the record over, the second one waits until it is durable.
    /// let delivery = orders.send(Record::new("3 apples").with_key("alice")).await?;
    /// let ack = delivery.await?;
    /// println!("partition {} offset {}", ack.partition, ack.offset);
    ///
    /// let refused = orders.send(Record::new(vec![0; 2 << 20])).await.unwrap_err();
    /// assert!(matches!(refused, SendError::TooLarge(_)) && refused.is_definite());
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`SendError::TooLarge`], [`SendError::UnknownPartition`] or [`SendError::Refused`]: the record cannot be sent as it
    /// is. Everything else is told by the delivery.
    pub async fn send(&self, record: Record) -> Result<Delivery, SendError> {
        let bytes = self.make_room(&record).await?;
        self.push(record, bytes, |receipts, partition, index| receipts.delivery(partition, index))
    }

    /// Hands over a record as [`send`](Self::send) does, but without a future of its own: its outcome comes with the
    /// [`Report`] of its batch, under this tag. The way for many records a second.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, ProducerSettings, Record};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// let (producer, mut reports) = client.producer_with_reports(&ProducerSettings::default());
    /// let orders = producer.topic("orders").await?;
    /// orders.enqueue(Record::new("3 apples").with_partition(1), 17).await?;
    /// let report = reports.next().await.ok_or("a report for each batch")?;
    /// assert_eq!((report.topic(), report.partition(), report.error()), ("orders", 1, None));
    /// assert_eq!(report.acks().collect::<Vec<_>>(), [(17, 0)], "tag and offset");
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send). Without the reports, see [`Client::producer_with_reports`], outcomes are lost.
    pub async fn enqueue(&self, record: Record, tag: u64) -> Result<(), SendError> {
        let bytes = self.make_room(&record).await?;
        self.push(record, bytes, |receipts, _, index| receipts.tag(index, tag))
    }

    async fn make_room(&self, record: &Record) -> Result<u32, SendError> {
        let shared = &self.handle.0;
        let headers = record.headers.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len) + 16);
        let length = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
        let size = length(&record.key) + length(&record.value) + headers.sum::<usize>();
        // Far over the limit: it must not wait for room that there will never be.
        let limit_bytes = Limits::default().max_record_bytes;
        if size > limit_bytes {
            return Err(too_large(size, limit_bytes));
        }
        let bytes = u32::try_from(size + RECORD_OVERHEAD_BYTES).unwrap_or(u32::MAX);
        match shared.room.try_acquire_many(bytes) {
            Ok(permit) => permit.forget(),
            // The semaphore is never closed; waiting is fair.
            Err(_) => match shared.room.acquire_many(bytes).await {
                Ok(permit) => permit.forget(),
                Err(_) => return Err(SendError::Refused("the producer is closed".to_owned())),
            },
        }
        Ok(bytes)
    }

    /// Takes over `bytes` of forgotten permits.
    fn push<T>(
        &self,
        record: Record,
        bytes: u32,
        then: impl FnOnce(&mut delivery::Receipts, u32, u32) -> T,
    ) -> Result<T, SendError> {
        let shared = &self.handle.0;
        let room = Room::new(shared.room.clone(), bytes);
        let timestamp_ms = record.timestamp_ms.unwrap_or_else(|| shared.client.env().clock.unix_ms());
        let Record { partition, key, value, headers, .. } = record;
        let record = records::Record { key, value, headers, timestamp_ms };
        if bytes as usize > Limits::default().max_record_bytes - RECORD_OVERHEAD_BYTES {
            check_encoded_size(&record)?;
        }
        if let Some(most) = self.state.record_batch_bytes_max {
            let size = BatchBuilder::new(ProducerFields::NONE).size_bytes_with(&record);
            if size > most {
                let name = self.name();
                return Err(SendError::TooLarge(format!(
                    "the record makes a batch of {size} bytes, and topic {name:?} takes up to {most}"
                )));
            }
        }
        let mut pool = shared.lock();
        let partition = self.place(partition, record.key.as_deref(), &pool)?;
        let slot = self.state.slots.start + partition as usize;
        let (out, is_changed) = pool.push(
            slot,
            &record,
            Instant::now(),
            || Room::new(shared.room.clone(), 0),
            |receipts, index| {
                receipts.take_over(room);
                then(receipts, partition, index)
            },
        );
        if is_changed {
            shared.announce(pool);
        }
        out.map_err(|error| SendError::Refused(error.to_string()))
    }

    fn place(&self, partition: Option<u32>, key: Option<&[u8]>, pool: &pool::Pool) -> Result<u32, SendError> {
        let partitions = self.partitions();
        let unknown = |partition| SendError::UnknownPartition { topic: self.name().to_owned(), partition };
        match (partition, key) {
            (Some(partition), _) if partition < partitions => Ok(partition),
            (Some(partition), _) => Err(unknown(partition)),
            (None, Some(key)) => partition_for_key(&self.state.placement, key).ok_or_else(|| unknown(partitions)),
            (None, None) => {
                let sticky = self.state.sticky.load(Ordering::Relaxed);
                if pool.has_open_batch(self.state.slots.start + sticky as usize) {
                    return Ok(sticky);
                }
                let next = self.handle.0.client.env().random.below(u64::from(partitions));
                let next = u32::try_from(next).unwrap_or(0);
                self.state.sticky.store(next, Ordering::Relaxed);
                Ok(next)
            }
        }
    }
}

/// What cannot be compressed grows by less than this leaves of a batch: lz4 by 1/255, zstd by 1/256, both by some bytes more.
fn before_compression(batch_bytes: usize) -> usize {
    batch_bytes.saturating_sub(batch_bytes / 128 + 160)
}

/// The limit counts what a record takes in its batch, but for the length in front.
fn check_encoded_size(record: &records::Record) -> Result<(), SendError> {
    let batch = BatchBuilder::new(ProducerFields::NONE);
    let size = batch.size_bytes_with(record).saturating_sub(batch.size_bytes() + RECORD_LENGTH_BYTES);
    let limit_bytes = Limits::default().max_record_bytes;
    if size > limit_bytes { Err(too_large(size, limit_bytes)) } else { Ok(()) }
}

fn too_large(size: usize, limit_bytes: usize) -> SendError {
    SendError::TooLarge(format!("the record of {size} bytes is over the limit of {limit_bytes} bytes"))
}
