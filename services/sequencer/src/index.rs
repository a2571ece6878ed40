//! Reading the index: pages of runs, bytes of inline ones, and search by time.

use bytes::Bytes;
use eagre_metadata::{
    MetadataStore, ReadError,
    rows::{InlineBytes, RunKey, RunRow},
};
use eagre_model::{Run, TopicPartition};
use eagre_sequencer_api::{INLINE_READ_BYTES_MAX, INLINE_READ_RUNS_MAX};

use crate::judge::TailState;

/// The most rows of a page.
pub const PAGE_ROWS_MAX: usize = 4_096;

/// Up to `max_rows` runs from the one that covers `offset` on. Nothing at or above the tail, which is durable.
pub async fn page(
    store: &MetadataStore,
    partition: TopicPartition,
    tail: &TailState,
    offset: i64,
    max_rows: usize,
) -> Result<Vec<Run>, ReadError> {
    if offset >= tail.next_offset {
        return Ok(Vec::new());
    }
    let range = RunKey { partition, last_offset: offset.max(0) }..RunKey { partition, last_offset: tail.next_offset };
    let rows = store.scan::<RunRow>(range, max_rows.min(PAGE_ROWS_MAX)).await?;
    Ok(rows.into_iter().map(|(_, run)| run).collect())
}

/// The bytes of inline runs by their last offsets, until the answer is full. Nothing at or above the tail, which is durable.
pub async fn inline(
    store: &MetadataStore,
    partition: TopicPartition,
    tail: Option<&TailState>,
    last_offsets: &[i64],
) -> Result<Vec<Option<Bytes>>, ReadError> {
    let (mut found, mut size_bytes) = (Vec::new(), 0);
    let end = tail.map_or(0, |tail| tail.next_offset);
    for last_offset in last_offsets.iter().copied().take(INLINE_READ_RUNS_MAX) {
        let key = RunKey { partition, last_offset };
        let bytes = match (0..end).contains(&last_offset) {
            true => store.get::<InlineBytes>(&key).await?,
            false => None,
        };
        size_bytes += bytes.as_ref().map_or(0, Bytes::len);
        if size_bytes > INLINE_READ_BYTES_MAX && !found.is_empty() {
            break;
        }
        found.push(bytes);
    }
    Ok(found)
}

/// The first run whose prefix maximum reaches a time: binary search over offsets, one seek a step.
pub async fn find_by_time(
    store: &MetadataStore,
    partition: TopicPartition,
    tail: &TailState,
    timestamp_ms: i64,
) -> Result<Option<Run>, ReadError> {
    if tail.prefix_max_timestamp_ms < timestamp_ms {
        return Ok(None);
    }
    let (mut low, mut high) = (tail.log_start_offset, tail.next_offset);
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let Some(run) = page(store, partition, tail, middle, 1).await?.pop() else { break };
        if run.prefix_max_timestamp_ms >= timestamp_ms {
            high = run.base_offset;
            found = Some(run);
        } else {
            low = run.next_offset();
        }
    }
    Ok(found)
}
