//! Batches that follow each other, as a run holds them.

use bytes::Bytes;

use super::{BatchError, BatchHeader, Flaw};

/// Walks batches that follow each other without a gap; nothing is copied. Ends after the first error.
///
/// Only framing is checked: each header's magic, and lengths against the bytes that remain.
pub fn batches(bytes: &Bytes) -> Batches {
    Batches { rest: bytes.clone() }
}

/// See [`batches`].
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
}

impl Iterator for Batches {
    type Item = Result<(BatchHeader, Bytes), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = take_batch(&mut self.rest);
        if batch.is_err() {
            self.rest.clear();
        }
        Some(batch)
    }
}

impl std::iter::FusedIterator for Batches {}

fn take_batch(rest: &mut Bytes) -> Result<(BatchHeader, Bytes), BatchError> {
    let header = BatchHeader::parse(rest)?;
    let length = header.total_length_bytes();
    if length > rest.len() {
        return Err(Flaw::Length { stated_bytes: length as i64, actual_bytes: rest.len() as u64 }.into());
    }
    Ok((header, rest.split_to(length)))
}
