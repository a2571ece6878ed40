//! A proxy between a load test and a service that breaks the service's promises on purpose, so that the load test is seen
//! to find what is wrong.
//!
//! It speaks `eagre.v1` on both sides. Faults of records and answers are committed at the level of messages, faults of
//! connections at the level of bytes. Each fault is committed to few batches, after the first ones of a partition, and
//! the same way for every reader unless it says otherwise. Requests that name no partition pass as they are.

mod alter;
mod batch;
mod connection;
mod fault;
mod fetch;
mod lane;
mod ledger;
mod offsets;
mod picker;
mod produce;
mod produce_stream;
mod proxy;
mod renumber;
mod schedule;
mod service;
mod survey;
mod tcp;
mod topics;

pub use fault::{Fault, UnknownFault};
pub use proxy::{Proxy, ProxyError};

#[cfg(test)]
mod tests;
