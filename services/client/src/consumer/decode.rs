//! From messages of batches to records.

use bytes::Bytes;
use eagre_model::{
    batch::{BatchError, BatchHeader, Batches, Limits, batches, crc32c},
    records::{DecodedRecord, Records, records},
};
use eagre_proto::v1::FetchResponse;

use super::{Assigned, ConsumedRecord};
use crate::ReadError;

/// So many records are decoded at a time: decoded, small ones take many times their bytes.
const CHUNK_RECORDS: usize = 4_096;
/// The CRC in a batch's header covers everything from its attributes on.
const CRC_COVERS_FROM: usize = 21;

/// Takes one message apart, a chunk at a time.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Place of the message's partition.
    pub index: usize,
    /// Where to go on after the message.
    pub next_offset: i64,
    batches: Batches,
    records: Option<Records>,
}

impl Decoder {
    pub fn new(index: usize, message: FetchResponse) -> Self {
        Self { index, next_offset: message.next_offset, batches: batches(&message.batches), records: None }
    }

    /// The next records that lie within what is to be read, and moves the partition's position behind them.
    pub fn next_chunk(&mut self, assigned: &mut Assigned) -> Result<Option<Vec<ConsumedRecord>>, ReadError> {
        let stop_offset = assigned.stop_offset.unwrap_or(i64::MAX);
        loop {
            let Some(records) = &mut self.records else {
                let Some(batch) = self.batches.next() else { return Ok(None) };
                let (header, bytes) = batch.map_err(|error| damaged(assigned, &error))?;
                self.records = Some(open(&header, &bytes).map_err(|error| damaged(assigned, &error))?);
                continue;
            };
            let mut chunk = Vec::with_capacity(records.count_at_most().min(CHUNK_RECORDS));
            for record in records.by_ref().take(CHUNK_RECORDS) {
                let record = record.map_err(|error| damaged(assigned, &error))?;
                // A batch may begin below the position and end above the end.
                if record.offset >= assigned.next_offset && record.offset < stop_offset {
                    assigned.next_offset = record.offset + 1;
                    chunk.push(consumed(assigned, record));
                }
            }
            if records.count_at_most() == 0 {
                self.records = None;
            }
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }
}

/// The records of a batch whose bytes are what its producer sent.
fn open(header: &BatchHeader, bytes: &Bytes) -> Result<Records, BatchError> {
    let computed = crc32c(&bytes[CRC_COVERS_FROM..]);
    if computed != header.crc {
        return Err(BatchError::Corrupt { stated: header.crc, computed });
    }
    records(bytes, &Limits::default())
}

fn consumed(assigned: &Assigned, record: DecodedRecord) -> ConsumedRecord {
    let DecodedRecord { offset, timestamp_ms, key, value, headers } = record;
    let (topic, partition) = (assigned.topic.clone(), assigned.partition);
    ConsumedRecord { topic, partition, offset, timestamp_ms, key, value, headers }
}

fn damaged(assigned: &Assigned, error: &BatchError) -> ReadError {
    let Assigned { topic, partition, next_offset, .. } = assigned;
    ReadError::Corrupt(format!("topic {topic:?} partition {partition} at offset {next_offset}: {error}"))
}

#[cfg(test)]
mod tests {
    use eagre_model::{
        batch::{Compression, with_base_offset},
        records::{BatchBuilder, ProducerFields, Record},
    };

    use super::*;

    fn batch(base_offset: i64, values: std::ops::Range<i64>) -> Vec<u8> {
        let mut builder = BatchBuilder::new(ProducerFields::NONE);
        for value in values {
            let value = Some(value.to_string().into());
            builder.push(&Record { value, ..Record::default() }).unwrap();
        }
        let mut bytes = builder.finish(Compression::None).unwrap().bytes.to_vec();
        with_base_offset(&mut bytes, base_offset);
        bytes
    }

    fn assigned(next_offset: i64, stop_offset: Option<i64>) -> Assigned {
        Assigned { topic: "orders".into(), topic_id: "1".into(), partition: 2, next_offset, stop_offset }
    }

    fn read(message: Vec<u8>, assigned: &mut Assigned) -> Result<Vec<i64>, ReadError> {
        let message = FetchResponse { batches: message.into(), next_offset: 0, ..Default::default() };
        let mut decoder = Decoder::new(0, message);
        let mut offsets = Vec::new();
        while let Some(chunk) = decoder.next_chunk(assigned)? {
            assert!(!chunk.is_empty() && chunk.len() <= CHUNK_RECORDS);
            for record in chunk {
                assert_eq!(record.value.unwrap(), record.offset.to_string(), "the value belongs to the offset");
                offsets.push(record.offset);
            }
        }
        Ok(offsets)
    }

    #[test]
    fn what_lies_before_the_position_and_behind_the_end_is_left_out() {
        let mut at = assigned(13, Some(21));
        let message = [batch(10, 10..20), batch(20, 20..25)].concat();
        assert_eq!(read(message, &mut at).unwrap(), (13..21).collect::<Vec<_>>());
        assert_eq!(at.next_offset, 21);
        assert!(at.is_done());
    }

    #[test]
    fn a_large_batch_comes_in_chunks() {
        let mut at = assigned(0, None);
        let records = 2 * CHUNK_RECORDS as i64 + 5;
        assert_eq!(read(batch(0, 0..records), &mut at).unwrap(), (0..records).collect::<Vec<_>>());
        assert!(!at.is_done());
    }

    #[test]
    fn damage_is_an_error_that_names_the_place() {
        let mut message = batch(5, 5..8);
        let last = message.len() - 1;
        message[last] ^= 1;
        let error = read(message, &mut assigned(5, None)).unwrap_err();
        assert!(
            matches!(&error, ReadError::Corrupt(message) if message.contains("partition 2 at offset 5")),
            "{error}"
        );
        let truncated = batch(5, 5..8)[..70].to_vec();
        assert!(matches!(read(truncated, &mut assigned(5, None)), Err(ReadError::Corrupt(_))));
    }
}
