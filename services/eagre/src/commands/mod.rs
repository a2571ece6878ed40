//! One file a command.

pub mod bucket;
pub mod completions;
pub mod config;
pub mod consume;
pub mod man;
pub mod produce;
pub mod topic;
pub mod version;
