//! Topic records.

use bytes::Bytes;
use eagre_model::{Placement, ResidueClass, TopicConfig, TopicNumber, TopicRecord, keys::check_placement};
use eagre_proto::internal::v1 as proto;

use super::Malformed;

pub(crate) fn topic_message(record: &TopicRecord) -> proto::TopicRecord {
    let class = |class: &ResidueClass| proto::ResidueClass { remainder: class.remainder, modulus: class.modulus };
    let (elastic, classes) = match &record.placement {
        Placement::Fixed { .. } => (false, Vec::new()),
        Placement::Elastic { classes } => (true, classes.iter().map(class).collect()),
    };
    proto::TopicRecord {
        number: record.number.0,
        name: record.name.clone(),
        id: Bytes::copy_from_slice(&record.id.to_be_bytes()),
        created_at_ms: record.created_at_ms,
        elastic,
        partitions: record.placement.partitions(),
        classes,
        partition_map_version: record.partition_map_version,
        max_message_bytes: record.config.max_message_bytes,
    }
}

pub(crate) fn topic(message: Option<proto::TopicRecord>) -> Result<TopicRecord, Malformed> {
    let message = message.ok_or(Malformed("the topic"))?;
    let id = message.id.as_ref().try_into().map_err(|_| Malformed("the topic's id"))?;
    let class = |class: &proto::ResidueClass| ResidueClass { remainder: class.remainder, modulus: class.modulus };
    let placement = if message.elastic {
        Placement::Elastic { classes: message.classes.iter().map(class).collect() }
    } else if message.classes.is_empty() {
        Placement::Fixed { partitions: message.partitions }
    } else {
        return Err(Malformed("a class of a topic that is not elastic"));
    };
    check_placement(&placement).map_err(|_| Malformed("the topic's placement"))?;
    if placement.partitions() != message.partitions || message.name.is_empty() {
        return Err(Malformed("the topic's name or partitions"));
    }
    Ok(TopicRecord {
        number: TopicNumber(message.number),
        name: message.name,
        id: u128::from_be_bytes(id),
        created_at_ms: message.created_at_ms,
        placement,
        partition_map_version: message.partition_map_version,
        config: TopicConfig { max_message_bytes: message.max_message_bytes },
    })
}
