//! Reading many rows, a page at a time.

use std::ops::{Bound, RangeBounds};

use crate::{error::ReadError, rows::RowKind, store::MetadataStore};

/// Durable rows of one kind in the order of their keys. What is written meanwhile is seen where the reading has not come to yet.
pub struct Pages<'a, R: RowKind> {
    store: &'a MetadataStore,
    page_bytes: usize,
    after: Bound<R::Key>,
    until: Bound<R::Key>,
    is_over: bool,
}

impl<'a, R: RowKind> Pages<'a, R>
where
    R::Key: Clone,
{
    pub(crate) fn new(store: &'a MetadataStore, range: impl RangeBounds<R::Key>, page_bytes: usize) -> Self {
        let (after, until) = (range.start_bound().cloned(), range.end_bound().cloned());
        Self { store, page_bytes, after, until, is_over: false }
    }

    /// The next page, which is never empty; `None` behind the last row.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub async fn next(&mut self) -> Result<Option<Vec<(R::Key, R::Value)>>, ReadError> {
        if self.is_over {
            return Ok(None);
        }
        let range = (self.after.clone(), self.until.clone());
        let (page, is_over) = self.store.page::<R>(range, self.page_bytes).await?;
        // A page that is not full is the last one: to look for another would cost as much again.
        self.is_over = is_over;
        let Some((last, _)) = page.last() else { return Ok(None) };
        self.after = Bound::Excluded(last.clone());
        Ok(Some(page))
    }
}

impl<R: RowKind> std::fmt::Debug for Pages<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages").field("kind", &R::KIND).field("is_over", &self.is_over).finish_non_exhaustive()
    }
}
