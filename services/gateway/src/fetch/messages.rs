//! The memory of fetch messages that clients have not taken.
//!
//! A message is made for a client that may never read it. So each has a lease, from before it is made until the next one of its
//! stream is asked for: then it is on its way. A batch or record that is larger than its lease needs a place among large ones, and
//! waits for it before it is made.

use std::{sync::Arc, time::Duration};

use eagre_transport::{Lease, Leases};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use crate::refusal::Refusal;

/// A message gets this part of what is free,
const LOAN_SHARE: usize = 16;
/// and so much when nothing is left.
const LEAST_BYTES: usize = 8 << 10;
/// So long a large message waits for others to be taken.
const PLACE_WAIT: Duration = Duration::from_secs(10);
/// How often it looks.
const PLACE_PAUSE: Duration = Duration::from_millis(10);

/// The bytes of all messages.
#[derive(Debug)]
pub(crate) struct MessageBudget {
    leases: Arc<Leases>,
    large: Arc<Semaphore>,
    large_bytes_max: usize,
}

/// Room for one message that is larger than its lease.
#[derive(Debug)]
pub(crate) struct LargePlace {
    _permit: OwnedSemaphorePermit,
    pub bytes: usize,
}

impl MessageBudget {
    pub fn new(bytes: usize, large_bytes_max: usize) -> Self {
        let large = Arc::new(Semaphore::new(large_bytes_max));
        Self { leases: Leases::new(bytes, LOAN_SHARE, LEAST_BYTES), large, large_bytes_max }
    }

    /// Room for a message of up to `most_bytes`. Never waits.
    pub fn lease(&self, most_bytes: usize) -> Lease {
        self.leases.lend(most_bytes)
    }

    /// Room for a large message, once others have been taken.
    pub async fn place(&self, bytes: usize) -> Result<LargePlace, Refusal> {
        let permits = u32::try_from(bytes.min(self.large_bytes_max)).unwrap_or(u32::MAX);
        // Not in the semaphore's queue: whoever is in it gets what is freed though nobody polls it, as while its client takes nothing,
        // and all others wait behind.
        let taken = async {
            loop {
                if let Ok(permit) = self.large.clone().try_acquire_many_owned(permits) {
                    return LargePlace { _permit: permit, bytes };
                }
                sleep(PLACE_PAUSE).await;
            }
        };
        let late = |_| Refusal::Unavailable("large batches wait for other clients that do not take theirs".into());
        timeout(PLACE_WAIT, taken).await.map_err(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn large_ones_wait_for_a_place() {
        let budget = MessageBudget::new(0, 100);
        let first = budget.place(90).await.unwrap();
        assert_eq!(first.bytes, 90);
        assert!(budget.place(20).await.is_err());
        drop(first);
        assert!(budget.place(1_000).await.is_ok(), "a larger one than all takes all");
    }
}
