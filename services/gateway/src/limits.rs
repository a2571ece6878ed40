//! How many streams may be open.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::refusal::Refusal;

/// Counts open streams up to a limit.
#[derive(Debug)]
pub(crate) struct Streams {
    open: AtomicUsize,
    max: usize,
}

/// One open stream; given back when dropped.
#[derive(Debug)]
pub(crate) struct StreamSlot(Arc<Streams>);

impl Streams {
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { open: AtomicUsize::new(0), max })
    }

    /// A place for a stream.
    pub fn open(self: &Arc<Self>) -> Result<StreamSlot, Refusal> {
        let raise = |open| (open < self.max).then_some(open + 1);
        match self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raise) {
            Ok(_) => Ok(StreamSlot(self.clone())),
            Err(open) => {
                Err(Refusal::Unavailable(format!("{open} streams are open, which are the most for one gateway")))
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
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
