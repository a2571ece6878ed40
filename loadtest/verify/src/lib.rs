//! Judges histories: what clients saw of a log service, against what it promises.
//!
//! A [`History`] is written down by clients, each operation with the moments of its call and of its answer. [`judge`]
//! names every [`Violation`]. It is pure and knows neither the service's code nor its formats: simulation, runs against
//! real processes and load tests are judged alike.
//!
//! The rules are those of Jepsen's Kafka workload (inconsistent offsets, duplicates, lost and unseen writes, aborted reads,
//! skips, order) and the promises of the service beside them (durable acks, true offsets, ends of logs that are
//! linearizable, idempotence, fenced producers, an index that tiles the log and whose objects are there).

#![warn(missing_docs)]

mod checks;
mod history;
mod log;
pub mod stream;
mod violation;

pub use history::{
    Damaged, Drained, Ended, Event, EventId, Gateway, History, Identity, IndexRow, Indexed, Moment, Op, Outcome,
    Partition, Polled, Process, Seen, Sent, Stored, StoredBatch, Value,
};
pub use violation::{Violation, ViolationKind};

/// Every promise that the history shows broken, in the order of time.
pub fn judge(history: &History) -> Vec<Violation> {
    let logs = log::collect(history);
    let mut found = Vec::new();
    for (partition, log) in &logs {
        checks::offsets::check(*partition, log, &mut found);
        checks::loss::check(*partition, log, &mut found);
        checks::ends::check(*partition, log, &mut found);
        checks::order::check(*partition, log, &mut found);
        checks::realtime::check(*partition, log, &mut found);
        checks::producers::check(*partition, log, history.made_up_ids(), &mut found);
        checks::index::check(*partition, log, &mut found);
    }
    found.sort_by_key(|violation| violation.at);
    found
}
