//! Asking the service where positions are.

use eagre_proto::v1::{FetchPartition, ListOffsetsRequest, PartitionOffset};
use tokio::time::Instant;

use super::{Assigned, Position, read_error};
use crate::{Client, ReadError};

/// Offsets of positions, in their order. `about` is what an error is about, where all are of one topic or partition.
pub(super) async fn list(
    client: &Client,
    partitions: Vec<FetchPartition>,
    about: (&str, Option<u32>),
    until: Instant,
) -> Result<Vec<PartitionOffset>, ReadError> {
    let asked = partitions.len();
    let request = ListOffsetsRequest { partitions };
    let make = |channel| {
        let request = request.clone();
        async move { Client::fetch_service_of(channel).list_offsets(request).await }
    };
    let answer = client.call(until, true, make).await;
    let offsets = answer.map_err(|failure| failure.into_read_error(about.0, about.1))?.offsets;
    if offsets.len() == asked {
        Ok(offsets)
    } else {
        Err(ReadError::Protocol("the service did not answer for each partition".to_owned()))
    }
}

/// Offset of a position in a partition that is read already, if its topic is still the same.
pub(super) async fn resolve(
    client: &Client,
    assigned: &Assigned,
    position: Position,
    until: Instant,
) -> Result<i64, ReadError> {
    let Assigned { topic, topic_id, partition, .. } = assigned;
    let found = client.describe(topic, until).await.map_err(read_error)?.topic;
    if found.id != **topic_id {
        return Err(ReadError::TopicRecreated(topic.to_string()));
    }
    let asked = FetchPartition { topic: topic.to_string(), partition: *partition, position: Some(position.into()) };
    let offsets = list(client, vec![asked], (topic, Some(*partition)), until).await?;
    // One was asked for, and one was answered.
    Ok(offsets.first().map_or(0, |offset| offset.offset))
}
