//! How many producers are new since the last look at all of them.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts, and tells when it is much.
#[derive(Debug)]
pub struct Growth {
    new_rows: AtomicU64,
    much: u64,
    reached: Notify,
}

impl Growth {
    /// So many are much.
    pub fn new(much: u64) -> Self {
        Self { new_rows: AtomicU64::new(0), much, reached: Notify::new() }
    }

    /// So many more.
    pub fn add(&self, new_rows: u64) {
        let before = self.new_rows.fetch_add(new_rows, Ordering::Relaxed);
        if before < self.much && before + new_rows >= self.much {
            self.reached.notify_one();
        }
    }

    /// Waits until it is much.
    pub async fn is_much(&self) {
        self.reached.notified().await;
    }

    /// A look begins.
    pub fn begin_again(&self) {
        self.new_rows.store(0, Ordering::Relaxed);
    }
}
