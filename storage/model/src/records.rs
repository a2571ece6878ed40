//! Records: encoding them into a batch, decoding them from one.

mod build;
mod decode;

pub use build::{BatchBuilder, EncodedBatch, ProducerFields};
pub use decode::{DecodedRecord, Records, decode, records};

use bytes::Bytes;

/// A header: a string and a value, which may be null. Order and repetition of headers are kept.
pub type Header = (String, Option<Bytes>);

/// A record as a producer hands it over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// `None`: null.
    pub key: Option<Bytes>,
    /// `None`: null.
    pub value: Option<Bytes>,
    /// In their order.
    pub headers: Vec<Header>,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
}

#[cfg(test)]
mod tests;
