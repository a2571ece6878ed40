//! The lease: who may write a shard and speak for it.
//!
//! The claim says who holds ([`claim`], [`register`]), authority says that it still does ([`authority`]), and the rival's
//! protocol says when another may take over ([`rival`]). No two clocks are compared. See
//! `docs/decisions/0002-commit-and-lease.md`.

pub mod authority;
pub mod claim;
pub mod register;
pub mod rival;
