//! Writing the log: rows are collected, a flush closes the object that they are in, and objects are created side by side.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_env::PlantedBug;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use slatedb::{
    RowEntry,
    wal::{WalError, WalEvent, WalFlushResult, WalObserver, WalStatus, WalStatusListener, WalWriter},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{
    FILE_BYTES, PARALLEL_MAX,
    file::{Author, RowsBuilder},
    store::{Created, LogStore},
};

/// Since the last table so many objects: write another one, whatever the caller counts. SlateDB's own default.
const FILES_PER_TABLE_MAX: u64 = 4_096;

/// The only writer of a log.
pub(crate) struct LogWriter {
    author: Author,
    /// Rows that no flush has closed yet.
    open: RowsBuilder,
    /// The number of the object that they go to.
    next_id: u64,
    closed_files: Option<mpsc::Sender<ClosedFile>>,
    shared: Arc<Shared>,
    creating: Option<JoinHandle<()>>,
}

/// An object that is to be created.
struct ClosedFile {
    id: u64,
    bytes: Bytes,
    /// As it was counted when they were appended.
    rows_bytes: usize,
    rows: usize,
    last_seq: u64,
}

/// What writer, creating task and SlateDB know together.
struct Shared {
    state: Mutex<State>,
    /// The last number up to which all is durable, or why that will not change any more.
    durable: watch::Sender<(u64, Option<WalError>)>,
}

struct State {
    status: WalStatus,
    listener: Option<WalStatusListener>,
}

impl LogWriter {
    /// Writes from this number on; everything below it is fenced.
    pub(crate) fn start(log: LogStore, author: Author, first_id: u64) -> Self {
        let status = WalStatus {
            closed_reason: None,
            estimated_bytes: 0,
            last_flushed_wal_id: first_id - 1,
            last_flushed_seq: None,
            buffered_wal_entries_count: 0,
        };
        let (durable, _) = watch::channel((first_id - 1, None));
        let shared = Arc::new(Shared { state: Mutex::new(State { status, listener: None }), durable });
        let (closed_files, files) = mpsc::channel(PARALLEL_MAX);
        let creating = tokio::spawn(create_all(log, files, shared.clone()));
        let open = RowsBuilder::default();
        Self { author, open, next_id: first_id, closed_files: Some(closed_files), shared, creating: Some(creating) }
    }

    /// Closes the open object and sends it on its way. Waits while too many are.
    async fn close_file(&mut self) -> Result<(), WalError> {
        if self.open.is_empty() {
            return self.shared.check();
        }
        let open = std::mem::take(&mut self.open);
        let (id, rows_bytes, rows, last_seq) = (self.next_id, open.size(), open.count(), open.last_seq());
        self.next_id += 1;
        let file = ClosedFile { id, bytes: open.finish(id, self.author), rows_bytes, rows, last_seq };
        match &self.closed_files {
            Some(files) if files.send(file).await.is_ok() => Ok(()),
            _ => self.shared.check().and(Err(WalError::Closed)),
        }
    }
}

#[async_trait]
impl WalWriter for LogWriter {
    async fn append(&mut self, batch: &[RowEntry]) -> Result<(), WalError> {
        self.shared.check()?;
        let before = self.open.size();
        self.open.append(batch).map_err(|error| WalError::InternalError(Arc::new(error)))?;
        self.shared.buffered(self.open.size() - before, batch.len());
        if self.open.size() >= FILE_BYTES {
            self.close_file().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<WalFlushResult, WalError> {
        self.close_file().await?;
        let wal_id = self.next_id - 1;
        let mut durable = self.shared.durable.subscribe();
        let completion = async move {
            match durable.wait_for(|(id, end)| *id >= wal_id || end.is_some()).await.as_deref() {
                Ok((id, _)) if *id >= wal_id => Ok(()),
                Ok((_, Some(end))) => Err(end.clone()),
                Ok((_, None)) | Err(_) => Err(WalError::Closed),
            }
        };
        Ok(WalFlushResult { wal_id, completion: completion.boxed() })
    }

    fn should_flush_memtable(&self, replay_after_wal_id: u64) -> bool {
        let last = self.shared.state().status.last_flushed_wal_id;
        last.saturating_sub(replay_after_wal_id) >= FILES_PER_TABLE_MAX
    }

    fn observer(&self) -> Box<dyn WalObserver> {
        Box::new(Observer(self.shared.clone()))
    }

    fn status(&self) -> Result<WalStatus, WalStatus> {
        self.shared.status()
    }

    /// What is on its way is waited for; rows that were not flushed are dropped.
    async fn close(&mut self) -> Result<(), WalError> {
        self.closed_files = None;
        if let Some(creating) = self.creating.take() {
            creating.await.map_err(|error| WalError::InternalError(Arc::new(error)))?;
        }
        self.shared.end(WalError::Closed);
        match self.shared.status() {
            Err(WalStatus { closed_reason: Some(reason), .. }) if !matches!(reason, WalError::Closed) => Err(reason),
            _ => Ok(()),
        }
    }
}

/// Creates objects side by side and reports them in order, until the writer is gone or one cannot be created.
async fn create_all(log: LogStore, mut files: mpsc::Receiver<ClosedFile>, shared: Arc<Shared>) {
    // However it ends, nobody waits for it for ever. The first reason counts.
    let _ended = EndsWith(shared.clone());
    let mut creating: FuturesOrdered<BoxFuture<'_, Result<ClosedFile, WalError>>> = FuturesOrdered::new();
    loop {
        tokio::select! {
            biased;
            Some(created) = creating.next() => match created {
                Ok(file) => shared.flushed(&file),
                // Later objects may be there: they were never acknowledged, and a successor's fence ends before them.
                Err(error) => return shared.end(error),
            },
            file = files.recv(), if creating.len() < PARALLEL_MAX => match file {
                Some(file) => creating.push_back(create(&log, &shared, file).boxed()),
                None => break,
            },
        }
    }
    while let Some(created) = creating.next().await {
        match created {
            Ok(file) => shared.flushed(&file),
            Err(error) => return shared.end(error),
        }
    }
}

/// Ends the log when it is dropped.
struct EndsWith(Arc<Shared>);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.end(WalError::Closed);
    }
}

async fn create(log: &LogStore, shared: &Shared, file: ClosedFile) -> Result<ClosedFile, WalError> {
    match log.create(file.id, &file.bytes).await? {
        Created::Own => {
            if log.env().has_planted(PlantedBug::FlushOutOfOrder) {
                shared.durable.send_modify(|(id, _)| *id = file.id.max(*id));
            }
            Ok(file)
        }
        Created::Rival => Err(WalError::Fenced),
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> Result<WalStatus, WalStatus> {
        let status = self.state().status.clone();
        if status.closed_reason.is_none() { Ok(status) } else { Err(status) }
    }

    fn check(&self) -> Result<(), WalError> {
        self.state().status.closed_reason.clone().map_or(Ok(()), Err)
    }

    fn buffered(&self, bytes: usize, rows: usize) {
        let mut state = self.state();
        state.status.estimated_bytes += bytes;
        state.status.buffered_wal_entries_count += rows;
    }

    /// The next object in order is durable: SlateDB is told first, then those who wait.
    fn flushed(&self, file: &ClosedFile) {
        let (status, listener) = {
            let mut state = self.state();
            let status = &mut state.status;
            assert_eq!(file.id, status.last_flushed_wal_id + 1, "objects are reported in order");
            status.last_flushed_wal_id = file.id;
            status.last_flushed_seq = Some(file.last_seq);
            status.estimated_bytes -= file.rows_bytes;
            status.buffered_wal_entries_count -= file.rows;
            (state.status.clone(), state.listener.clone())
        };
        if let Some(listener) = listener {
            listener(WalEvent::WalFlushed(status));
        }
        self.durable.send_modify(|(id, _)| *id = file.id.max(*id));
    }

    /// Nothing more becomes durable; the first reason counts.
    fn end(&self, reason: WalError) {
        let (status, listener) = {
            let mut state = self.state();
            if state.status.closed_reason.is_some() {
                return;
            }
            state.status.closed_reason = Some(reason.clone());
            state.status.estimated_bytes = 0;
            state.status.buffered_wal_entries_count = 0;
            (state.status.clone(), state.listener.clone())
        };
        if let Some(listener) = listener {
            listener(WalEvent::WalClosed(status));
        }
        self.durable.send_modify(|(_, end)| *end = Some(reason));
    }
}

struct Observer(Arc<Shared>);

#[async_trait]
impl WalObserver for Observer {
    fn status(&self) -> Result<WalStatus, WalStatus> {
        self.0.status()
    }

    fn subscribe(&self, listener: WalStatusListener) -> Result<(), WalError> {
        let closed = {
            let mut state = self.0.state();
            if state.listener.is_some() {
                return Err(WalError::InternalError(Arc::new(SecondListener)));
            }
            state.listener = Some(listener.clone());
            state.status.closed_reason.is_some().then(|| state.status.clone())
        };
        if let Some(status) = closed {
            listener(WalEvent::WalClosed(status));
        }
        Ok(())
    }
}

/// SlateDB has one.
#[derive(Debug, thiserror::Error)]
#[error("the log has a listener already")]
struct SecondListener;
