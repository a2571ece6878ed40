//! One file a command.

pub mod bucket;
pub mod completions;
pub mod consume;
pub mod produce;
pub mod topic;
pub mod version;
