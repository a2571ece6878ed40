//! Kind 19: what a producer that numbers its requests per topic last appended to it, so that a repeated request is known
//! as one, wherever its records would be placed by now.
//!
//! key: slot, topic number u64, producer id u64
//! value v1: producer epoch, last-use upload epoch, count of requests (at most 16), then the requests, oldest first: how
//!   far the first sequence lies above the one expected after the request before (0 for the first one; modulo 2^31),
//!   records - 1, version of the partition map, count of parts (0: where they are is not remembered; at most 256 in all
//!   requests together), then the parts: how many partitions lie between this one and that of the part before (the
//!   partition's number for the first one), records - 1, base offset
//! value v2: the same with the signed time of the last append after the last-use upload epoch

use bytes::Bytes;
use eagre_model::{ProducerEpoch, ProducerId, TopicNumber, UploadEpoch};

use super::{
    RowKind, next_sequence,
    producer::{WINDOW_BATCHES, begin_value, distance, read_begin, step},
    read_topic, topic_key,
};
use crate::codec::{Reader, RowError};

/// So many of the newest requests a row remembers.
pub const WINDOW_REQUESTS: usize = WINDOW_BATCHES;
/// Of so many parts of them, together, it remembers where they are.
pub const WINDOW_PARTS: usize = 256;

/// Key of a producer's state in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicProducerKey {
    /// Where it appends.
    pub topic: TopicNumber,
    /// Who.
    pub producer: ProducerId,
}

/// A producer's state in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicProducer {
    /// The newest epoch that appended.
    pub epoch: ProducerEpoch,
    /// The upload epoch of its last append.
    pub last_use: UploadEpoch,
    /// When it appended last, in milliseconds since the epoch; `None` in version 1, which did not say.
    pub last_append_ms: Option<i64>,
    /// The newest requests of that epoch, oldest first, at most [`WINDOW_REQUESTS`].
    pub window: Vec<NumberedRequest>,
}

/// An appended request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedRequest {
    /// Sequence of its first record.
    pub first_sequence: i32,
    /// Sequence of its last record; below the first one where the numbers wrap.
    pub last_sequence: i32,
    /// The version of the partition map by which its records were placed.
    pub partition_map_version: u64,
    /// In the order of their partitions; empty when they are not remembered, at most [`WINDOW_PARTS`] in a window.
    pub parts: Vec<RequestPart>,
}

/// The records of a request in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestPart {
    /// Which one.
    pub partition: u32,
    /// How many, at least 1.
    pub records: u32,
    /// Offset of the first one.
    pub base_offset: i64,
}

impl RowKind for TopicProducer {
    const KIND: u8 = 19;
    type Key = TopicProducerKey;
    type Value = Self;

    fn encode_key(key: &TopicProducerKey) -> Bytes {
        topic_key(Self::KIND, key.topic).natural(key.producer.0).finish()
    }

    fn decode_key(bytes: &[u8]) -> Result<TopicProducerKey, RowError> {
        let (mut reader, topic) = read_topic(bytes, Self::KIND)?;
        let producer = ProducerId(reader.natural("producer id")?);
        reader.end()?;
        Ok(TopicProducerKey { topic, producer })
    }

    fn encode_value(_: &TopicProducerKey, value: &Self) -> Bytes {
        assert!(value.window.len() <= WINDOW_REQUESTS, "the window is bounded");
        let mut writer = begin_value(value.epoch, value.last_use, value.last_append_ms);
        writer.varint(value.window.len() as u64);
        let mut expected = 0;
        for request in &value.window {
            assert!(request.first_sequence >= 0 && request.last_sequence >= 0, "sequences are never negative");
            writer
                .natural_varint(distance(expected, request.first_sequence))
                .natural_varint(distance(request.first_sequence, request.last_sequence))
                .varint(request.partition_map_version)
                .varint(request.parts.len() as u64);
            let mut next = 0;
            for part in &request.parts {
                assert!(part.partition >= next && part.records > 0, "parts are in order and hold records");
                writer
                    .varint(u64::from(part.partition - next))
                    .varint(u64::from(part.records - 1))
                    .natural_varint(part.base_offset);
                next = part.partition + 1;
            }
            expected = next_sequence(request.last_sequence);
        }
        writer.finish()
    }

    fn decode_value(_: &TopicProducerKey, bytes: &[u8]) -> Result<Self, RowError> {
        let (mut reader, epoch, last_use, last_append_ms) = read_begin(bytes)?;
        let count = reader.count(4)?;
        if count > WINDOW_REQUESTS {
            return Err(RowError::OutOfRange("window"));
        }
        let mut window = Vec::with_capacity(count);
        let (mut expected, mut parts_left) = (0, WINDOW_PARTS);
        for _ in 0..count {
            let first_sequence = step(expected, reader.varint()?)?;
            let last_sequence = step(first_sequence, reader.varint()?)?;
            let partition_map_version = reader.varint()?;
            let parts = read_parts(&mut reader, parts_left)?;
            parts_left -= parts.len();
            expected = next_sequence(last_sequence);
            window.push(NumberedRequest { first_sequence, last_sequence, partition_map_version, parts });
        }
        reader.end()?;
        Ok(Self { epoch, last_use, last_append_ms, window })
    }
}

fn read_parts(reader: &mut Reader<'_>, max: usize) -> Result<Vec<RequestPart>, RowError> {
    let count = reader.count(3)?;
    if count > max {
        return Err(RowError::OutOfRange("parts"));
    }
    let mut parts = Vec::with_capacity(count);
    let mut next = 0u32;
    for _ in 0..count {
        let between = reader.u32_varint("partition")?;
        let partition = next.checked_add(between).ok_or(RowError::OutOfRange("partition"))?;
        next = partition.checked_add(1).ok_or(RowError::OutOfRange("partition"))?;
        let records = reader.u32_varint("records")?.checked_add(1).ok_or(RowError::OutOfRange("records"))?;
        parts.push(RequestPart { partition, records, base_offset: reader.natural_varint("base offset")? });
    }
    Ok(parts)
}
