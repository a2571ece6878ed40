//! The objects of a log in the bucket: named, listed, created, read. Every request is tried again for as long as the bucket
//! fails in a way that may pass; a store that was abandoned ends that.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use eagre_env::Env;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};
use slatedb::wal::WalError;
use tokio_util::sync::CancellationToken;

use super::file::{LogFile, LogFileError};

/// Between two tries of one request: the first pause, doubled up to the last one, each with jitter.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_LAST: Duration = Duration::from_secs(1);

/// How a create ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    /// The object is ours.
    Own,
    /// Another's object has the name.
    Rival,
}

/// The log of one shard in a bucket.
#[derive(Debug, Clone)]
pub(crate) struct LogStore {
    env: Env,
    bucket: Arc<dyn ObjectStore>,
    folder: Path,
    /// Nobody waits for this store any more.
    shut: CancellationToken,
}

impl LogStore {
    /// The log below this folder. Requests end when `shut` is cancelled.
    pub(crate) fn new(env: Env, bucket: Arc<dyn ObjectStore>, folder: Path, shut: CancellationToken) -> Self {
        Self { env, bucket, folder, shut }
    }

    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    pub(crate) fn bucket(&self) -> &Arc<dyn ObjectStore> {
        &self.bucket
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name of an object; names sort as the numbers do.
    pub(crate) fn path(&self, id: u64) -> Path {
        Path::from(format!("{}/{id:020}.wal", self.folder))
    }

    /// Creates an object if it is absent. What is there already is read, and compared: an earlier try of this very create
    /// may have been applied.
    pub(crate) async fn create(&self, id: u64, bytes: &Bytes) -> Result<Created, WalError> {
        let path = self.path(id);
        let create = || async {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match self.bucket.put_opts(&path, PutPayload::from_bytes(bytes.clone()), options).await {
                Ok(_) => Ok(true),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        loop {
            if self.until_answered("create", &path, create).await? {
                return Ok(Created::Own);
            }
            match self.read(id).await? {
                Some(found) => return Ok(if found == *bytes { Created::Own } else { Created::Rival }),
                // Refused because of another try that was under way, a late one of our own perhaps, and nothing came of it.
                None => self.pause(PAUSE_FIRST).await?,
            }
        }
    }

    /// The bytes of an object; `None` when it is absent.
    pub(crate) async fn read(&self, id: u64) -> Result<Option<Bytes>, WalError> {
        let path = self.path(id);
        let read = || async {
            match self.bucket.get(&path).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.until_answered("read", &path, read).await
    }

    /// An object that is there by all that is known.
    pub(crate) async fn load(&self, id: u64) -> Result<LogFile, WalError> {
        let bytes = self.read(id).await?.ok_or(WalError::WalTruncated(id))?;
        LogFile::decode(id, &bytes).map_err(|error| self.damaged(id, error))
    }

    pub(crate) fn damaged(&self, id: u64, source: LogFileError) -> WalError {
        WalError::DataError(Arc::new(Damaged { path: self.path(id), source }))
    }

    /// Waits about so long, if the store is not abandoned first.
    async fn pause(&self, about: Duration) -> Result<(), WalError> {
        let jitter = self.env.random.below(u64::try_from(about.as_micros()).unwrap_or(u64::MAX).max(1));
        let waited = tokio::time::sleep(about / 2 + Duration::from_micros(jitter / 2));
        self.shut.run_until_cancelled(waited).await.ok_or(WalError::Closed)
    }

    /// Tries until there is an answer, whichever, or the store was abandoned.
    pub(crate) async fn until_answered<T, F>(
        &self,
        what: &'static str,
        path: &Path,
        mut request: impl FnMut() -> F,
    ) -> Result<T, WalError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut pause = PAUSE_FIRST;
        let mut reported = false;
        loop {
            let error = match request().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if self.shut.is_cancelled() {
                return Err(WalError::Unavailable(Arc::new(error)));
            }
            if pause == PAUSE_LAST && !reported {
                reported = true;
                tracing::warn!(%error, %path, what, "metadata log request fails, trying on");
            }
            self.pause(pause).await?;
            pause = (pause * 2).min(PAUSE_LAST);
        }
    }
}

/// A stored object that is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("{path} is damaged: {source}")]
struct Damaged {
    path: Path,
    source: LogFileError,
}
