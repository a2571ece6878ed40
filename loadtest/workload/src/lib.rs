//! Loads: when records are due, what they are, who reads them, and how all of it is written down.
//!
//! A [`Scenario`] is parsed from TOML, its [`Schedule`] says when records are due ([`Arrivals`], one for each producer), and a
//! [`Source`] for each producer says what they are. Nothing here waits, sends, or asks for the time; the one thing outside
//! that is touched is the input file that a scenario names.
//!
//! Everything that is drawn follows from the scenario's seed.

#![warn(missing_docs)]

mod draws;
mod error;
mod flags;
mod input;
mod parse;
mod scenario;
mod schedule;
mod shipped;
mod source;
mod tree;

pub use error::ScenarioError;
pub use flags::{Flags, from_flags};
pub use input::Input;
pub use scenario::*;
pub use schedule::{Arrival, Arrivals, Schedule, StageMark, Unpaced};
pub use shipped::{Shipped, shipped};
pub use source::{Draft, KeyId, STAMP_BYTES, SharedMaterial, Source, VALUE_BYTES_MAX};
