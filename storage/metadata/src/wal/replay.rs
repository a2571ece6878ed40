//! Reading a log back at a start.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use slatedb::wal::{WalError, WalIterator, WalRows};

use super::{
    file::{Content, LogFile},
    store::LogStore,
};

/// So many objects are read at once: at most so many times [`FILE_BYTES`](super::FILE_BYTES) and one batch are held.
const READ_AHEAD: usize = 8;

/// The objects of a chain in order, read ahead.
pub(crate) struct Replay {
    log: Arc<LogStore>,
    ids: VecDeque<u64>,
    reading: FuturesOrdered<BoxFuture<'static, Result<LogFile, WalError>>>,
    /// The last number that is nobody's after the end of the chain; told once, at the end.
    end: Option<u64>,
}

impl Replay {
    /// Replays these objects; afterwards everything up to `end` is consumed.
    pub(crate) fn new(log: LogStore, ids: Vec<u64>, end: u64) -> Self {
        Self { log: Arc::new(log), ids: ids.into(), reading: FuturesOrdered::new(), end: Some(end) }
    }
}

#[async_trait]
impl WalIterator for Replay {
    async fn next(&mut self) -> Result<Option<WalRows>, WalError> {
        while self.reading.len() < READ_AHEAD
            && let Some(id) = self.ids.pop_front()
        {
            let log = self.log.clone();
            self.reading.push_back(async move { log.load(id).await }.boxed());
        }
        let Some(file) = self.reading.next().await else {
            let consumed = self.end.take();
            return Ok(consumed.map(|id| WalRows { rows: Vec::new(), last_consumed_wal_file_id: id }));
        };
        let file = file?;
        Ok(Some(match file.content {
            Content::Rows(rows) => WalRows { rows, last_consumed_wal_file_id: file.id },
            Content::Fence { skip } => {
                WalRows { rows: Vec::new(), last_consumed_wal_file_id: file.id + u64::from(skip) - 1 }
            }
        }))
    }
}
