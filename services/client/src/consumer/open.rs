//! Where a consumer begins and ends.

use std::{collections::VecDeque, sync::Arc};

use eagre_proto::v1::{self, FetchPartition, ListOffsetsRequest, position};
use tokio::time::Instant;

use super::{Assigned, Consumer, Position, read_error};
use crate::{Client, ReadError, backoff::Backoff};

/// Says what a [`Consumer`] reads.
#[derive(Debug, Clone)]
pub struct ConsumerBuilder {
    client: Client,
    sources: Vec<Source>,
    stops_at_end: bool,
}

#[derive(Debug, Clone)]
struct Source {
    topic: String,
    /// Left out: all.
    partition: Option<u32>,
    position: Position,
}

impl ConsumerBuilder {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, sources: Vec::new(), stops_at_end: false }
    }

    /// All partitions of a topic, each from this position.
    pub fn topic(mut self, topic: impl Into<String>, position: Position) -> Self {
        self.sources.push(Source { topic: topic.into(), partition: None, position });
        self
    }

    /// One partition of a topic.
    pub fn partition(mut self, topic: impl Into<String>, partition: u32, position: Position) -> Self {
        self.sources.push(Source { topic: topic.into(), partition: Some(partition), position });
        self
    }

    /// Reads each partition up to the end that it has when the consumer is opened, instead of waiting for more.
    pub fn until_end(mut self) -> Self {
        self.stops_at_end = true;
        self
    }

    /// Asks the service where the positions are and gives a consumer that begins there.
    ///
    /// # Errors
    /// [`ReadError`]: a topic or partition does not exist, an offset is out of range, or the service could not be reached
    /// within the client's patience.
    pub async fn open(self) -> Result<Consumer, ReadError> {
        let partitions = self.resolve().await?;
        Ok(Consumer {
            client: self.client,
            partitions,
            stops_at_end: self.stops_at_end,
            stream: None,
            decoder: None,
            buffer: VecDeque::new(),
            backoff: Backoff::default(),
            retry_at: None,
            is_troubled: false,
            is_ended: false,
        })
    }

    async fn resolve(&self) -> Result<Vec<Assigned>, ReadError> {
        let until = Instant::now() + self.client.patience();
        let mut assigned = Vec::new();
        let mut request = ListOffsetsRequest::default();
        for source in &self.sources {
            let topic = self.client.describe(&source.topic, until).await.map_err(read_error)?.topic;
            let partitions = match source.partition {
                None => 0..topic.placement.partitions(),
                Some(partition) if partition < topic.placement.partitions() => partition..partition + 1,
                Some(partition) => {
                    return Err(ReadError::UnknownPartition { topic: source.topic.clone(), partition });
                }
            };
            let (name, topic_id): (Arc<str>, Arc<str>) = (source.topic.as_str().into(), topic.id.into());
            for partition in partitions {
                let position = Some(source.position.into());
                request.partitions.push(FetchPartition { topic: source.topic.clone(), partition, position });
                let (topic, topic_id) = (name.clone(), topic_id.clone());
                assigned.push(Assigned { topic, topic_id, partition, next_offset: 0, stop_offset: None });
            }
        }
        let make = |channel| {
            let request = request.clone();
            async move { Client::fetch_service_of(channel).list_offsets(request).await }
        };
        let (topic, partition) = match self.sources.as_slice() {
            [only] => (only.topic.as_str(), only.partition),
            _ => ("", None),
        };
        let answer = self.client.call(until, true, make).await;
        let offsets = answer.map_err(|failure| failure.into_read_error(topic, partition))?.offsets;
        if offsets.len() != assigned.len() {
            return Err(ReadError::Protocol("the service did not answer for each partition".to_owned()));
        }
        for (assigned, offset) in assigned.iter_mut().zip(offsets) {
            assigned.next_offset = offset.offset;
            assigned.stop_offset = self.stops_at_end.then_some(offset.high_watermark);
        }
        Ok(assigned)
    }
}

impl From<Position> for v1::Position {
    fn from(position: Position) -> Self {
        let position = match position {
            Position::Beginning => position::Position::Earliest(v1::Earliest {}),
            Position::End => position::Position::Latest(v1::Latest {}),
            Position::Offset(offset) => position::Position::Offset(offset),
            Position::Timestamp(timestamp_ms) => position::Position::TimestampMs(timestamp_ms),
            Position::Last(records) => position::Position::Last(records),
        };
        Self { position: Some(position) }
    }
}
