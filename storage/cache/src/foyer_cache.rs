//! The cache of a real process: foyer, in memory or in memory and on disk.

use std::{fmt, fs, io, path::PathBuf};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use eagre_model::{ObjectId, UploadEpoch};
use foyer::{
    BlockEngineConfig, Cache, CacheBuilder, Code, DeviceBuilder, EvictionConfig, FsDeviceBuilder, HybridCache,
    HybridCacheBuilder, HybridCachePolicy, LruConfig, PsyncIoEngineConfig, RecoverMode,
};

use crate::{PageCache, PageKey, weight};

/// foyer gives every shard its part of the capacity; below this an object of 8 MiB would not find room in one.
const SHARD_BYTES_MIN: usize = 64 * 1024 * 1024;
const SHARDS_MAX: usize = 8;

// Two flushers over these buffers kept every page of a burst where foyer's defaults dropped up to 84 % of them.
const FLUSHERS: usize = 2;
const FLUSH_BUFFER_BYTES: usize = 128 * 1024 * 1024;
const FLUSH_QUEUE_BYTES: usize = 256 * 1024 * 1024;

/// A second tier on a local disk, for buckets behind a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskTier {
    /// A folder for this bucket and process alone; made when it is not there. What it holds after a restart is used again.
    pub folder: PathBuf,
    /// How much it may take.
    pub capacity_bytes: usize,
}

/// Why the disk tier cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made.
    #[error("cannot make the cache folder {folder}: {source}")]
    Folder {
        /// As given.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
    /// foyer cannot use the folder.
    #[error("cannot open the disk cache in {folder}: {source}")]
    Disk {
        /// As given.
        folder: String,
        /// What foyer said.
        source: foyer::Error,
    },
}

/// A cache on foyer. Least recently used goes first.
pub struct FoyerCache {
    capacity_bytes: usize,
    tiers: Tiers,
}

enum Tiers {
    Memory(Cache<Key, Bytes>),
    Hybrid(HybridCache<Key, Bytes>),
}

impl FoyerCache {
    /// A cache in memory.
    pub fn in_memory(capacity_bytes: usize) -> Self {
        let cache = CacheBuilder::new(capacity_bytes)
            .with_shards(shards(capacity_bytes))
            .with_eviction_config(eviction())
            .with_weighter(|_: &Key, bytes: &Bytes| weight(bytes))
            .build();
        Self { capacity_bytes, tiers: Tiers::Memory(cache) }
    }

    /// A cache in memory over one on disk; every entry is written to the disk when it is inserted. Runs on the tokio
    /// runtime of the caller.
    pub async fn with_disk(capacity_bytes: usize, disk: &DiskTier) -> Result<Self, OpenError> {
        let folder = disk.folder.display().to_string();
        fs::create_dir_all(&disk.folder).map_err(|source| OpenError::Folder { folder: folder.clone(), source })?;
        let failed = |source| OpenError::Disk { folder, source };
        let device = FsDeviceBuilder::new(&disk.folder).with_capacity(disk.capacity_bytes).build();
        let device = match device {
            Ok(device) => device,
            Err(source) => return Err(failed(source)),
        };
        let engine = BlockEngineConfig::new(device)
            .with_flushers(FLUSHERS)
            .with_buffer_pool_size(FLUSH_BUFFER_BYTES)
            .with_submit_queue_size_threshold(FLUSH_QUEUE_BYTES);
        let cache = HybridCacheBuilder::new()
            .with_policy(HybridCachePolicy::WriteOnInsertion)
            .memory(capacity_bytes)
            .with_shards(shards(capacity_bytes))
            .with_eviction_config(eviction())
            .with_weighter(|_: &Key, bytes: &Bytes| weight(bytes))
            .storage()
            .with_io_engine_config(PsyncIoEngineConfig::new())
            .with_engine_config(engine)
            .with_recover_mode(RecoverMode::Quiet)
            .build()
            .await
            .map_err(failed)?;
        Ok(Self { capacity_bytes, tiers: Tiers::Hybrid(cache) })
    }

    /// Writes out what waits for the disk. Without a disk tier it does nothing.
    pub async fn close(&self) {
        if let Tiers::Hybrid(cache) = &self.tiers
            && let Err(error) = cache.close().await
        {
            tracing::warn!(%error, "the disk cache was not closed cleanly, its last pages are fetched again");
        }
    }
}

#[async_trait]
impl PageCache for FoyerCache {
    fn get(&self, key: &PageKey) -> Option<Bytes> {
        match &self.tiers {
            Tiers::Memory(cache) => cache.get(&Key(*key)).map(|entry| entry.value().clone()),
            Tiers::Hybrid(cache) => cache.memory().get(&Key(*key)).map(|entry| entry.value().clone()),
        }
    }

    async fn load(&self, key: &PageKey) -> Option<Bytes> {
        let Tiers::Hybrid(cache) = &self.tiers else { return None };
        match cache.get(&Key(*key)).await {
            Ok(entry) => entry.map(|entry| entry.value().clone()),
            Err(error) => {
                tracing::warn!(%error, ?key, "the disk cache gave no answer, the page is fetched from the bucket");
                None
            }
        }
    }

    fn insert(&self, key: PageKey, bytes: Bytes) {
        if weight(&bytes) > self.capacity_bytes / shards(self.capacity_bytes) {
            self.remove(&key);
            return;
        }
        match &self.tiers {
            Tiers::Memory(cache) => drop(cache.insert(Key(key), bytes)),
            Tiers::Hybrid(cache) => drop(cache.insert(Key(key), bytes)),
        }
    }

    fn remove(&self, key: &PageKey) {
        match &self.tiers {
            Tiers::Memory(cache) => drop(cache.remove(&Key(*key))),
            Tiers::Hybrid(cache) => cache.remove(&Key(*key)),
        }
    }

    fn usage_bytes(&self) -> usize {
        match &self.tiers {
            Tiers::Memory(cache) => cache.usage(),
            Tiers::Hybrid(cache) => cache.memory().usage(),
        }
    }
}

fn shards(capacity_bytes: usize) -> usize {
    (capacity_bytes / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX)
}

fn eviction() -> EvictionConfig {
    // Without priorities: one queue.
    EvictionConfig::Lru(LruConfig { high_priority_pool_ratio: 0.0 })
}

impl fmt::Debug for FoyerCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let capacity_bytes = self.capacity_bytes;
        f.debug_struct("FoyerCache").field("capacity_bytes", &capacity_bytes).finish_non_exhaustive()
    }
}

/// The key as foyer writes it to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key(PageKey);

const KEY_BYTES: usize = 8 + 8 + 8 + 1 + 4;

impl Code for Key {
    fn encode(&self, writer: &mut impl io::Write) -> foyer::Result<()> {
        use bytes::BufMut;
        let PageKey { object, page } = self.0;
        let mut bytes = BytesMut::with_capacity(KEY_BYTES);
        bytes.put_u64(object.epoch.0);
        bytes.put_u64(object.incarnation);
        bytes.put_u64(object.number);
        bytes.put_u8(u8::from(page.is_some()));
        bytes.put_u32(page.unwrap_or(0));
        writer.write_all(&bytes).map_err(foyer::Error::io_error)
    }

    fn decode(reader: &mut impl io::Read) -> foyer::Result<Self> {
        use bytes::Buf;
        let mut bytes = [0; KEY_BYTES];
        reader.read_exact(&mut bytes).map_err(foyer::Error::io_error)?;
        let mut bytes = &bytes[..];
        let object =
            ObjectId { epoch: UploadEpoch(bytes.get_u64()), incarnation: bytes.get_u64(), number: bytes.get_u64() };
        let (is_page, page) = (bytes.get_u8() == 1, bytes.get_u32());
        Ok(Self(PageKey { object, page: is_page.then_some(page) }))
    }

    fn estimated_size(&self) -> usize {
        KEY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_disk() {
        for page in [None, Some(0), Some(7), Some(u32::MAX)] {
            let object = ObjectId { epoch: UploadEpoch(1), incarnation: u64::MAX, number: 3 };
            let key = Key(PageKey { object, page });
            let mut bytes = vec![];
            key.encode(&mut bytes).unwrap();
            assert_eq!(bytes.len(), key.estimated_size());
            assert_eq!(Key::decode(&mut bytes.as_slice()).unwrap(), key);
            assert!(Key::decode(&mut &bytes[..KEY_BYTES - 1]).is_err());
        }
    }
}
