//! What background tasks of a term have in common: they read rows off the commits' way, page by page, and leave every change to the committer.

use std::ops::{Bound, RangeBounds};

use eagre_metadata::{MetadataStore, ReadError, RowKind};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use crate::group::Work;

/// Rows that are looked up at a time.
pub const LOOKUPS_PARALLEL: usize = 16;

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

/// Rows of a kind, a page at a time.
pub struct Pages<'a, R: RowKind> {
    store: &'a MetadataStore,
    page_bytes: usize,
    after: Bound<R::Key>,
    until: Bound<R::Key>,
}

impl<'a, R: RowKind> Pages<'a, R>
where
    R::Key: Copy,
{
    /// All of them, in pages of about so many bytes.
    pub fn new(store: &'a MetadataStore, page_bytes: usize) -> Self {
        Self::within(store, page_bytes, ..)
    }

    /// Those of a range.
    pub fn within(store: &'a MetadataStore, page_bytes: usize, range: impl RangeBounds<R::Key>) -> Self {
        let (after, until) = (range.start_bound().cloned(), range.end_bound().cloned());
        Self { store, page_bytes, after, until }
    }

    /// The next page; empty behind the last row.
    pub async fn next(&mut self) -> Result<Vec<(R::Key, R::Value)>, ReadError> {
        let page = self.store.scan_bytes::<R>((self.after, self.until), self.page_bytes).await?;
        if let Some((last, _)) = page.last() {
            self.after = Bound::Excluded(*last);
        }
        Ok(page)
    }
}
