//! Record batches: Apache Kafka's v2 format, header and body, as bytes.
//!
//! A batch is checked once, by [`validate`], when it comes in; from then on its bytes are moved and never encoded again.
//! Only what lies outside the batch's own CRC is patched on the way out ([`with_base_offset`]). Layout:
//! `docs/formats.md`; source: `DefaultRecordBatch` and `DefaultRecord` of Apache Kafka.

mod compression;
mod crc;
mod error;
mod framing;
mod header;
mod lz4;
mod snappy;
mod validate;
mod varint;
mod walk;

pub use compression::Compression;
pub use crc::{crc32c, crc32c_combine};
pub use error::{BatchError, Flaw, Limited};
pub use header::{BatchHeader, HEADER_BYTES, advance_sequence, with_base_offset};
pub use validate::{Limits, ValidBatch, validate};
pub use walk::{Batches, batches};

pub(crate) use framing::{RecordCursor, RecordView};
pub(crate) use header::{ATTRIBUTES_AT, BATCH_LENGTH_PREFIX_BYTES, CRC_AT};
pub(crate) use varint::{Fields, varint_bytes, varlong_bytes};

#[cfg(test)]
mod tests;
