//! Checks a request and turns it into a batch of bytes that can be stored.

use bytes::Bytes;
use eagre_model::{
    ProducerEpoch, ProducerId, TopicPartition, TopicRecord,
    batch::{BatchError, Compression, Limited, Limits, ValidBatch, validate},
    records::{BatchBuilder, ProducerFields},
};
use eagre_proto::v1::{ProduceRequest, ProducerSequence, Record, produce_request::Payload};
use eagre_sequencer_api::{PartOf, ProducerSequence as Sequence};

use crate::refusal::Refusal;

/// A batch fit to be stored.
#[derive(Debug)]
pub(crate) struct CheckedBatch {
    pub bytes: Bytes,
    pub valid: ValidBatch,
    /// It is a part of a request that is numbered per topic; its own header says nothing of that.
    pub part: Option<NumberedPart>,
}

/// What is said of a request that is numbered per topic with each of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NumberedPart {
    /// Of the request's first record.
    pub sequence: Sequence,
    /// Its number is given when the parts are put into an object.
    pub part_of: PartOf,
}

/// Where the records of a request go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It names the partition.
    Partition(TopicPartition),
    /// It leaves that to the service.
    ByKey,
}

/// Where a request goes in this topic, if it is the one that the client means.
pub(crate) fn place(topic: &TopicRecord, request: &ProduceRequest) -> Result<Place, Refusal> {
    if request.topic_id.as_ref().is_some_and(|id| *id != topic_id(topic)) {
        return Err(Refusal::AnotherTopic { topic: topic.name.clone() });
    }
    match request.partition {
        Some(number) => partition_of(topic, number).map(Place::Partition),
        None => Ok(Place::ByKey),
    }
}

/// A topic's id in the usual form of 128 bits, RFC 9562.
pub(crate) fn topic_id(topic: &TopicRecord) -> String {
    let hex = format!("{:032x}", topic.id);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The partition of this number.
pub(crate) fn partition_of(topic: &TopicRecord, partition: u32) -> Result<TopicPartition, Refusal> {
    let partitions = topic.placement.partitions();
    if partition >= partitions {
        return Err(Refusal::UnknownPartition { topic: topic.name.clone(), partition, partitions });
    }
    Ok(TopicPartition { topic: topic.number, partition })
}

/// Checks a batch for a topic, or encodes records into one. Records without a timestamp get `now_ms`.
pub(crate) fn check(
    topic: &TopicRecord,
    payload: Option<Payload>,
    producer: Option<ProducerSequence>,
    limits: &Limits,
    now_ms: i64,
) -> Result<CheckedBatch, Refusal> {
    let Some(most) = topic.config.max_message_bytes.map(|most| most as usize) else {
        return checked(payload, producer, limits, now_ms);
    };
    let limits = Limits { max_batch_bytes: limits.max_batch_bytes.min(most), ..*limits };
    checked(payload, producer, &limits, now_ms).map_err(|refusal| match refusal {
        Refusal::TooLarge(why) => {
            Refusal::TooLarge(format!("{why}; max_message_bytes of topic {:?} is {most}", topic.name))
        }
        refusal => refusal,
    })
}

fn checked(
    payload: Option<Payload>,
    producer: Option<ProducerSequence>,
    limits: &Limits,
    now_ms: i64,
) -> Result<CheckedBatch, Refusal> {
    match payload {
        None => Err(Refusal::invalid("payload", "there are neither records nor a batch")),
        Some(Payload::Batch(_)) if producer.is_some() => Err(Refusal::invalid(
            "producer",
            "a batch names its producer in its own header; leave the field producer out",
        )),
        Some(Payload::Batch(bytes)) => {
            let valid = validate(&bytes, limits)?;
            Ok(CheckedBatch { bytes, valid, part: None })
        }
        Some(Payload::Records(list)) => encode(&list.records, producer_fields(producer)?, limits, now_ms),
    }
}

/// The numbers of a request, checked.
pub(super) fn sequence(producer: ProducerSequence) -> Result<Sequence, Refusal> {
    let fields = producer_fields(Some(producer))?;
    Ok(Sequence {
        id: ProducerId(fields.producer_id),
        epoch: ProducerEpoch(fields.producer_epoch),
        first_sequence: fields.base_sequence,
    })
}

fn producer_fields(producer: Option<ProducerSequence>) -> Result<ProducerFields, Refusal> {
    let Some(producer) = producer else { return Ok(ProducerFields::NONE) };
    if producer.producer_id < 0 {
        return Err(Refusal::invalid("producer.producer_id", "the producer id is negative; ask InitProducer for one"));
    }
    let over = |_| Refusal::invalid("producer.producer_epoch", "the producer epoch is over 32767");
    let epoch = i16::try_from(producer.producer_epoch).map_err(over)?;
    if producer.first_sequence < 0 {
        let why = "the first sequence is negative; 2147483647 is followed by 0";
        return Err(Refusal::invalid("producer.first_sequence", why));
    }
    Ok(ProducerFields {
        producer_id: producer.producer_id,
        producer_epoch: epoch,
        base_sequence: producer.first_sequence,
    })
}

fn encode(records: &[Record], producer: ProducerFields, limits: &Limits, now_ms: i64) -> Result<CheckedBatch, Refusal> {
    if records.is_empty() {
        return Err(Refusal::invalid("records", "there are no records; send at least one"));
    }
    let capacity: usize = records.iter().map(estimate).sum();
    let mut builder = BatchBuilder::with_capacity(producer, (capacity + 61).min(limits.max_batch_bytes));
    for record in records {
        let before = builder.size_bytes();
        let headers = record.headers.iter().map(|header| (header.key.as_str(), header.value.as_deref()));
        let timestamp_ms = record.timestamp_ms.unwrap_or(now_ms);
        builder.push_parts(record.key.as_deref(), record.value.as_deref(), headers, timestamp_ms)?;
        within(Limited::Record, body_bytes(builder.size_bytes() - before), limits.max_record_bytes)?;
        within(Limited::Batch, builder.size_bytes(), limits.max_batch_bytes)?;
    }
    let encoded = builder.finish(Compression::None)?;
    Ok(CheckedBatch { bytes: encoded.bytes, valid: encoded.valid, part: None })
}

/// A little more than the encoded record takes.
fn estimate(record: &Record) -> usize {
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers: usize = record.headers.iter().map(|header| header.key.len() + length(&header.value) + 8).sum();
    length(&record.key) + length(&record.value) + headers + 24
}

/// A record's length without the varint before it that states the length: what the limit counts.
fn body_bytes(record_bytes: usize) -> usize {
    // zigzag doubles the number; seven bits a byte.
    let prefix_bytes = |body: usize| (2 * body).max(1).ilog2() as usize / 7 + 1;
    let body = record_bytes - prefix_bytes(record_bytes);
    // One less where the prefix itself made the difference.
    record_bytes - prefix_bytes(body)
}

fn within(what: Limited, size: usize, limit: usize) -> Result<(), BatchError> {
    if size <= limit {
        return Ok(());
    }
    Err(BatchError::TooLarge { what, size_bytes: size as u64, limit_bytes: limit as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_take_less() {
        let topic = |max_message_bytes| TopicRecord {
            number: eagre_model::TopicNumber(1),
            name: "small".into(),
            id: 1,
            created_at_ms: 0,
            placement: eagre_model::Placement::Fixed { partitions: 1 },
            partition_map_version: 1,
            config: eagre_model::TopicConfig { max_message_bytes },
        };
        let records = |bytes| {
            let records = vec![Record { value: Some(vec![b'x'; bytes].into()), ..Record::default() }];
            Some(Payload::Records(eagre_proto::v1::RecordList { records }))
        };
        let batch = |bytes| {
            let mut builder = BatchBuilder::new(ProducerFields::NONE);
            builder.push_parts(None, Some(&vec![b'x'; bytes]), std::iter::empty(), 0).unwrap();
            Some(Payload::Batch(builder.finish(Compression::None).unwrap().bytes))
        };
        let take = |topic: &TopicRecord, payload| check(topic, payload, None, &Limits::default(), 0);
        for payload in [records as fn(usize) -> _, batch] {
            assert!(take(&topic(None), payload(5_000)).is_ok());
            assert!(take(&topic(Some(4_096)), payload(4_000)).is_ok());
            let Err(Refusal::TooLarge(why)) = take(&topic(Some(4_096)), payload(4_096)) else { panic!("it is larger") };
            assert!(
                why.contains("over the limit of 4096 bytes; max_message_bytes of topic \"small\" is 4096"),
                "{why}"
            );
        }
        // What the service takes is not widened.
        assert!(take(&topic(Some(u32::MAX)), records(3 << 20)).is_err());
    }

    #[test]
    fn a_record_has_the_same_limit_alone_and_in_a_batch() {
        let limits = Limits { max_batch_bytes: 8 << 20, ..Limits::default() };
        let value = vec![b'x'; limits.max_record_bytes + 8];
        let mut taken = 0;
        for length in limits.max_record_bytes - 40..limits.max_record_bytes + 8 {
            let record = Record { value: Some(Bytes::copy_from_slice(&value[..length])), ..Record::default() };
            let alone = encode(&[record], ProducerFields::NONE, &limits, 0).is_ok();
            let mut builder = BatchBuilder::new(ProducerFields::NONE);
            builder.push_parts(None, Some(&value[..length]), std::iter::empty(), 0).unwrap();
            let in_batch = validate(&builder.finish(Compression::None).unwrap().bytes, &limits).is_ok();
            assert_eq!(alone, in_batch, "a value of {length} bytes");
            taken += usize::from(alone);
        }
        assert!((1..48).contains(&taken), "{taken}");
    }
}
