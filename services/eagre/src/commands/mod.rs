//! One file a command.

pub mod consume;
pub mod produce;
pub mod topic;
