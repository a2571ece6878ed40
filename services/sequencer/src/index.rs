//! Reading the index: pages of runs, and search by time.

use eagre_metadata::{
    MetadataStore, ReadError,
    rows::{RunKey, RunRow},
};
use eagre_model::{Run, TopicPartition};

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
