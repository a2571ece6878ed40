//! The store of one shard's rows.

use std::{
    ops::{Bound, RangeBounds},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use eagre_env::Env;
use eagre_model::ShardId;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use slatedb::{
    Db,
    config::{CloseOptions, DurabilityLevel, FlushOptions, FlushType, ReadOptions, ScanOptions},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    changes::Changes,
    clock::StoreClock,
    error::{CloseError, OpenError, ReadError, WriteError},
    gate::GatedStore,
    open,
    pages::Pages,
    rows::RowKind,
    settings::{FLUSHES_PARALLEL_MAX, StoreSettings},
};

/// What a row takes in a table, roughly; decides how far a scan reads ahead.
const ROW_BYTES: usize = 96;
/// Rows that are looked up at a time, of those that are asked for together.
const LOOKUPS_PARALLEL: usize = 16;
/// A longer scan is a catch-up read whose blocks are not kept.
const CACHED_SCAN_ROWS: usize = 256;

/// What was written since rows in memory were last made a table. Those that SlateDB makes by itself, when it has to, are not seen.
#[derive(Default)]
struct SinceTable {
    flushes: AtomicU32,
    bytes: AtomicU64,
}

/// The rows of one metadata shard, opened by their only writer.
///
/// **One task writes**: it calls [`write`](Self::write) for a group of commits, then begins [`flush`](Self::flush) once, and
/// answers when that is done; further groups may be written meanwhile. Reads show durable rows only, and may be stale once another writer has opened the shard:
/// whoever answers from them proves its claim first.
///
/// A store that is dropped is abandoned.
pub struct MetadataStore {
    db: Db,
    clock: Arc<StoreClock>,
    settings: StoreSettings,
    since_table: SinceTable,
    /// A table is being written in the background.
    writing_table: Arc<AtomicBool>,
    /// Shuts the store off from the bucket, at the latest when it is dropped.
    shut: CancellationToken,
    _shut_on_drop: DropGuard,
}

impl MetadataStore {
    /// Opens the rows of a shard in this bucket, below `meta/<shard>/`, and shuts out every earlier writer. The caller
    /// holds the shard's claim and has waited until the authority of the holder before ran out.
    ///
    /// Waits as long as the bucket fails in a way that may pass; drop the future to give up.
    ///
    /// # Errors
    ///
    /// [`OpenError::Fenced`] when another writer opened at the same time.
    pub async fn open(
        env: &Env,
        bucket: Arc<dyn ObjectStore>,
        shard: ShardId,
        settings: StoreSettings,
    ) -> Result<Self, OpenError> {
        let shut = CancellationToken::new();
        // When the caller gives up, what SlateDB has started by then ends too.
        let shut_on_drop = shut.clone().drop_guard();
        let store = Arc::new(GatedStore::new(bucket, shut.clone()));
        let (db, clock) = open::open(env, store, shard, &settings, &shut).await?;
        Ok(Self {
            db,
            clock,
            settings,
            since_table: SinceTable::default(),
            writing_table: Arc::default(),
            shut,
            _shut_on_drop: shut_on_drop,
        })
    }

    /// So many flushes may be under way at once.
    pub fn flushes_parallel(&self) -> usize {
        self.settings.flushes_parallel.clamp(1, FLUSHES_PARALLEL_MAX)
    }

    /// How far apart flushes begin while some are under way.
    pub fn flush_interval_min(&self) -> Duration {
        self.settings.flush_interval_min
    }

    /// Applies changes, all or none, without making them durable. Waits while too much is not flushed.
    ///
    /// # Errors
    ///
    /// The outcome of these and of all earlier changes since the last flush is unknown.
    pub async fn write(&self, changes: Changes) -> Result<(), WriteError> {
        if changes.is_empty() {
            return Ok(());
        }
        let bytes = changes.len_bytes() as u64;
        self.db.write(changes.into_batch()).await?;
        self.since_table.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Makes everything durable that was written before it is first polled. Flushes may be under way side by side, up to
    /// [`flushes_parallel`](Self::flushes_parallel); they end in the order in which they began. Waits as long as the bucket
    /// fails in a way that may pass. A flush whose future is dropped goes on.
    ///
    /// # Errors
    ///
    /// The outcome of everything since the last flush is unknown, whatever the error says.
    pub async fn flush(&self) -> Result<(), WriteError> {
        self.db.flush().await?;
        self.clock.flushed();
        let flushes = self.since_table.flushes.fetch_add(1, Ordering::Relaxed) + 1;
        if flushes >= self.settings.flushes_per_table {
            self.write_table();
        }
        Ok(())
    }

    /// Says that large rows which are in memory have just been deleted, durably. A table that is made now holds none of them: it is made if one
    /// would be due before long, behind the back of the commits.
    pub fn large_rows_have_gone(&self) {
        let (flushes, bytes) =
            (self.since_table.flushes.load(Ordering::Relaxed), self.since_table.bytes.load(Ordering::Relaxed));
        if flushes >= self.settings.flushes_per_table / 2 || bytes >= self.settings.memory.table_bytes as u64 / 2 {
            self.write_table();
        }
    }

    /// Writes the rows in memory as a sorted table, behind the back of the commits.
    fn write_table(&self) {
        if self.writing_table.swap(true, Ordering::AcqRel) {
            return;
        }
        self.since_table.flushes.store(0, Ordering::Relaxed);
        self.since_table.bytes.store(0, Ordering::Relaxed);
        let (db, writing) = (self.db.clone(), self.writing_table.clone());
        tokio::spawn(async move {
            let options = FlushOptions { flush_type: FlushType::MemTable };
            if let Err(error) = db.flush_with_options(options).await {
                tracing::warn!(%error, "metadata table not written");
            }
            writing.store(false, Ordering::Release);
        });
    }

    /// A durable row. Waits as long as the bucket fails in a way that may pass, as [`scan`](Self::scan) does.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub async fn get<R: RowKind>(&self, key: &R::Key) -> Result<Option<R::Value>, ReadError> {
        decoded::<R>(key, self.value(&R::encode_key(key)).await?)
    }

    /// The durable rows of these keys, in their order; some are looked up at a time.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub async fn get_all<R: RowKind>(&self, keys: &[R::Key]) -> Result<Vec<Option<R::Value>>, ReadError> {
        let encoded: Vec<Bytes> = keys.iter().map(R::encode_key).collect();
        let get = |key: Bytes| async move { self.value(&key).await };
        let values: Vec<Option<Bytes>> =
            stream::iter(encoded).map(get).buffered(LOOKUPS_PARALLEL).try_collect().await?;
        keys.iter().zip(values).map(|(key, value)| decoded::<R>(key, value)).collect()
    }

    async fn value(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let options = ReadOptions::new().with_durability_filter(DurabilityLevel::Remote);
        Ok(self.db.get_with_options(key, &options).await?)
    }

    /// Up to `max_rows` durable rows of one kind in the order of their keys. For the next page begin after the last key.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub async fn scan<R: RowKind>(
        &self,
        range: impl RangeBounds<R::Key>,
        max_rows: usize,
    ) -> Result<Vec<(R::Key, R::Value)>, ReadError> {
        let is_cached = max_rows <= CACHED_SCAN_ROWS;
        let read_ahead_bytes = max_rows.saturating_mul(ROW_BYTES);
        let scanned = self.scan_within::<R>(range, read_ahead_bytes, is_cached, |rows, _| rows < max_rows).await;
        scanned.map(|(rows, _)| rows)
    }

    /// All durable rows of one kind within a range, for whoever looks through them: in pages that end after the row with
    /// which there are `page_bytes` of values.
    pub fn pages<R: RowKind>(&self, range: impl RangeBounds<R::Key>, page_bytes: usize) -> Pages<'_, R>
    where
        R::Key: Clone,
    {
        Pages::new(self, range, page_bytes)
    }

    /// One of these pages, and whether nothing follows.
    pub(crate) async fn page<R: RowKind>(
        &self,
        range: impl RangeBounds<R::Key>,
        page_bytes: usize,
    ) -> Result<(Vec<(R::Key, R::Value)>, bool), ReadError> {
        self.scan_within::<R>(range, page_bytes, false, |_, bytes| bytes < page_bytes).await
    }

    /// Scans while there is room for more, given the rows so far and the bytes of their values. Says also whether it came to the
    /// end of the range.
    async fn scan_within<R: RowKind>(
        &self,
        range: impl RangeBounds<R::Key>,
        read_ahead_bytes: usize,
        is_cached: bool,
        has_room: impl Fn(usize, usize) -> bool,
    ) -> Result<(Vec<(R::Key, R::Value)>, bool), ReadError> {
        let options = ScanOptions::new()
            .with_durability_filter(DurabilityLevel::Remote)
            .with_read_ahead_bytes(read_ahead_bytes.clamp(1, self.settings.read_ahead_bytes))
            .with_max_fetch_tasks(2)
            .with_cache_blocks(is_cached);
        let (mut rows, mut value_bytes) = (Vec::new(), 0);
        let Some(range) = key_range::<R>(range).filter(|_| has_room(0, 0)) else { return Ok((rows, true)) };
        let mut found = self.db.scan_with_options(range, &options).await?;
        while let Some(row) = found.next().await? {
            let corrupt = |error| ReadError::row(R::KIND, &row.key, &error);
            let key = R::decode_key(&row.key).map_err(corrupt)?;
            let value = R::decode_shared(&key, &row.value).map_err(corrupt)?;
            value_bytes += row.value.len();
            rows.push((key, value));
            if !has_room(rows.len(), value_bytes) {
                return Ok((rows, false));
            }
        }
        Ok((rows, true))
    }

    /// The epoch by which SlateDB tells this writer from those before and after it.
    pub fn writer_epoch(&self) -> u64 {
        self.db.manifest().writer_epoch()
    }

    /// Flushes, writes the rows in memory as a table so that the next start replays nothing, and closes. After `limit`
    /// the store is abandoned instead.
    ///
    /// # Errors
    ///
    /// See [`CloseError`].
    pub async fn close(&self, limit: Duration) -> Result<(), CloseError> {
        let db = self.db.clone();
        // A task of its own, so that it ends its work even when nobody waits for it any more.
        let closing = tokio::spawn(async move { db.close().await });
        match tokio::time::timeout(limit, closing).await {
            Ok(Ok(closed)) => closed.map_err(|error| CloseError::Failed(error.to_string())),
            Ok(Err(panic)) => Err(CloseError::Failed(panic.to_string())),
            Err(_) => {
                self.abandon();
                Err(CloseError::TimedOut)
            }
        }
    }

    /// Lets go of the store at once: nothing of it reaches the bucket after this but requests that are on their way.
    /// Never waits. Whatever was not flushed has an unknown outcome.
    pub fn abandon(&self) {
        if self.shut.is_cancelled() {
            return;
        }
        self.shut.cancel();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let db = self.db.clone();
            runtime.spawn(async move {
                // Its requests fail by now; closing ends its tasks. It fails when it is closed or closing already.
                let _ = db.close_with_options(CloseOptions { flush_type: None }).await;
            });
        }
    }
}

impl Drop for MetadataStore {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl std::fmt::Debug for MetadataStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetadataStore").field("writer_epoch", &self.writer_epoch()).finish_non_exhaustive()
    }
}

fn decoded<R: RowKind>(key: &R::Key, value: Option<Bytes>) -> Result<Option<R::Value>, ReadError> {
    let decoded = value.map(|value| R::decode_shared(key, &value)).transpose();
    decoded.map_err(|error| ReadError::row(R::KIND, &R::encode_key(key), &error))
}

/// The range in bytes, never beyond the kind; `None` when it is empty, which SlateDB refuses.
fn key_range<R: RowKind>(range: impl RangeBounds<R::Key>) -> Option<(Bound<Bytes>, Bound<Bytes>)> {
    let start = match range.start_bound() {
        Bound::Included(key) => Bound::Included(R::encode_key(key)),
        Bound::Excluded(key) => Bound::Excluded(R::encode_key(key)),
        Bound::Unbounded => Bound::Included(Bytes::copy_from_slice(&[R::KIND])),
    };
    let end = match range.end_bound() {
        Bound::Included(key) => Bound::Included(R::encode_key(key)),
        Bound::Excluded(key) => Bound::Excluded(R::encode_key(key)),
        Bound::Unbounded => Bound::Excluded(Bytes::copy_from_slice(&[R::KIND + 1])),
    };
    let is_empty = match (&start, &end) {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => start >= end,
        _ => false,
    };
    (!is_empty).then_some((start, end))
}
