//! Topics: what creating and deleting one changes.

use std::collections::BTreeMap;

use eagre_metadata::{
    Changes,
    rows::{Free, Meta, MetaName, MetaValue, Partition, Topic, TopicName, TopicState},
};
use eagre_model::{Placement, TopicConfig, TopicNumber, TopicPartition, TopicRecord, keys::elastic_placement};
use eagre_sequencer_api::{CreateTopicError, TopicError};

use crate::judge::{TailState, View};

/// The most partitions that a topic may have.
pub const PARTITIONS_PER_TOPIC_MAX: u32 = 10_000;
/// The most partitions that a shard holds: their tails are kept in memory.
const PARTITIONS_MAX: usize = 200_000;

/// The live topics, tentatively.
#[derive(Debug)]
pub struct Topics {
    /// By name.
    pub live: BTreeMap<String, TopicRecord>,
    /// The number of the next topic.
    pub next_number: u64,
}

/// The placement that a request asks for.
pub fn placement(partitions: Option<u32>) -> Result<Placement, CreateTopicError> {
    match partitions {
        None => Ok(elastic_placement()),
        Some(partitions @ 1..=PARTITIONS_PER_TOPIC_MAX) => Ok(Placement::Fixed { partitions }),
        Some(other) => Err(CreateTopicError::InvalidPartitions(format!(
            "a topic has 1 to {PARTITIONS_PER_TOPIC_MAX} partitions, not {other}"
        ))),
    }
}

/// The partitions of a topic.
pub fn partitions(topic: &TopicRecord) -> impl Iterator<Item = TopicPartition> + use<> {
    let number = topic.number;
    (0..topic.placement.partitions()).map(move |partition| TopicPartition { topic: number, partition })
}

/// What a new topic gets beside its name and placement.
#[derive(Debug, Clone, Copy)]
pub struct Birth {
    /// Random.
    pub id: u128,
    /// Milliseconds since the epoch.
    pub created_at_ms: i64,
    /// As the request says.
    pub config: TopicConfig,
}

/// Creates a topic in the view and notes its rows.
pub fn create(
    topics: &mut Topics,
    view: &mut View,
    changes: &mut Changes,
    name: String,
    placement: Placement,
    birth: Birth,
) -> Result<TopicRecord, CreateTopicError> {
    if topics.live.contains_key(&name) {
        return Err(CreateTopicError::Exists);
    }
    if view.tails.len() + placement.partitions() as usize > PARTITIONS_MAX {
        return Err(CreateTopicError::InvalidPartitions(format!(
            "there are {} partitions already, the limit is {PARTITIONS_MAX}",
            view.tails.len()
        )));
    }
    let record = TopicRecord {
        number: TopicNumber(topics.next_number),
        name,
        id: birth.id,
        created_at_ms: birth.created_at_ms,
        placement,
        partition_map_version: 1,
        config: birth.config,
    };
    topics.next_number += 1;
    changes.put::<Meta>(&MetaName::NextTopicNumber, &MetaValue::Number(topics.next_number));
    changes.put::<TopicName>(&record.name, &record.number);
    changes.put::<Topic>(&record.number, &Topic { record: record.clone(), state: TopicState::Live });
    for partition in partitions(&record) {
        changes.put::<Partition>(&partition, &Partition { log_start_offset: 0 });
        view.tails.insert(partition, TailState::EMPTY);
    }
    topics.live.insert(record.name.clone(), record.clone());
    Ok(record)
}

/// Deletes a topic from the view. Its record stays as a tombstone, and a row says what is to be freed.
pub fn delete(
    topics: &mut Topics,
    view: &mut View,
    changes: &mut Changes,
    name: &str,
    deleted_at_ms: i64,
) -> Result<TopicRecord, TopicError> {
    let record = topics.live.remove(name).ok_or(TopicError::UnknownTopic)?;
    let size_bytes = partitions(&record).filter_map(|partition| view.tails.remove(&partition));
    let size_bytes = size_bytes.map(|tail| tail.size_bytes).sum();
    let free = Free { deleted_at_ms, partitions: record.placement.partitions(), size_bytes };
    changes.delete::<TopicName>(&record.name);
    changes.put::<Topic>(
        &record.number,
        &Topic { record: record.clone(), state: TopicState::Deleted { at_ms: deleted_at_ms } },
    );
    changes.put::<Free>(&record.number, &free);
    Ok(record)
}
