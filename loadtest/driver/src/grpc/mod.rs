//! `eagre.v1`, by the load test's own stubs.

pub mod connect;
pub mod consumer;
pub mod producer;
