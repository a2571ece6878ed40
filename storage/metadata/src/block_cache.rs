//! A small cache of SlateDB's blocks, indexes and filters: least recently used goes first, bounded by bytes. Its order
//! depends on nothing but the calls, so that a simulation repeats.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use eagre_env::HashMap;
use slatedb::db_cache::{CachedEntry, CachedKey, DbCache};

/// What an entry costs beside its own bytes: keys, both maps, allocations.
const OVERHEAD_BYTES: usize = 200;

/// The cache.
pub(crate) struct BlockCache {
    capacity_bytes: usize,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<CachedKey, (CachedEntry, u64)>,
    /// From least to most recently used.
    by_use: BTreeMap<u64, CachedKey>,
    next_use: u64,
    bytes: usize,
}

impl BlockCache {
    /// An empty cache.
    pub(crate) fn new(capacity_bytes: usize) -> Self {
        Self { capacity_bytes, entries: Mutex::default() }
    }

    fn get(&self, key: &CachedKey) -> Option<CachedEntry> {
        self.with(|entries| {
            let now = entries.tick();
            let (entry, used) = entries.by_key.get_mut(key)?;
            let before = std::mem::replace(used, now);
            let entry = entry.clone();
            entries.by_use.remove(&before);
            entries.by_use.insert(now, key.clone());
            Some(entry)
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Entries) -> T) -> T {
        act(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entries {
    fn tick(&mut self) -> u64 {
        self.next_use += 1;
        self.next_use
    }

    fn remove(&mut self, key: &CachedKey) {
        if let Some((entry, used)) = self.by_key.remove(key) {
            self.by_use.remove(&used);
            self.bytes -= entry.size() + OVERHEAD_BYTES;
        }
    }

    fn insert(&mut self, key: CachedKey, entry: CachedEntry, capacity_bytes: usize) {
        self.remove(&key);
        let now = self.tick();
        self.bytes += entry.size() + OVERHEAD_BYTES;
        self.by_use.insert(now, key.clone());
        self.by_key.insert(key, (entry, now));
        while self.bytes > capacity_bytes {
            let Some((_, oldest)) = self.by_use.first_key_value() else { break };
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
    }
}

#[async_trait]
impl DbCache for BlockCache {
    async fn get_block(&self, key: &CachedKey) -> Result<Option<CachedEntry>, slatedb::Error> {
        Ok(self.get(key))
    }

    async fn get_index(&self, key: &CachedKey) -> Result<Option<CachedEntry>, slatedb::Error> {
        Ok(self.get(key))
    }

    async fn get_filter(&self, key: &CachedKey) -> Result<Option<CachedEntry>, slatedb::Error> {
        Ok(self.get(key))
    }

    async fn get_stats(&self, key: &CachedKey) -> Result<Option<CachedEntry>, slatedb::Error> {
        Ok(self.get(key))
    }

    async fn insert(&self, key: CachedKey, value: CachedEntry) {
        self.with(|entries| entries.insert(key, value, self.capacity_bytes));
    }

    async fn remove(&self, key: &CachedKey) {
        self.with(|entries| entries.remove(key));
    }

    fn entry_count(&self) -> u64 {
        self.with(|entries| entries.by_key.len() as u64)
    }
}
