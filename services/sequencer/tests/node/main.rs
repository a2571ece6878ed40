//! Whole nodes over one bucket that fails on demand, on tokio's paused clock where no socket or folder is needed.

#![cfg(test)]

mod chaos;
mod conformance;
mod failures;
mod faults;
mod folder;
mod inline;
mod lease;
mod planted;
mod producers;
mod restart;
mod world;
