//! How a store behaves. Data only; what differs between a folder and an object store is decided here.

use std::time::Duration;

use tokio::runtime::Handle;

/// More flushes are never under way at once.
pub const FLUSHES_PARALLEL_MAX: usize = crate::wal::PARALLEL_MAX;

/// What a store may hold in memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreMemory {
    /// Blocks, indexes and filters of tables.
    pub block_cache_bytes: usize,
    /// Rows in memory become a sorted table at this size at the latest; at half of it when
    /// [large ones have gone](crate::MetadataStore::large_rows_have_gone).
    pub table_bytes: usize,
    /// Writers wait above this.
    pub unflushed_bytes_max: usize,
    /// A table that compaction makes.
    pub compacted_table_bytes: usize,
}

impl Default for StoreMemory {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            block_cache_bytes: 24 * MIB,
            table_bytes: 9 * MIB,
            unflushed_bytes_max: 27 * MIB,
            compacted_table_bytes: 32 * MIB,
        }
    }
}

/// Settings of a [`MetadataStore`](crate::MetadataStore).
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Where compaction and garbage collection run; a runtime of its own in a real process, so that they never delay a
    /// commit. `None`: the runtime that opens the store, as in the simulation.
    pub background: Option<Handle>,
    /// After so many flushes the rows in memory are written as a sorted table, so that a successor replays fewer
    /// objects: a start costs one GET an object. At most 4,096.
    pub flushes_per_table: u32,
    /// A flushed WAL object whose rows are in a sorted table is deleted when it is so old.
    pub wal_age_min: Duration,
    /// While there are flushes, WAL objects are listed so often to find those.
    pub wal_deletion_interval: Duration,
    /// A sorted table or manifest that nothing refers to is deleted when it is so old. Longer than any read, and longer
    /// than a stale process may live where the bucket has no conditional overwrite.
    pub table_age_min: Duration,
    /// Whether the bucket replaces an object only when it is still the one that was read (If-Match).
    pub has_conditional_overwrite: bool,
    /// So many flushes may be under way at once. At most [`FLUSHES_PARALLEL_MAX`].
    pub flushes_parallel: usize,
    /// While flushes are under way, the next one begins so long after the last one: this bounds what they cost.
    pub flush_interval_min: Duration,
    /// How much one request of a scan fetches ahead.
    pub read_ahead_bytes: usize,
    /// What it may hold in memory.
    pub memory: StoreMemory,
}

impl StoreSettings {
    /// For a bucket that is a folder or memory: requests are cheap and quick, one machine and one clock write it.
    pub fn for_folder() -> Self {
        Self {
            background: None,
            flushes_per_table: 2_000,
            wal_age_min: Duration::from_secs(15),
            wal_deletion_interval: Duration::from_secs(30),
            table_age_min: Duration::from_secs(30 * 60),
            has_conditional_overwrite: false,
            // One after another: the disk gains nothing by more, and waiting makes groups.
            flushes_parallel: 1,
            flush_interval_min: Duration::ZERO,
            read_ahead_bytes: 128 * 1024,
            memory: StoreMemory::default(),
        }
    }

    /// For an object store: every request costs money and tens of milliseconds.
    pub fn for_object_store() -> Self {
        Self {
            background: None,
            flushes_per_table: 256,
            // An opener that loses objects to a deletion is fenced by its manifest, and a late create of a number that is gone
            // is behind a fence or in a table: no age is needed for safety.
            wal_age_min: Duration::from_secs(10),
            wal_deletion_interval: Duration::from_secs(60),
            table_age_min: Duration::from_secs(60 * 60),
            has_conditional_overwrite: true,
            flushes_parallel: 6,
            // At most 25 PUTs a second.
            flush_interval_min: Duration::from_millis(40),
            read_ahead_bytes: 1024 * 1024,
            memory: StoreMemory::default(),
        }
    }

    /// The same settings where the bucket has no conditional overwrite that can be relied on: nothing is deleted before the
    /// longest time that a stale process may live.
    pub fn without_conditional_overwrite(mut self) -> Self {
        self.has_conditional_overwrite = false;
        self.table_age_min = Duration::from_secs(24 * 60 * 60);
        self
    }

    /// The same settings with compaction and garbage collection on another runtime.
    pub fn with_background(mut self, background: Handle) -> Self {
        self.background = Some(background);
        self
    }
}
