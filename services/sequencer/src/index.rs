//! Reading the index: pages of runs, bytes of inline ones, and search by time.

use bytes::Bytes;
use eagre_metadata::{
    MetadataStore, ReadError,
    rows::{InlineObject, RunKey, RunRow},
};
use eagre_model::{ObjectId, Run, RunKind, TopicPartition};
use eagre_sequencer_api::{INLINE_READ_BYTES_MAX, INLINE_READ_RUNS_MAX};

use crate::{inline::bytes_of, judge::TailState};

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
    let mut last = None;
    for last_offset in last_offsets.iter().copied().take(INLINE_READ_RUNS_MAX) {
        let run = match (0..end).contains(&last_offset) {
            true => store.get::<RunRow>(&RunKey { partition, last_offset }).await?,
            false => None,
        };
        let bytes = match run.filter(|run| run.kind == RunKind::Inline) {
            Some(run) => read(store, &run, &mut last).await?,
            None => None,
        };
        size_bytes += bytes.as_ref().map_or(0, Bytes::len);
        if size_bytes > INLINE_READ_BYTES_MAX && !found.is_empty() {
            break;
        }
        found.push(bytes);
    }
    Ok(found)
}

/// The bytes of an inline run; `last` is the object that was read last.
async fn read(
    store: &MetadataStore,
    run: &Run,
    last: &mut Option<(ObjectId, Bytes)>,
) -> Result<Option<Bytes>, ReadError> {
    let object = match last.take().filter(|(object, _)| *object == run.object) {
        Some((_, bytes)) => Some(bytes),
        None => store.get::<InlineObject>(&run.object).await?.map(|row| row.bytes),
    };
    let Some(object) = object else { return Ok(None) };
    // A copy: who keeps it would keep the whole object, or the object of the log that it was replayed from. Beyond its object:
    // corrupt, which the reader says of bytes that are missing for good.
    let bytes = bytes_of(run, &object).ok().map(|bytes| Bytes::copy_from_slice(&bytes));
    *last = Some((run.object, object));
    Ok(bytes)
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
