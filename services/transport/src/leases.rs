//! Memory that is lent to peers who may never give it back.
//!
//! Each loan is a part of what is free: the first ones get all that they can use, later ones less, and there is always something
//! left. When nothing is, a least size is lent uncharged, so that peers who take nothing slow others down and do not stop them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Bytes to lend.
#[derive(Debug)]
pub struct Leases {
    free_bytes: AtomicUsize,
    share: usize,
    least_bytes: usize,
}

/// A loan; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    leases: Arc<Leases>,
    /// How many it may use.
    pub bytes: usize,
    charged_bytes: usize,
}

impl Leases {
    /// So many bytes, of which a loan is the `share`th part of what is free; beyond them `least_bytes` are lent all the same.
    pub fn new(bytes: usize, share: usize, least_bytes: usize) -> Arc<Self> {
        Arc::new(Self { free_bytes: AtomicUsize::new(bytes), share, least_bytes })
    }

    /// Up to so many bytes. Never waits.
    pub fn lend(self: &Arc<Self>, most_bytes: usize) -> Lease {
        let mut free = self.free_bytes.load(Ordering::Relaxed);
        loop {
            let bytes = (free / self.share).clamp(self.least_bytes.min(most_bytes), most_bytes);
            let charged = bytes.min(free);
            match self.free_bytes.compare_exchange_weak(free, free - charged, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Lease { leases: self.clone(), bytes, charged_bytes: charged },
                Err(now) => free = now,
            }
        }
    }
}

impl Lease {
    /// Gives back what is not needed of it.
    pub fn shrink_to(&mut self, bytes: usize) {
        let spare = self.charged_bytes.saturating_sub(bytes);
        self.charged_bytes -= spare;
        self.leases.free_bytes.fetch_add(spare, Ordering::Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.free_bytes.fetch_add(self.charged_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loans_get_smaller_and_end_at_the_least() {
        const LEAST_BYTES: usize = 8 << 10;
        let leases = Leases::new(16 << 20, 16, LEAST_BYTES);
        let lent: Vec<_> = (0..1_000).map(|_| leases.lend(512 << 10)).collect();
        assert_eq!((lent[0].bytes, lent[999].bytes), (512 << 10, LEAST_BYTES));
        let total: usize = lent.iter().map(|lease| lease.bytes).sum();
        assert!(total <= (16 << 20) + 1_000 * LEAST_BYTES, "{total}");
        drop(lent);
        let mut lease = leases.lend(4 << 20);
        assert_eq!(lease.bytes, 1 << 20, "all of it is back");
        lease.shrink_to(1_000);
        assert_eq!(leases.free_bytes.load(Ordering::Relaxed), (16 << 20) - 1_000);
        assert_eq!(leases.lend(10).bytes, 10, "less than the least where no more is asked for");
    }
}
