//! The cache of the simulation: no threads, no clock, no randomness.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{PageCache, PageKey, weight};

/// Least recently used goes first. The same calls give the same contents.
pub struct PlainCache {
    capacity_bytes: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<PageKey, (Bytes, u64)>,
    by_use: BTreeMap<u64, PageKey>,
    uses: u64,
    usage_bytes: usize,
}

impl PlainCache {
    /// An empty cache.
    pub fn new(capacity_bytes: usize) -> Self {
        Self { capacity_bytes, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn touch(&mut self, key: &PageKey) -> Option<Bytes> {
        let (bytes, used) = self.entries.get_mut(key)?;
        self.by_use.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.by_use.insert(self.uses, *key);
        Some(bytes.clone())
    }

    fn remove(&mut self, key: &PageKey) {
        if let Some((bytes, used)) = self.entries.remove(key) {
            self.by_use.remove(&used);
            self.usage_bytes -= weight(&bytes);
        }
    }
}

#[async_trait]
impl PageCache for PlainCache {
    fn get(&self, key: &PageKey) -> Option<Bytes> {
        self.state().touch(key)
    }

    async fn load(&self, _key: &PageKey) -> Option<Bytes> {
        None
    }

    fn insert(&self, key: PageKey, bytes: Bytes) {
        let mut state = self.state();
        state.remove(&key);
        if weight(&bytes) > self.capacity_bytes {
            return;
        }
        while state.usage_bytes + weight(&bytes) > self.capacity_bytes {
            let Some((_, oldest)) = state.by_use.pop_first() else { break };
            state.remove(&oldest);
        }
        state.uses += 1;
        let used = state.uses;
        state.usage_bytes += weight(&bytes);
        state.by_use.insert(used, key);
        state.entries.insert(key, (bytes, used));
    }

    fn remove(&self, key: &PageKey) {
        self.state().remove(key);
    }

    fn usage_bytes(&self) -> usize {
        self.state().usage_bytes
    }
}

impl fmt::Debug for PlainCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let capacity_bytes = self.capacity_bytes;
        f.debug_struct("PlainCache").field("capacity_bytes", &capacity_bytes).finish_non_exhaustive()
    }
}
