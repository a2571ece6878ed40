//! The client of Eagre.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
//! use eagre_client::{Client, Position, ProducerSettings, Record};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
//! let client = Client::builder(endpoint).build()?;
//! client.topics().create("fruit", None).await?;
//!
//! let producer = client.producer(&ProducerSettings::default());
//! let fruit = producer.topic("fruit").await?;
//! // The first await hands the record over, the second one waits until it is durable.
//! let delivery = fruit.send(Record::new("3 apples").with_key("alice")).await?;
//! let ack = delivery.await?;
//! println!("partition {} offset {}", ack.partition, ack.offset);
//!
//! let mut consumer = client.consumer().topic("fruit", Position::Beginning).until_end().open().await?;
//! while let Some(record) = consumer.next().await {
//!     let record = record?;
//!     println!("{}: {:?}", record.offset, record.value);
//! }
//! # Ok(()) }) }
//! ```
//!
//! **Writing.** A [`Producer`] writes each record once and keeps their order within a partition: it numbers its batches,
//! and sends what is not answered again, in order, over whichever connection there is. Two ways to hand records over:
//! [`TopicProducer::send`] gives a future for each record; [`TopicProducer::enqueue`] takes a tag and reports the outcome
//! of whole batches, for many records a second ([`Client::producer_with_reports`]). Both wait while the producer's memory is
//! full.
//!
//! A record's failure is *definite* (it is not in the log and never will be) or its outcome is *unknown*:
//! [`SendError::is_definite`].
//!
//! **Reading.** A [`Consumer`] reads partitions from given positions, follows them or stops at their ends, and survives
//! broken connections. It is a stream of records, reads ahead within a bound, and can be sent elsewhere ([`Consumer::seek`]).
//!
//! In the examples `endpoint` is the address of a service, as `http://127.0.0.1:8070`; they run as tests, each against a
//! service of its own that has a topic `orders` of two partitions.
//!
//! Everything runs within tokio; time, randomness and network can be given ([`ClientBuilder::env`]).

mod backoff;
mod client;
mod consumer;
mod error;
mod producer;
mod topics;

pub use client::{Client, ClientBuilder};
pub use consumer::{ConsumedRecord, Consumer, ConsumerBuilder, Position};
pub use eagre_model::{Placement, ResidueClass, batch::Compression};
pub use eagre_transport::InvalidEndpoint;
pub use error::{ReadError, SendError, TopicError};
pub use producer::{Ack, Delivery, Producer, ProducerSettings, Record, Report, Reports, TopicProducer};
pub use topics::{PartitionBounds, Topic, TopicDescription, TopicSettings, Topics};
