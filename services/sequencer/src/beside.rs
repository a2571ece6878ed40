//! What background tasks of a term have in common: they read rows off the commits' way, and leave every change to the committer.

use eagre_metadata::ReadError;
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use crate::group::Work;

/// Why such a task ends before its term does, or with it.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The term is over.
    #[error("the committer has ended")]
    Committer,
    /// The rows cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Says what is no longer done, if that is worth a line: a term that ends is not.
pub fn note_end<T>(ended: Result<T, End>, no_longer: &str) {
    if let Err(End::Read(error)) = ended {
        error!(%error, "{no_longer}");
    }
}

/// Has the committer do something, and waits for what came of it.
pub async fn ask<T>(queue: &mpsc::Sender<Work>, work: impl FnOnce(oneshot::Sender<T>) -> Work) -> Result<T, End> {
    let (answer, answered) = oneshot::channel();
    queue.send(work(answer)).await.map_err(|_| End::Committer)?;
    answered.await.map_err(|_| End::Committer)
}
