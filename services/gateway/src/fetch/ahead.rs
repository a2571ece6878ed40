//! Runs read ahead of need, within one budget for all streams: whoever takes them slowest loses them and reads again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use eagre_log::ReadError;
use eagre_model::{Run, TopicPartition};
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use super::bytes::RunBytes;

/// As a part of what may be held: reads under way may take as much beside it.
const READING_SHARE: usize = 2;

/// A read takes so much at least, however short the run: a page of its object, or blocks of the metadata.
const READ_BYTES_MIN: u32 = 64 << 10;
/// Runs beyond the first of each partition that are read ahead or held: each costs a task and its place.
const EXTRA_RUNS_MAX: usize = 8_192;

/// Reads runs for all fetch streams.
pub(crate) struct ReadAhead {
    reader: RunBytes,
    /// Bytes of reads under way. A read is a task of its own and never a part of a client's stream, which is not polled
    /// while the client takes nothing: so a slow client holds none of these.
    reading: Semaphore,
    reading_bytes: u32,
    /// Bytes that were read and wait to be taken.
    bytes_max: usize,
    /// How many runs are read ahead or held.
    runs: AtomicUsize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// By the time of their last use.
    slots: BTreeMap<u64, Arc<Slot>>,
    uses: u64,
    bytes: usize,
}

struct Slot {
    state: Mutex<SlotState>,
    changed: Notify,
}

#[derive(Default)]
struct SlotState {
    content: Content,
    /// Place among what is held.
    used: Option<u64>,
    /// Nobody will ask for it any more.
    closed: bool,
}

#[derive(Default)]
enum Content {
    #[default]
    Reading,
    Ready(Bytes),
    Failed(ReadError),
    /// Its memory was needed for somebody else.
    Dropped,
}

/// A run that is being read, or was.
pub(crate) struct AheadRun {
    pub run: Run,
    partition: TopicPartition,
    ahead: Arc<ReadAhead>,
    slot: Arc<Slot>,
    read: AbortOnDropHandle<()>,
}

impl ReadAhead {
    pub fn new(reader: RunBytes, bytes_max: usize) -> Arc<Self> {
        let reading_bytes = u32::try_from(bytes_max / READING_SHARE).unwrap_or(u32::MAX).max(1);
        let reading = Semaphore::new(reading_bytes as usize);
        Arc::new(Self { reader, reading, reading_bytes, bytes_max, runs: AtomicUsize::new(0), held: Mutex::default() })
    }

    /// Whether a partition that reads a run may read more ahead.
    pub fn has_room(&self) -> bool {
        self.runs.load(Ordering::Relaxed) < EXTRA_RUNS_MAX
    }

    /// Begins to read.
    pub fn start(self: &Arc<Self>, partition: TopicPartition, run: Run) -> AheadRun {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::new(Slot { state: Mutex::default(), changed: Notify::new() });
        let read = self.spawn_fill(partition, run, &slot);
        AheadRun { run, partition, ahead: self.clone(), slot, read }
    }

    fn spawn_fill(self: &Arc<Self>, partition: TopicPartition, run: Run, slot: &Arc<Slot>) -> AbortOnDropHandle<()> {
        let (ahead, slot) = (self.clone(), slot.clone());
        AbortOnDropHandle::new(tokio::spawn(async move { ahead.fill(partition, &run, &slot).await }))
    }

    /// Bytes that are held for clients.
    pub fn held_bytes(&self) -> usize {
        self.held().bytes
    }

    async fn read(&self, partition: TopicPartition, run: &Run) -> Result<Bytes, ReadError> {
        let charge = run.length_bytes.max(READ_BYTES_MIN).min(self.reading_bytes);
        let _reading = self.reading.acquire_many(charge).await.expect("the semaphore is never closed");
        self.reader.read(partition, run).await
    }

    async fn fill(&self, partition: TopicPartition, run: &Run, slot: &Arc<Slot>) {
        let content = match self.read(partition, run).await {
            Ok(bytes) => Content::Ready(bytes),
            Err(error) => Content::Failed(error),
        };
        self.put(slot, content);
        slot.changed.notify_one();
    }

    /// Holds the bytes, at the cost of what was used the longest time ago.
    fn put(&self, slot: &Arc<Slot>, content: Content) {
        let mut held = self.held();
        {
            let mut state = slot.state();
            if state.closed {
                return;
            }
            if let Content::Ready(bytes) = &content {
                held.bytes += bytes.len();
                let used = held.uses;
                held.uses += 1;
                held.slots.insert(used, slot.clone());
                state.used = Some(used);
            }
            state.content = content;
        }
        while held.bytes > self.bytes_max && held.slots.len() > 1 {
            let Some((_, oldest)) = held.slots.pop_first() else { break };
            let mut oldest = oldest.state();
            oldest.used = None;
            if let Content::Ready(bytes) = std::mem::replace(&mut oldest.content, Content::Dropped) {
                held.bytes -= bytes.len();
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AheadRun {
    /// The bytes of the run, read again if they had to go.
    pub async fn bytes(&mut self) -> Result<Bytes, ReadError> {
        loop {
            match self.look() {
                Look::Bytes(bytes) => return Ok(bytes),
                Look::Failed(error) => return Err(error),
                Look::Dropped => {
                    self.slot.state().content = Content::Reading;
                    self.read = self.ahead.spawn_fill(self.partition, self.run, &self.slot);
                }
                Look::Reading => self.slot.changed.notified().await,
            }
        }
    }

    /// The bytes of the run if they are there.
    pub fn ready_bytes(&self) -> Option<Bytes> {
        let is_ready = matches!(self.slot.state().content, Content::Ready(_));
        match is_ready.then(|| self.look()) {
            Some(Look::Bytes(bytes)) => Some(bytes),
            Some(Look::Failed(_) | Look::Dropped | Look::Reading) | None => None,
        }
    }

    fn look(&self) -> Look {
        let mut held = self.ahead.held();
        let mut state = self.slot.state();
        match std::mem::take(&mut state.content) {
            Content::Ready(bytes) => {
                state.content = Content::Ready(bytes.clone());
                if let Some(used) = state.used.replace(held.uses) {
                    held.slots.remove(&used);
                }
                let used = held.uses;
                held.slots.insert(used, self.slot.clone());
                held.uses += 1;
                Look::Bytes(bytes)
            }
            Content::Failed(error) => {
                state.content = Content::Dropped;
                Look::Failed(error)
            }
            Content::Dropped => {
                state.content = Content::Dropped;
                Look::Dropped
            }
            Content::Reading => Look::Reading,
        }
    }
}

enum Look {
    Bytes(Bytes),
    Failed(ReadError),
    Dropped,
    Reading,
}

impl Drop for AheadRun {
    fn drop(&mut self) {
        self.ahead.runs.fetch_sub(1, Ordering::Relaxed);
        let mut held = self.ahead.held();
        let mut state = self.slot.state();
        state.closed = true;
        if let Some(used) = state.used.take() {
            held.slots.remove(&used);
        }
        if let Content::Ready(bytes) = std::mem::replace(&mut state.content, Content::Dropped) {
            held.bytes -= bytes.len();
        }
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use eagre_cache::{CacheSettings, PageCaches};
    use eagre_env::Env;
    use eagre_log::{ReaderSettings, RunReader};
    use eagre_model::{ObjectId, RunKind, UploadEpoch, batch::crc32c};
    use eagre_objects::{Bucket, BucketKind};
    use object_store::{
        memory::InMemory,
        throttle::{ThrottleConfig, ThrottledStore},
    };

    use super::{
        super::bytes::tests::{P, without_inline},
        *,
    };

    const RUN_BYTES: usize = 1_000;

    /// Objects of one run each, and a budget of so many of them. Every read takes a moment.
    async fn ahead(objects: u64, held_max: usize) -> (Arc<ReadAhead>, Vec<Run>) {
        let env = Env::system();
        let slow = ThrottleConfig { wait_get_per_call: Duration::from_millis(1), ..ThrottleConfig::default() };
        let store = Arc::new(ThrottledStore::new(InMemory::new(), slow));
        let bucket = Bucket::from_store(&env, store, BucketKind::Memory).await.unwrap();
        let mut runs = Vec::new();
        for number in 0..objects {
            let object = ObjectId { epoch: UploadEpoch(0), incarnation: 1, number };
            let bytes = Bytes::from(vec![u8::try_from(number).unwrap(); RUN_BYTES]);
            let crc32c = crc32c(&bytes);
            bucket.put(&object.key(), bytes).await.unwrap();
            let offset = i64::try_from(number).unwrap();
            runs.push(Run {
                kind: RunKind::Wal,
                base_offset: offset,
                last_offset: offset,
                object,
                position_bytes: 0,
                length_bytes: u32::try_from(RUN_BYTES).unwrap(),
                batches: 1,
                crc32c,
                prefix_max_timestamp_ms: 0,
            });
        }
        let caches = PageCaches::plain(&CacheSettings::default());
        let reader = RunReader::new(&env, bucket, caches, &ReaderSettings::default());
        (ReadAhead::new(without_inline(reader), held_max * RUN_BYTES), runs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_taking_holds_up_no_other() {
        let (ahead, runs) = ahead(3, 1).await;
        let mut started: Vec<AheadRun> = runs.iter().map(|run| ahead.start(P, *run)).collect();
        started[0].bytes().await.unwrap();
        started[1].bytes().await.unwrap();
        assert!(started[0].ready_bytes().is_none(), "it had to give way");
        // Once looked at, it is read again; but nobody polls for it any more.
        let (stopped, others) = started.split_at_mut(1);
        let mut stopped = Box::pin(stopped[0].bytes());
        assert!(futures::poll!(&mut stopped).is_pending());
        let served = tokio::time::timeout(Duration::from_secs(60), others[1].bytes()).await;
        assert_eq!(served.expect("it is not held up").unwrap()[0], 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_slowest_loses_its_bytes_and_reads_them_again() {
        let (ahead, runs) = ahead(6, 3).await;
        let mut started: Vec<AheadRun> = runs.iter().map(|run| ahead.start(P, *run)).collect();
        for (index, run) in started.iter_mut().enumerate() {
            let bytes = run.bytes().await.unwrap();
            assert_eq!((bytes.len(), usize::from(bytes[0])), (RUN_BYTES, index));
            assert!(ahead.held_bytes() <= 3 * RUN_BYTES, "{}", ahead.held_bytes());
        }
        let held = |started: &[AheadRun]| started.iter().map(|run| run.ready_bytes().is_some()).collect::<Vec<_>>();
        assert_eq!(held(&started), [false, false, false, true, true, true]);
        // The oldest comes back at the cost of the one that was used the longest time ago.
        assert_eq!(started[0].bytes().await.unwrap()[0], 0);
        assert_eq!(held(&started), [true, false, false, false, true, true]);
        drop(started);
        assert_eq!(ahead.held_bytes(), 0);
        assert!(ahead.held().slots.is_empty());
    }

    #[tokio::test]
    async fn a_run_that_is_lost_says_so() {
        let (ahead, mut runs) = ahead(1, 1).await;
        runs[0].object.number = 99;
        let mut run = ahead.start(P, runs[0]);
        assert!(matches!(run.bytes().await, Err(ReadError::Missing { .. })));
        assert!(run.ready_bytes().is_none());
    }
}
