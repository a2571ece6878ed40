//! What the sequencer relies on, held against the pinned SlateDB. Time is virtual: conditions decide, not clocks.
//! `docs/decisions/0001-slatedb.md` says what each finding means for the sequencer.

#![cfg(test)]

mod bucket;
mod clocks;
mod commits;
mod determinism;
mod fencing;
mod folder;
mod idle;
mod log;
mod outages;
mod reads;
mod replay;
mod slate;
mod world;
