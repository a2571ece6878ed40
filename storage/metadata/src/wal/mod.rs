//! The write-ahead log of a shard's store, with several flushes in flight.
//!
//! SlateDB's own log has one PUT under way at a time, so a commit waits for the one before it. This one takes its place
//! behind SlateDB's seam: up to [`PARALLEL_MAX`] objects are created at once, and a flush is done when its object **and
//! all earlier ones** are there.
//!
//! **Fencing.** Objects have numbers, and every one is created only if it is absent. A writer has begun number n only when
//! all up to n - [`WINDOW`] are durable. A writer that opens finds the first number that is absent, h, and creates a fence
//! there. From then on the writer before it cannot complete h, so nothing from h on was ever acknowledged or can be, and
//! no number of it can be h + [`WINDOW`] or higher. The new writer goes on there; what lies between is nobody's and is
//! never replayed.
//!
//! **Own and rival.** A create that is told "exists already" may meet its own first attempt whose answer was lost, or that
//! was applied late. So it reads what is there: its own bytes, which carry the writer's epoch and a nonce, are success.
//!
//! What is stored? `meta/<shard>/wal/<number>.wal`, see [`file`] for the bytes. Fences are never deleted: a writer that
//! was asleep would write in their place.

mod collect;
mod file;
mod init;
mod listing;
mod replay;
mod store;
mod writer;

pub(crate) use collect::LogCollector;
pub(crate) use init::LogInit;
pub(crate) use listing::Listing;
pub(crate) use store::LogStore;

/// A writer has begun a number only when all numbers that are so much lower are durable. Part of the format: a fence
/// skips so many. Never changed.
pub(crate) const WINDOW: u64 = 64;

/// So many objects are created at once.
pub(crate) const PARALLEL_MAX: usize = 8;

/// Rows that are not flushed begin an object of their own at this size, in bytes.
pub(crate) const FILE_BYTES: usize = 8 * 1024 * 1024;

const _: () = assert!(PARALLEL_MAX as u64 <= WINDOW);
