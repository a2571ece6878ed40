//! Where to begin: positions become offsets.

use std::sync::Arc;

use eagre_log::ReadError;
use eagre_model::{TopicPartition, TopicRecord};
use eagre_proto::v1::{FetchPartition, position::Position};
use eagre_sequencer_api::PartitionBounds;
use futures::{StreamExt, TryStreamExt, stream};

use super::message::find_by_time;
use crate::{Shared, produce::edge::partition_of, refusal::Refusal};

/// Searches by time that run at once for one request.
const SEARCHES_AT_ONCE: usize = 16;

/// A partition and a place in it that a client asks for.
struct Wanted {
    pub topic: Arc<TopicRecord>,
    pub partition: TopicPartition,
    pub position: Position,
}

/// A partition and the offset to begin at.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub topic: String,
    pub partition: TopicPartition,
    pub offset: i64,
    /// Of the record there, when it was asked for by time and exists.
    pub timestamp_ms: Option<i64>,
    pub log_start_offset: i64,
    pub high_watermark: i64,
}

/// Resolves positions. The bounds are asked for in one call, after the request came in: so they are linearizable.
pub(crate) async fn resolve(shared: &Arc<Shared>, partitions: Vec<FetchPartition>) -> Result<Vec<Resolved>, Refusal> {
    let most = shared.settings.fetch_partitions_max;
    if partitions.len() > most {
        let text = format!("{} partitions are asked for, {most} are the most; use several calls", partitions.len());
        return Err(Refusal::invalid("partitions", text));
    }
    match attempt(shared, &partitions).await {
        // What was remembered of a topic was out of date, and is forgotten now.
        Err(Refusal::TopicGone { .. }) => attempt(shared, &partitions).await,
        other => other,
    }
}

async fn attempt(shared: &Arc<Shared>, partitions: &[FetchPartition]) -> Result<Vec<Resolved>, Refusal> {
    let mut wanted = Vec::with_capacity(partitions.len());
    for partition in partitions {
        wanted.push(want(shared, partition).await?);
    }
    let asked: Vec<TopicPartition> = wanted.iter().map(|wanted| wanted.partition).collect();
    let bounds = shared.bounds.ask(&asked).await.map_err(Refusal::of_read)?;
    let searches = wanted.into_iter().zip(bounds).map(|(wanted, bounds)| search(shared, wanted, bounds));
    stream::iter(searches).buffered(SEARCHES_AT_ONCE).try_collect().await
}

async fn want(shared: &Arc<Shared>, asked: &FetchPartition) -> Result<Wanted, Refusal> {
    let position = asked.position.and_then(|position| position.position);
    let position =
        position.ok_or_else(|| Refusal::invalid("position", "the position is missing; say where to begin"))?;
    let (topic, partition) = shared.locate(&asked.topic, |topic| partition_of(topic, asked.partition)).await?;
    Ok(Wanted { topic, partition, position })
}

async fn search(shared: &Arc<Shared>, wanted: Wanted, bounds: Option<PartitionBounds>) -> Result<Resolved, Refusal> {
    let Wanted { topic, partition, position } = wanted;
    let Some(bounds) = bounds else {
        shared.directory.forget(topic.number);
        return Err(Refusal::TopicGone { topic: topic.name.clone() });
    };
    let (start, end) = (bounds.log_start_offset, bounds.high_watermark);
    let mut resolved = Resolved {
        topic: topic.name.clone(),
        partition,
        offset: end,
        timestamp_ms: None,
        log_start_offset: start,
        high_watermark: end,
    };
    match position {
        Position::Earliest(_) => resolved.offset = start,
        Position::Latest(_) => {}
        Position::Offset(offset) if (start..=end).contains(&offset) => resolved.offset = offset,
        Position::Offset(offset) => {
            return Err(Refusal::OffsetOutOfRange { offset, log_start_offset: start, high_watermark: end });
        }
        Position::Last(records) => {
            resolved.offset = i64::try_from(records)
                .ok()
                .and_then(|records| end.checked_sub(records))
                .map_or(start, |o| o.max(start));
        }
        Position::TimestampMs(timestamp_ms) => {
            if let Some((offset, timestamp_ms)) = first_at(shared, partition, timestamp_ms).await? {
                resolved.offset = offset.max(start);
                resolved.timestamp_ms = Some(timestamp_ms);
                // The search may have found what was appended after the bounds were stated.
                resolved.high_watermark = shared.tails.show(partition, end.max(offset + 1)).high_watermark;
            }
        }
    }
    Ok(resolved)
}

/// Offset and timestamp of the first record at or after a time.
async fn first_at(
    shared: &Arc<Shared>,
    partition: TopicPartition,
    timestamp_ms: i64,
) -> Result<Option<(i64, i64)>, Refusal> {
    let mut missing = None;
    loop {
        let found = shared.sequencer.find_by_time(partition, timestamp_ms).await.map_err(Refusal::of_read)?;
        let Some(run) = found else { return Ok(None) };
        let mut ahead = shared.ahead.start(partition, run);
        let bytes = match ahead.bytes().await {
            Ok(bytes) => bytes,
            Err(ReadError::Missing { .. }) if missing != Some(run) => {
                missing = Some(run);
                continue;
            }
            Err(error @ ReadError::Unavailable { .. }) => return Err(Refusal::Unavailable(error.to_string())),
            Err(error) => {
                tracing::error!(%partition, %error, "STORED DATA IS CORRUPT");
                return Err(Refusal::StoredDataCorrupt(error.to_string()));
            }
        };
        let limits = &shared.settings.batch_limits;
        let record = find_by_time(&bytes, run.base_offset, timestamp_ms, limits);
        return record.map_err(|error| {
            tracing::error!(%partition, object = %run.object, %error, "STORED DATA IS CORRUPT");
            Refusal::StoredDataCorrupt(format!("object {}: {error}", run.object))
        });
    }
}
