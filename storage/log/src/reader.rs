//! The bytes of runs, out of the caches or the bucket, checked on every read.

mod fetch;

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use eagre_cache::{PageCaches, PageKey};
use eagre_env::{Env, PlantedBug};
use eagre_model::{ObjectId, Run, batch::crc32c};
use eagre_objects::{Bucket, GetError};

use fetch::{FetchError, Fetcher, Found};

/// Objects are fetched and cached in pages of this size; the last one is as long as the object goes.
pub const PAGE_BYTES: u64 = 1024 * 1024;

/// Counter: pages that reads took by `source` (`written`, `memory`, `disk`, `bucket`, `joined`: from a GET that another
/// read had begun; `sequencer`: inline runs).
pub const PAGES_TOTAL: &str = "eagre_reader_pages_total";

/// How much a reader does at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderSettings {
    /// Bytes of GETs under way at a time, all reads together. One GET that is larger still runs, alone.
    pub fetching_bytes_max: usize,
}

impl Default for ReaderSettings {
    fn default() -> Self {
        Self { fetching_bytes_max: 32 * 1024 * 1024 }
    }
}

/// Why the bytes of a run cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The object is gone. Resolve the index again; the same row once more means that it is lost.
    #[error("object {object} is missing")]
    Missing {
        /// Which one.
        object: ObjectId,
    },
    /// Fetched twice, the object does not hold what the index says.
    #[error("corrupt object {object} at {position_bytes}: {detail}")]
    Corrupt {
        /// Which one.
        object: ObjectId,
        /// Where the run begins.
        position_bytes: u64,
        /// What is wrong.
        detail: String,
    },
    /// Whoever has it gave no usable answer. Ask again, after a pause.
    #[error("object {object} cannot be read now: {why}")]
    Unavailable {
        /// Which one.
        object: ObjectId,
        /// What the bucket said, or the sequencer.
        why: String,
    },
}

/// Reads runs. Cheap to clone; all clones share fetches and budget.
#[derive(Debug, Clone)]
pub struct RunReader {
    bucket: Bucket,
    caches: PageCaches,
    fetcher: Arc<Fetcher>,
    planted: Planted,
}

/// The known bugs of this place, switched on by the simulation only.
#[derive(Debug, Clone, Copy)]
struct Planted {
    stale_cache_page: bool,
    truncated_read: bool,
}

impl RunReader {
    /// A reader over these caches.
    pub fn new(env: &Env, bucket: Bucket, caches: PageCaches, settings: &ReaderSettings) -> Self {
        metrics::describe_counter!(PAGES_TOTAL, "Pages that reads took, by where they came from");
        for source in ["written", "memory", "joined", "disk", "bucket"] {
            metrics::counter!(PAGES_TOTAL, "source" => source).increment(0);
        }
        let planted = Planted {
            stale_cache_page: env.has_planted(PlantedBug::StaleCachePage),
            truncated_read: env.has_planted(PlantedBug::TruncatedRead),
        };
        let fetcher = Fetcher::new(bucket.clone(), Arc::clone(&caches.pages), settings, planted);
        Self { bucket, caches, fetcher: Arc::new(fetcher), planted }
    }

    /// Keeps an object that this process wrote, so that whoever reads the tail finds it in memory. `bytes` is a buffer of
    /// its own.
    pub fn insert_written(&self, object: ObjectId, bytes: Bytes) {
        self.caches.written.insert(PageKey { object: self.planted.cached_as(object), page: None }, bytes);
    }

    /// The batches of a run as stored: exactly `length_bytes`, of the CRC that the index says.
    ///
    /// May be a slice of a buffer at most twice as long; a shorter run is copied out of its buffer, so that it does not
    /// keep that alive.
    pub async fn read(&self, run: &Run) -> Result<Bytes, ReadError> {
        if let Some(bytes) = self.read_written(run) {
            return Ok(bytes);
        }
        match self.read_pages(run).await {
            Ok(bytes) => return Ok(bytes),
            Err(Flaw::Fetch(FetchError::Missing)) => return Err(ReadError::Missing { object: run.object }),
            Err(Flaw::Fetch(FetchError::Failed(source))) if !matches!(*source, GetError::Short { .. }) => {
                return Err(self.failed(run, source).await);
            }
            Err(flaw) => {
                tracing::warn!(object = %run.object, position = run.position_bytes, %flaw, "bad bytes, fetching them again");
            }
        }
        self.read_again(run).await
    }

    /// The bytes of an inline run if they are in memory, checked as by [`Self::read`].
    pub fn kept_inline(&self, run: &Run) -> Option<Bytes> {
        if let Some(bytes) = self.read_written(run) {
            return Some(bytes);
        }
        let key = self.inline_key(run);
        let bytes = self.checked(run, self.caches.pages.get(&key)?);
        match bytes {
            Ok(bytes) => {
                metrics::counter!(PAGES_TOTAL, "source" => "memory").increment(1);
                Some(bytes)
            }
            Err(flaw) => {
                tracing::warn!(commit = %run.object, position = run.position_bytes, %flaw, "bad bytes in memory dropped");
                self.caches.pages.remove(&key);
                None
            }
        }
    }

    /// Checks what came as the bytes of an inline run, and keeps them. `bytes` is a buffer of its own.
    ///
    /// # Errors
    ///
    /// [`ReadError::Corrupt`].
    pub fn keep_inline(&self, run: &Run, bytes: Bytes) -> Result<Bytes, ReadError> {
        let corrupt = |flaw: Flaw| ReadError::Corrupt {
            object: run.object,
            position_bytes: run.position_bytes,
            detail: flaw.to_string(),
        };
        let bytes = self.checked(run, bytes).map_err(corrupt)?;
        metrics::counter!(PAGES_TOTAL, "source" => "sequencer").increment(1);
        self.caches.pages.insert(self.inline_key(run), bytes.clone());
        Ok(bytes)
    }

    /// No object is stored under the id of an inline commit, so its pages are free: a run is known by where it begins.
    fn inline_key(&self, run: &Run) -> PageKey {
        let page = u32::try_from(run.position_bytes).unwrap_or(u32::MAX);
        PageKey { object: self.planted.cached_as(run.object), page: Some(page) }
    }

    fn read_written(&self, run: &Run) -> Option<Bytes> {
        let key = PageKey { object: self.planted.cached_as(run.object), page: None };
        let object = self.caches.written.get(&key)?;
        let found = Found { start: 0, bytes: object };
        match self.checked(run, found.part(range(run))) {
            Ok(bytes) => {
                metrics::counter!(PAGES_TOTAL, "source" => "written").increment(pages(run).count() as u64);
                Some(bytes)
            }
            Err(flaw) => {
                tracing::warn!(object = %run.object, position = run.position_bytes, %flaw, "bad bytes in memory dropped");
                self.caches.written.remove(&key);
                None
            }
        }
    }

    async fn read_pages(&self, run: &Run) -> Result<Bytes, Flaw> {
        let found = self.fetcher.pages(self.planted.cached_as(run.object), run.object, pages(run)).await;
        self.checked(run, assemble(found.map_err(Flaw::Fetch)?, range(run)))
    }

    /// Past every cache and every fetch that others began.
    async fn read_again(&self, run: &Run) -> Result<Bytes, ReadError> {
        let cached_as = self.planted.cached_as(run.object);
        for page in pages(run) {
            self.caches.pages.remove(&PageKey { object: cached_as, page: Some(page) });
        }
        let corrupt = |detail| ReadError::Corrupt { object: run.object, position_bytes: run.position_bytes, detail };
        let extent = match self.fetcher.fetch(run.object, pages(run)).await {
            Ok(extent) => extent,
            Err(FetchError::Missing) => return Err(ReadError::Missing { object: run.object }),
            Err(FetchError::Failed(source)) => return Err(self.failed(run, source).await),
        };
        let found = extent.found();
        let bytes = self.checked(run, found.part(range(run))).map_err(|flaw| corrupt(flaw.to_string()))?;
        self.fetcher.keep(cached_as, &extent);
        Ok(bytes)
    }

    /// A bucket that refuses the range may do so because the object ends before it.
    async fn failed(&self, run: &Run, source: Arc<GetError>) -> ReadError {
        let object = run.object;
        match self.bucket.length_bytes(&object.key()).await {
            Err(GetError::Missing { .. }) => ReadError::Missing { object },
            Ok(length_bytes) if length_bytes < range(run).end => {
                let detail = format!("the object ends at {length_bytes}, the run at {}", range(run).end);
                ReadError::Corrupt { object, position_bytes: run.position_bytes, detail }
            }
            Ok(_) | Err(_) => ReadError::Unavailable { object, why: source.to_string() },
        }
    }

    /// Gives out nothing that is not what the index says.
    fn checked(&self, run: &Run, bytes: Bytes) -> Result<Bytes, Flaw> {
        let right_length = bytes.len() as u64 == u64::from(run.length_bytes);
        if self.planted.truncated_read && !bytes.is_empty() || self.planted.stale_cache_page && right_length {
            return Ok(bytes);
        }
        if !right_length {
            return Err(Flaw::Length { found: bytes.len(), expected: run.length_bytes });
        }
        let found = crc32c(&bytes);
        if found == run.crc32c { Ok(bytes) } else { Err(Flaw::Crc { found, expected: run.crc32c }) }
    }
}

impl Planted {
    /// The object that cache keys name. With the planted bug two objects share a name.
    fn cached_as(self, object: ObjectId) -> ObjectId {
        if self.stale_cache_page { ObjectId { number: object.number / 2, ..object } } else { object }
    }
}

/// What is wrong with a first attempt.
#[derive(Debug, thiserror::Error)]
enum Flaw {
    #[error(transparent)]
    Fetch(FetchError),
    #[error("{found} bytes instead of {expected}")]
    Length { found: usize, expected: u32 },
    #[error("CRC-32C {found:#010x} instead of {expected:#010x}")]
    Crc { found: u32, expected: u32 },
}

fn range(run: &Run) -> Range<u64> {
    run.position_bytes..run.position_bytes.saturating_add(u64::from(run.length_bytes))
}

/// The pages that a run touches.
fn pages(run: &Run) -> Range<u32> {
    let page = |position| u32::try_from(position / PAGE_BYTES).unwrap_or(u32::MAX);
    let Range { start, end } = range(run);
    page(start)..page(end.saturating_sub(1).max(start)).saturating_add(1)
}

/// Joins what was found, in the order of its bytes, to the bytes of a range; fewer where something is missing.
fn assemble(found: Vec<Found>, range: Range<u64>) -> Bytes {
    if let [only] = found.as_slice() {
        return only.part(range);
    }
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let mut whole = Vec::with_capacity(length);
    for found in found {
        let next = range.start + whole.len() as u64;
        let part = found.within(next..range.end);
        whole.extend_from_slice(&found.bytes[part]);
    }
    whole.into()
}
