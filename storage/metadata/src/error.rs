//! Why the store gives no answer. The variants are the caller's decisions.

use slatedb::{CloseReason, ErrorKind, wal::WalError};

use crate::codec::RowError;

/// A failure to open a shard's store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another writer opened it at the same time, or the answer to a request of our own was lost. Look at the lease, then
    /// try again.
    #[error("another writer opened the store")]
    Fenced,
    /// The bucket refuses or fails; try again.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What is stored cannot be read, or this program cannot read it. Trying again does not help.
    #[error("the store cannot be read: {0}")]
    Unreadable(String),
}

/// A write or a flush that did not end well. **Its outcome is unknown in every case**, `Fenced` included: the bytes may
/// be durable already, or become so. The store is of no more use: abandon it and open anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The log or the manifest met another writer.
    #[error("the outcome is unknown: the store met another writer")]
    Fenced,
    /// Anything else.
    #[error("the outcome is unknown: {0}")]
    Failed(String),
}

/// A failure to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The store was closed, abandoned, or failed; open anew.
    #[error("the store is closed: {0}")]
    Closed(String),
    /// The bucket fails; try again.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What is stored is not what was written. Trying again does not help.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
}

/// A close that left something undone. What was flushed before is durable nevertheless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// It took too long; the store is abandoned instead.
    #[error("the store did not close in time and was abandoned")]
    TimedOut,
    /// It failed; the next start replays more.
    #[error("the store did not close: {0}")]
    Failed(String),
}

impl From<slatedb::Error> for OpenError {
    fn from(error: slatedb::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&slatedb::Error> for OpenError {
    fn from(error: &slatedb::Error) -> Self {
        match error.kind() {
            ErrorKind::Closed(CloseReason::Fenced) => Self::Fenced,
            ErrorKind::Data | ErrorKind::Invalid => Self::Unreadable(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<WalError> for OpenError {
    fn from(error: WalError) -> Self {
        match error {
            WalError::Fenced => Self::Fenced,
            WalError::DataError(_) => Self::Unreadable(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<slatedb::Error> for WriteError {
    fn from(error: slatedb::Error) -> Self {
        match error.kind() {
            ErrorKind::Closed(CloseReason::Fenced) => Self::Fenced,
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<slatedb::Error> for ReadError {
    fn from(error: slatedb::Error) -> Self {
        match error.kind() {
            ErrorKind::Closed(_) => Self::Closed(error.to_string()),
            ErrorKind::Data | ErrorKind::Invalid => Self::Corrupt(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl ReadError {
    /// A row that cannot be decoded.
    pub(crate) fn row(kind: u8, key: &[u8], error: &RowError) -> Self {
        Self::Corrupt(format!("row of kind {kind} under key {key:02x?}: {error}"))
    }
}
