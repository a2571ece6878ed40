//! What becomes of records: the future of one record, and the reports of whole batches.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::{FutureExt as _, future::Shared};
use tokio::sync::{Notify, Semaphore, oneshot};

use crate::SendError;

/// Offset of the first record of a batch, or why it was not appended.
type Outcome = Result<i64, SendError>;

/// Where an acknowledged record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: i64,
}

/// The acknowledgement of one record, to be awaited whenever it suits. Dropping it does not take the record back.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
/// use eagre_client::{Client, ProducerSettings, Record};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
/// # let client = Client::builder(endpoint).build()?;
/// # let producer = client.producer(&ProducerSettings::default());
/// # let orders = producer.topic("orders").await?;
/// let first = orders.send(Record::new("first").with_partition(0)).await?;
/// let second = orders.send(Record::new("second").with_partition(0)).await?;
/// // Both are on their way; they are waited for in any order, or not at all.
/// assert_eq!(second.await?.offset, 1);
/// assert_eq!((first.partition(), first.await?.offset), (0, 0));
/// # Ok(()) }) }
/// ```
#[derive(Debug, Clone)]
pub struct Delivery {
    outcome: Shared<oneshot::Receiver<Outcome>>,
    partition: u32,
    index: u32,
}

impl Delivery {
    /// The partition to which the record goes.
    pub fn partition(&self) -> u32 {
        self.partition
    }
}

impl Future for Delivery {
    type Output = Result<Ack, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (partition, index) = (self.partition, i64::from(self.index));
        self.outcome.poll_unpin(cx).map(|answer| match answer {
            Ok(outcome) => outcome.map(|base_offset| Ack { partition, offset: base_offset + index }),
            Err(_) => Err(SendError::OutcomeUnknown("the producer's runtime was shut down".to_owned())),
        })
    }
}

/// The outcome of a batch whose records were handed over by [`TopicProducer::enqueue`](crate::TopicProducer::enqueue).
///
/// It holds the batch's share of the producer's memory until it is dropped.
#[derive(Debug)]
pub struct Report {
    topic: Arc<str>,
    partition: u32,
    tags: Vec<Tag>,
    result: Outcome,
    _room: Room,
}

impl Report {
    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// Why none of the records was acknowledged; `None` when all of them were.
    pub fn error(&self) -> Option<&SendError> {
        self.result.as_ref().err()
    }

    /// The tags of the records, in the order in which they were handed over.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.tags.iter().map(|tag| tag.value)
    }

    /// Tag and offset of each acknowledged record.
    pub fn acks(&self) -> impl Iterator<Item = (u64, i64)> + '_ {
        let base = self.result.as_ref().ok().copied();
        base.into_iter().flat_map(|base| self.tags.iter().map(move |tag| (tag.value, base + i64::from(tag.index))))
    }
}

/// The reports of a producer, in the order in which the answers came. Reports that are not taken fill the producer's
/// memory, so that handing over more waits for them.
#[derive(Debug)]
pub struct Reports(pub(crate) Arc<ReportQueue>);

impl Reports {
    /// The next report. `None` when the producer and its topics are dropped and every record is answered. Cancelling it
    /// loses nothing.
    pub async fn next(&mut self) -> Option<Report> {
        loop {
            {
                let mut state = self.0.lock();
                if let Some(report) = state.waiting.pop_front() {
                    return Some(report);
                }
                if state.is_ended {
                    return None;
                }
            }
            // One reader: a permit stored since the look is taken at once.
            self.0.changed.notified().await;
        }
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_ended = true;
        state.waiting.clear();
    }
}

#[derive(Debug, Default)]
pub(crate) struct ReportQueue {
    state: Mutex<ReportState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct ReportState {
    /// Bounded by the producer's memory: each report holds its share.
    waiting: VecDeque<Report>,
    is_ended: bool,
}

impl ReportQueue {
    fn lock(&self) -> std::sync::MutexGuard<'_, ReportState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, report: Report) {
        let mut state = self.lock();
        if !state.is_ended {
            state.waiting.push_back(report);
            self.changed.notify_one();
        }
    }

    /// No report comes any more.
    pub fn end(&self) {
        self.lock().is_ended = true;
        self.changed.notify_one();
    }
}

/// A share of the producer's memory, given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    semaphore: Arc<Semaphore>,
    bytes: usize,
}

impl Room {
    /// Takes over permits that the caller acquired and forgot.
    pub fn new(semaphore: Arc<Semaphore>, bytes: u32) -> Self {
        Self { semaphore, bytes: bytes as usize }
    }

    fn absorb(&mut self, mut other: Room) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.semaphore.add_permits(self.bytes);
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Tag {
    /// Place in the batch.
    index: u32,
    value: u64,
}

/// Who is to be told of a batch.
#[derive(Debug)]
pub(crate) struct Receipts {
    tags: Vec<Tag>,
    waiting: Option<(oneshot::Sender<Outcome>, Shared<oneshot::Receiver<Outcome>>)>,
    room: Room,
}

impl Receipts {
    pub fn new(room: Room) -> Self {
        Self { tags: Vec::new(), waiting: None, room }
    }

    /// The batch holds this share of the memory from now on.
    pub fn take_over(&mut self, room: Room) {
        self.room.absorb(room);
    }

    /// The record at this place of the batch is reported by its tag.
    pub fn tag(&mut self, index: u32, value: u64) {
        self.tags.push(Tag { index, value });
    }

    /// The record at this place of the batch is awaited.
    pub fn delivery(&mut self, partition: u32, index: u32) -> Delivery {
        let (_, outcome) = self.waiting.get_or_insert_with(|| {
            let (sender, receiver) = oneshot::channel();
            (sender, receiver.shared())
        });
        Delivery { outcome: outcome.clone(), partition, index }
    }

    /// Tells everyone.
    pub fn settle(self, topic: &Arc<str>, partition: u32, result: Outcome, reports: Option<&ReportQueue>) {
        if let Some((sender, _)) = self.waiting {
            // Nobody listens when every delivery was dropped.
            let _ = sender.send(result.clone());
        }
        if let Some(reports) = reports.filter(|_| !self.tags.is_empty()) {
            reports.put(Report { topic: topic.clone(), partition, tags: self.tags, result, _room: self.room });
        }
    }
}
