//! Gives memory back that the allocator keeps.
//!
//! Buffers of pages, objects and messages are allocated on one thread and freed on another. glibc keeps what is freed for
//! the thread that allocated it, so the holes of all threads add up: over ten minutes of 50 MiB/s with a reader that catches
//! up the resident set grew to 700 MiB, most of it free. To map every buffer on its own instead keeps it at 300 MiB, but a
//! catch-up read then spends three quarters of its time on page faults. So the holes are given back when there are many.

use std::{fs, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};

const LOOK: Duration = Duration::from_secs(2);
/// Above this there is something to give back, or much is in use.
const RESIDENT_BYTES_HIGH: usize = 320 << 20;
/// So much more than was left after the last time must have come together.
const WORTH_BYTES: usize = 48 << 20;

/// Looks now and then, for as long as it is polled.
pub async fn keep_down() {
    let mut left = 0;
    loop {
        sleep(LOOK).await;
        let resident = resident_bytes().unwrap_or(0);
        if resident > RESIDENT_BYTES_HIGH.max(left + WORTH_BYTES) {
            // It takes some milliseconds.
            if spawn_blocking(give_back).await.is_err() {
                return;
            }
            left = resident_bytes().unwrap_or(resident);
            tracing::debug!(resident, left, "gave memory back");
        }
    }
}

/// `None` where the system does not say.
fn resident_bytes() -> Option<usize> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size())
}

#[cfg(target_env = "gnu")]
fn give_back() {
    #[expect(unsafe_code, reason = "the system's allocator is told by a call into C, which takes one number")]
    // SAFETY: the call takes the allocator's own locks and touches only memory that is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators do so by themselves.
#[cfg(not(target_env = "gnu"))]
fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_memory_is_given_back() {
        // Small ones, which are not mapped each on its own; the last one keeps the heap from shrinking at its end.
        let mut blocks: Vec<Vec<u8>> = (0..64 << 10).map(|_| vec![1; 1 << 10]).collect();
        let full = resident_bytes().unwrap();
        let last = blocks.pop();
        drop(blocks);
        give_back();
        let left = resident_bytes().unwrap();
        assert!(left + (32 << 20) < full, "{full} {left}");
        drop(last);
    }
}
