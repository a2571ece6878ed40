//! How a store behaves. Data only; what differs between a folder and an object store is decided here.

use std::time::Duration;

use tokio::runtime::Handle;

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
    /// How much one request of a scan fetches ahead.
    pub read_ahead_bytes: usize,
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
            read_ahead_bytes: 128 * 1024,
        }
    }

    /// For an object store: every request costs money and tens of milliseconds.
    pub fn for_object_store() -> Self {
        Self {
            background: None,
            flushes_per_table: 256,
            wal_age_min: Duration::from_secs(60 * 60),
            wal_deletion_interval: Duration::from_secs(2 * 60),
            table_age_min: Duration::from_secs(60 * 60),
            has_conditional_overwrite: true,
            read_ahead_bytes: 1024 * 1024,
        }
    }

    /// The same settings with compaction and garbage collection on another runtime.
    pub fn with_background(mut self, background: Handle) -> Self {
        self.background = Some(background);
        self
    }
}
