//! What a producer does, whatever protocol it speaks: takes records up when they are due, gathers them in batches, and keeps
//! what is unanswered until it is answered or given up.

pub mod feed;
pub mod lane;
pub mod writer;
