//! Deleting objects of the log whose rows are in tables.

use std::{ops::Bound, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt, stream};
use slatedb::wal::{WalError, WalFileRange, WalGc};
use slatedb_common::clock::SystemClock;

use super::{
    listing::{Listing, is_fence},
    store::LogStore,
};

/// Deletes what no manifest refers to and is old enough.
pub(crate) struct LogCollector {
    log: LogStore,
    clock: Arc<dyn SystemClock>,
}

impl LogCollector {
    pub(crate) fn new(log: LogStore, clock: Arc<dyn SystemClock>) -> Self {
        Self { log, clock }
    }
}

#[async_trait]
impl WalGc for LogCollector {
    async fn collect(&self, referenced: Vec<WalFileRange>, age_min: Duration, dry_run: bool) -> Result<(), WalError> {
        let Ok(age_min) = TimeDelta::from_std(age_min) else { return Ok(()) };
        let now = self.clock.now();
        let listing = Listing::whole(&self.log).await?;
        let rows = listing.objects().filter(|(_, object)| !is_fence(object));
        let unreferenced = rows.chain(listing.built_in()).filter(|(id, object)| {
            let is_referenced = referenced.iter().any(|range| contains(range, *id));
            !is_referenced && now.signed_duration_since(object.last_modified) > age_min
        });
        let paths: Vec<_> = unreferenced.map(|(_, object)| Ok(object.location.clone())).collect();
        if dry_run || paths.is_empty() {
            return Ok(());
        }
        let mut deleted = self.log.bucket().delete_stream(stream::iter(paths).boxed());
        loop {
            match deleted.try_next().await {
                Ok(Some(_)) | Err(object_store::Error::NotFound { .. }) => {}
                Ok(None) => return Ok(()),
                // The next round tries again.
                Err(error) => return Err(WalError::Unavailable(Arc::new(error))),
            }
        }
    }
}

fn contains(range: &WalFileRange, id: u64) -> bool {
    let begins = match range.0 {
        Bound::Included(start) => id >= start,
        Bound::Excluded(start) => id > start,
        Bound::Unbounded => true,
    };
    let ends = match range.1 {
        Bound::Included(end) => id <= end,
        Bound::Excluded(end) => id < end,
        Bound::Unbounded => true,
    };
    begins && ends
}
