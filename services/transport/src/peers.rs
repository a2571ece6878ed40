//! What connections and open calls take, out of one budget of all ports: there may be thousands of either, before anything is sent.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// An open connection, measured.
pub(crate) const CONNECTION_BYTES: usize = 22 << 10;
/// An open call that says nothing, measured.
pub const CALL_BYTES: usize = 6 << 10;

/// The budget; clones are the same one.
#[derive(Debug, Clone)]
pub struct PeerMemory {
    free_bytes: Arc<AtomicUsize>,
    total_bytes: usize,
}

/// A part of it; given back when dropped.
#[derive(Debug)]
pub(crate) struct PeerLease {
    memory: PeerMemory,
    bytes: usize,
}

impl Default for PeerMemory {
    /// Without a bound.
    fn default() -> Self {
        Self::of(usize::MAX / 2)
    }
}

impl PeerMemory {
    /// Of so many bytes.
    pub fn of(total_bytes: usize) -> Self {
        Self { free_bytes: Arc::new(AtomicUsize::new(total_bytes)), total_bytes }
    }

    /// How many calls fit into what is free.
    pub(crate) fn calls_left(&self) -> usize {
        self.free_bytes.load(Ordering::Relaxed) / CALL_BYTES
    }

    /// For a call.
    pub(crate) fn call(&self) -> Option<PeerLease> {
        self.take(CALL_BYTES, 0)
    }

    /// For a connection. A quarter is left for the calls of those that are there.
    pub(crate) fn connection(&self) -> Option<PeerLease> {
        self.take(CONNECTION_BYTES, self.total_bytes / 4)
    }

    fn take(&self, bytes: usize, left_bytes: usize) -> Option<PeerLease> {
        let less = |free: usize| free.checked_sub(bytes).filter(|left| *left >= left_bytes);
        self.free_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()?;
        Some(PeerLease { memory: self.clone(), bytes })
    }
}

impl Drop for PeerLease {
    fn drop(&mut self) {
        self.memory.free_bytes.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_a_quarter_for_calls() {
        let memory = PeerMemory::of(100 * CONNECTION_BYTES);
        let connections: Vec<_> = std::iter::from_fn(|| memory.connection()).collect();
        assert_eq!(connections.len(), 75);
        let calls: Vec<_> = std::iter::from_fn(|| memory.call()).collect();
        assert_eq!(calls.len(), 25 * CONNECTION_BYTES / CALL_BYTES);
        drop((connections, calls));
        assert_eq!(memory.free_bytes.load(Ordering::Relaxed), 100 * CONNECTION_BYTES);
    }
}
