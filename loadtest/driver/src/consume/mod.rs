//! What a consumer does, whatever protocol it speaks: tells the judges what it got, takes the time, and knows when it is over.

pub mod course;
pub mod reading;
pub mod stats;

use std::sync::Arc;

use eagre_workload::Consumers;

use stats::ConsumerStats;

/// Which consumer it is.
pub struct Consumer {
    /// Among all, for spreading.
    pub number: u32,
    /// For findings.
    pub name: String,
    /// What it does.
    pub kind: Consumers,
    /// What is known of it.
    pub stats: Arc<ConsumerStats>,
}
