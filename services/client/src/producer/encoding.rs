//! Turning the records of a batch into bytes: compression and checksum, the only heavy work of a producer. It is done by whoever
//! sends, on a value of its own, so that nobody who hands over records waits for it.

use bytes::Bytes;
use eagre_model::{
    batch::{BatchError, Compression, Limits},
    records::{BatchBuilder, ProducerFields, records},
};

use super::sequencing::Identity;

/// The records of a batch that has no number yet, or no valid one any more.
#[derive(Debug)]
pub(crate) enum Source {
    /// Never sent.
    Builder(Box<BatchBuilder>),
    /// Encoded in an earlier epoch.
    Outdated(Bytes),
}

/// A batch that is to be encoded with this number.
#[derive(Debug)]
pub(crate) struct Unencoded {
    /// Its place among all batches of the partition.
    pub serial: u64,
    pub identity: Identity,
    pub base_sequence: i32,
    pub compression: Compression,
    pub source: Source,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// As it was to be encoded.
    pub serial: u64,
    pub identity: Identity,
    /// The bytes, and how many sequences they use.
    pub result: Result<(Bytes, u32), BatchError>,
}

impl Unencoded {
    /// Takes a while: up to a batch is compressed.
    pub fn encode(self) -> Encoded {
        let Self { serial, identity, base_sequence, compression, source } = self;
        let builder = match source {
            Source::Builder(builder) => Ok(*builder),
            Source::Outdated(bytes) => rebuild(&bytes),
        };
        let result = builder.and_then(|mut builder| {
            let Identity { producer_id, epoch: producer_epoch } = identity;
            builder.set_producer(ProducerFields { producer_id, producer_epoch, base_sequence });
            let record_count = builder.record_count();
            Ok((builder.finish(compression)?.bytes, record_count))
        });
        Encoded { serial, identity, result }
    }
}

/// The records of an encoded batch in a builder again.
fn rebuild(bytes: &Bytes) -> Result<BatchBuilder, BatchError> {
    let mut builder = BatchBuilder::with_capacity(ProducerFields::NONE, bytes.len());
    for record in records(bytes, &Limits::default())? {
        let record = record?;
        let headers = record.headers.iter().map(|(key, value)| (key.as_str(), value.as_deref()));
        builder.push_parts(record.key.as_deref(), record.value.as_deref(), headers, record.timestamp_ms)?;
    }
    Ok(builder)
}
