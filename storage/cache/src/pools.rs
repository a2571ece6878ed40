//! Two pools, so that a reader who catches up does not push out what the live readers are about to read.

use std::sync::Arc;

use crate::{DiskTier, FoyerCache, OpenError, PageCache, PlainCache};

/// How much is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// Memory for whole objects that this process wrote.
    pub written_bytes: usize,
    /// Memory for pages read from the bucket.
    pub pages_bytes: usize,
    /// Keeps pages read from the bucket on a local disk as well. Only where the bucket is behind a network: before a folder
    /// it would copy one disk to another.
    pub disk: Option<DiskTier>,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { written_bytes: 64 * 1024 * 1024, pages_bytes: 32 * 1024 * 1024, disk: None }
    }
}

/// The caches of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PageCaches {
    /// Whole objects that this process wrote: tail reads come from here.
    pub written: Arc<dyn PageCache>,
    /// Pages read from the bucket: reads that catch up.
    pub pages: Arc<dyn PageCache>,
}

impl PageCaches {
    /// The caches of a real process.
    pub async fn open(settings: &CacheSettings) -> Result<Self, OpenError> {
        let pages = match &settings.disk {
            Some(disk) => FoyerCache::with_disk(settings.pages_bytes, disk).await?,
            None => FoyerCache::in_memory(settings.pages_bytes),
        };
        Ok(Self { written: Arc::new(FoyerCache::in_memory(settings.written_bytes)), pages: Arc::new(pages) })
    }

    /// The caches of the simulation; a disk tier is left out.
    pub fn plain(settings: &CacheSettings) -> Self {
        let cache = |capacity_bytes| Arc::new(PlainCache::new(capacity_bytes));
        Self { written: cache(settings.written_bytes), pages: cache(settings.pages_bytes) }
    }
}
