//! The sequencer of a metadata shard: the one process that gives offsets.
//!
//! [`SequencerNode`] claims the shard (`lease`), opens its store for a *term* (`term`, `load`), and commits: one task
//! (`committer`) takes all work that waits, judges it batch by batch (`judge`) on the tentative view, writes and flushes
//! it as one group (`group`), and only then publishes (`published`) and answers. Inline bytes become objects
//! behind its back (`spill`), and producers that do not append any more are forgotten (`expiry`). When a flush fails the
//! term ends and the next one begins with what the bucket holds. `docs/decisions/0002-commit-and-lease.md` says why.

mod beside;
mod clock;
mod committer;
mod expiry;
mod group;
mod hash;
mod health;
mod index;
mod inline;
mod judge;
mod lease;
mod load;
mod node;
mod numbers;
mod pause;
mod producers;
mod published;
mod seen;
mod settings;
mod settled;
mod spill;
mod streams;
mod supervisor;
mod sweep;
mod telemetry;
mod term;
mod topics;

pub use expiry::ExpirySettings;
pub use inline::InlineLimits;
pub use lease::claim::{Claim, ClaimFormatError};
pub use node::{NotReady, SequencerNode};
pub use settings::{SequencerMemory, SequencerSettings};
pub use spill::SpillSettings;
pub use supervisor::StartError;
