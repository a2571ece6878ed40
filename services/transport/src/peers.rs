//! What connections and open calls take, out of one budget of all ports: there may be thousands of either, before anything is sent.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// An open connection, measured.
pub(crate) const CONNECTION_BYTES: usize = 22 << 10;
/// An open call that says nothing, measured among loads that leave no page untouched; half of it shows alone.
pub const CALL_BYTES: usize = 12 << 10;

/// The budget; clones are the same one.
#[derive(Debug, Clone)]
pub struct PeerMemory {
    free_bytes: Arc<AtomicUsize>,
    connections_bytes: Arc<AtomicUsize>,
    total_bytes: usize,
}

/// A part of it; given back when dropped.
#[derive(Debug)]
pub(crate) struct PeerLease {
    memory: PeerMemory,
    bytes: usize,
    is_connection: bool,
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
        Self { free_bytes: Arc::new(AtomicUsize::new(total_bytes)), connections_bytes: Arc::default(), total_bytes }
    }

    /// How many connections there may be, while there are few calls.
    pub fn connections_max(&self) -> usize {
        self.total_bytes / 4 * 3 / CONNECTION_BYTES
    }

    /// How many calls may be open, while there are few connections.
    pub fn calls_max(&self) -> usize {
        (self.total_bytes - self.kept_for_connections()) / CALL_BYTES
    }

    /// How many calls fit into what is free.
    pub(crate) fn calls_left(&self) -> usize {
        self.free_bytes.load(Ordering::Relaxed).saturating_sub(self.kept_for_connections()) / CALL_BYTES
    }

    /// For a call. A little is left for connections: somebody may want to see what is going on.
    pub(crate) fn call(&self) -> Option<PeerLease> {
        self.take(CALL_BYTES, self.kept_for_connections())?;
        Some(PeerLease { memory: self.clone(), bytes: CALL_BYTES, is_connection: false })
    }

    fn kept_for_connections(&self) -> usize {
        self.total_bytes / 16
    }

    /// For a connection. They have three quarters at most: the rest is for calls of those that are there.
    pub(crate) fn connection(&self) -> Option<PeerLease> {
        let more = |taken: usize| Some(taken + CONNECTION_BYTES).filter(|sum| *sum <= self.total_bytes / 4 * 3);
        self.connections_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        // Gives that back as well.
        let mut lease = PeerLease { memory: self.clone(), bytes: 0, is_connection: true };
        self.take(CONNECTION_BYTES, 0)?;
        lease.bytes = CONNECTION_BYTES;
        Some(lease)
    }

    fn take(&self, bytes: usize, left_bytes: usize) -> Option<()> {
        let less = |free: usize| free.checked_sub(bytes).filter(|left| *left >= left_bytes);
        self.free_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok().map(drop)
    }
}

impl Drop for PeerLease {
    fn drop(&mut self) {
        self.memory.free_bytes.fetch_add(self.bytes, Ordering::Relaxed);
        if self.is_connection {
            self.memory.connections_bytes.fetch_sub(CONNECTION_BYTES, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_a_quarter_for_calls_and_calls_leave_a_little_for_connections() {
        let memory = PeerMemory::of(160 * CONNECTION_BYTES);
        let connections: Vec<_> = std::iter::from_fn(|| memory.connection()).collect();
        assert_eq!((connections.len(), memory.connections_max()), (120, 120));
        let calls: Vec<_> = std::iter::from_fn(|| memory.call()).collect();
        assert_eq!(calls.len(), 30 * CONNECTION_BYTES / CALL_BYTES);
        assert!(memory.connection().is_none());
        drop(connections);
        let more: Vec<_> = std::iter::from_fn(|| memory.call()).collect();
        assert_eq!(calls.len() + more.len(), memory.calls_max());
        let connections: Vec<_> = std::iter::from_fn(|| memory.connection()).collect();
        assert_eq!(connections.len(), 10);
        drop((connections, calls, more));
        assert_eq!(memory.free_bytes.load(Ordering::Relaxed), 160 * CONNECTION_BYTES);
        assert_eq!(memory.connections_bytes.load(Ordering::Relaxed), 0);
    }
}
