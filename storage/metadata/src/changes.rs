//! Changes that are written together.

use bytes::Bytes;
use slatedb::WriteBatch;

use crate::rows::RowKind;

/// Rows to put and to delete, all or none. A later change of the same key replaces the earlier one.
#[derive(Debug, Default)]
pub struct Changes {
    batch: WriteBatch,
    rows: usize,
    bytes: usize,
}

impl Changes {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a row.
    pub fn put<R: RowKind>(&mut self, key: &R::Key, value: &R::Value) {
        self.put_shared::<R>(key, value);
    }

    /// Puts a row. Returns its value as the store keeps it: whoever keeps a slice of it takes no memory beside.
    pub fn put_shared<R: RowKind>(&mut self, key: &R::Key, value: &R::Value) -> Bytes {
        let (key, value) = (R::encode_key(key), R::encode_value(key, value));
        self.rows += 1;
        self.bytes += key.len() + value.len();
        self.batch.put_bytes(key, value.clone());
        value
    }

    /// Deletes a row, whether it is there or not.
    pub fn delete<R: RowKind>(&mut self, key: &R::Key) {
        let key = R::encode_key(key);
        self.rows += 1;
        self.bytes += key.len();
        self.batch.delete(key);
    }

    /// Bytes of all keys and values put so far.
    pub fn len_bytes(&self) -> usize {
        self.bytes
    }

    /// How many puts and deletes.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn into_batch(self) -> WriteBatch {
        self.batch
    }
}
