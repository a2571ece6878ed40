//! Windows out of one budget.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::leases::{Lease, Leases};

/// What a connection gets when the budget is spent: HTTP/2's own default.
pub const WINDOW_BYTES_MIN: u32 = 64 << 10;

/// What a stream gets of a connection beyond the first so many of these. A connection's own window cannot be less than HTTP/2's default; a stream's can, and
/// there are not as many streams as there may be connections with several each: calls are bounded in number.
const STREAM_WINDOW_BYTES_MIN: u32 = 8 << 10;

/// The first connections get all they can use, later ones this part of what is free.
const SHARE: usize = 4;

/// The bytes that all peers together may have in flight to this server.
#[derive(Debug)]
pub(crate) struct WindowBudget {
    leases: Arc<Leases>,
    connection_bytes_max: usize,
    /// Connections that have the least window.
    least: AtomicUsize,
    /// So many of them have it for one stream too.
    least_max: usize,
}

/// One connection's part of the budget; returned when dropped.
#[derive(Debug)]
pub(crate) struct WindowLease {
    budget: Arc<WindowBudget>,
    _lease: Lease,
    pub bytes: u32,
    /// What one stream may have of them.
    pub stream_bytes: u32,
}

impl WindowBudget {
    pub fn new(total_bytes: usize, connection_bytes_max: u32, least_max: usize) -> Arc<Self> {
        Arc::new(Self {
            leases: Leases::new(total_bytes, SHARE, WINDOW_BYTES_MIN as usize),
            connection_bytes_max: connection_bytes_max.max(WINDOW_BYTES_MIN) as usize,
            least: AtomicUsize::new(0),
            least_max,
        })
    }

    /// Never fails: beyond the budget a connection gets the least window, uncharged.
    pub fn lease(self: &Arc<Self>) -> WindowLease {
        let lease = self.leases.lend(self.connection_bytes_max);
        let bytes = u32::try_from(lease.bytes).unwrap_or(u32::MAX);
        let is_late = bytes == WINDOW_BYTES_MIN && self.least.fetch_add(1, Ordering::Relaxed) >= self.least_max;
        let stream_bytes = if is_late { STREAM_WINDOW_BYTES_MIN } else { bytes };
        WindowLease { budget: self.clone(), _lease: lease, bytes, stream_bytes }
    }
}

impl Drop for WindowLease {
    fn drop(&mut self) {
        if self.bytes == WINDOW_BYTES_MIN {
            self.budget.least.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;
    const LEAST_WINDOWS_MAX: usize = 1_024;

    #[test]
    fn few_get_large_windows_and_many_get_small_ones() {
        let budget = WindowBudget::new(64 * MIB, 8 << 20, LEAST_WINDOWS_MAX);
        let leases: Vec<_> = (0..2_000).map(|_| budget.lease()).collect();
        assert_eq!(leases[0].bytes, 8 << 20);
        assert_eq!(leases[3].bytes, 8 << 20);
        assert_eq!(leases[1_999].bytes, WINDOW_BYTES_MIN);
        let total: usize = leases.iter().map(|lease| lease.bytes as usize).sum();
        assert!(total <= 64 * MIB + 2_000 * WINDOW_BYTES_MIN as usize, "{total}");
        let whole = leases.iter().filter(|lease| lease.stream_bytes == lease.bytes).count();
        assert!((LEAST_WINDOWS_MAX..LEAST_WINDOWS_MAX + 100).contains(&whole), "{whole}");
        assert_eq!(leases[1_999].stream_bytes, STREAM_WINDOW_BYTES_MIN);
    }

    #[test]
    fn what_is_returned_is_leased_again() {
        let budget = WindowBudget::new(64 * MIB, 8 << 20, LEAST_WINDOWS_MAX);
        let leases: Vec<_> = (0..500).map(|_| budget.lease()).collect();
        drop(leases);
        assert_eq!(budget.least.load(Ordering::Relaxed), 0);
        assert_eq!(budget.lease().bytes, 8 << 20);
    }
}
