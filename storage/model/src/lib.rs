//! The words of the log: ids, record batches, runs, keys. Pure: no I/O, no clock.
//!
//! A record batch is an Apache Kafka v2 batch and stays the bytes that a client sent; see `docs/formats.md`.

pub mod batch;
mod ids;
pub mod keys;
pub mod names;
pub mod records;
mod run;

pub use ids::{ObjectId, ProducerEpoch, ProducerId, ShardId, TopicNumber, TopicPartition, UploadEpoch};
pub use run::{Placement, ResidueClass, Run, RunKind, TopicConfig, TopicRecord};
