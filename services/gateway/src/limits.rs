//! How many streams may be open, and how many partitions they may read.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::refusal::Refusal;

/// Counts what is open up to a limit.
#[derive(Debug)]
pub(crate) struct Streams {
    open: AtomicUsize,
    max: usize,
    /// What is counted, in the plural.
    what: &'static str,
}

/// What one call has open; given back when dropped.
#[derive(Debug)]
pub(crate) struct StreamSlot {
    streams: Arc<Streams>,
    count: usize,
}

impl Streams {
    pub fn new(what: &'static str, max: usize) -> Arc<Self> {
        Arc::new(Self { open: AtomicUsize::new(0), max, what })
    }

    /// A place for a stream.
    pub fn open(self: &Arc<Self>) -> Result<StreamSlot, Refusal> {
        self.open_many(1)
    }

    /// Places for so many.
    pub fn open_many(self: &Arc<Self>, count: usize) -> Result<StreamSlot, Refusal> {
        let raise = |open: usize| open.checked_add(count).filter(|sum| *sum <= self.max);
        match self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raise) {
            Ok(_) => Ok(StreamSlot { streams: self.clone(), count }),
            Err(open) => {
                let (what, max) = (self.what, self.max);
                Err(Refusal::Unavailable(format!("{open} {what} are open, and {max} are the most for one gateway")))
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(self.count, Ordering::Relaxed);
    }
}
