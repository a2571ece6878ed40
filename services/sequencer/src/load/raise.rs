//! Rows of earlier formats, made into what this one writes.

use std::collections::BTreeMap;

use bytes::Bytes;
use eagre_metadata::{
    Changes, MetadataStore, RowKind,
    rows::{InlineBytes, InlineHead, InlineObject, ObjectStream, Producer, RunKey, RunRow, TopicProducer},
};
use eagre_model::{ObjectId, ProducerId, Run, RunKind};
use tracing::error;

use super::LoadError;

const PAGE_BYTES: usize = 1 << 20;
/// No commit was larger.
const OBJECT_BYTES_MAX: usize = 16 << 20;

/// No service gives out so many ids in its life, so what a client made up beyond is in nobody's way.
const IDS_WITHIN_REACH: i64 = 1 << 62;

/// Up to format 2 a client might write under an id that nobody was given. Whoever is given one from now on gets one above all of
/// those: under the same, what it writes would pass for a repetition.
pub async fn first_unused_producer_id(store: &MetadataStore) -> Result<u64, LoadError> {
    let in_partitions = highest_id::<Producer>(store, |key| key.producer).await?;
    let in_topics = highest_id::<TopicProducer>(store, |key| key.producer).await?;
    Ok(in_partitions.max(in_topics).map_or(0, |id| id.unsigned_abs() + 1))
}

/// The highest id in the rows of one kind that is within reach.
async fn highest_id<R: RowKind>(
    store: &MetadataStore,
    id_of: impl Fn(&R::Key) -> ProducerId,
) -> Result<Option<i64>, LoadError>
where
    R::Key: Copy,
{
    let (mut highest, mut pages) = (None, store.pages::<R>(.., PAGE_BYTES));
    while let Some(page) = pages.next().await? {
        let ids = page.iter().map(|(key, _)| id_of(key).0).filter(|id| *id < IDS_WITHIN_REACH);
        highest = highest.max(ids.max());
    }
    Ok(highest)
}

/// Up to format 3 each inline run had its bytes under its own key. Returns the heads of the streams that have some. All of it is in memory
/// for a moment: that much is never left inline.
pub async fn inline_objects(
    store: &MetadataStore,
    changes: &mut Changes,
) -> Result<BTreeMap<ObjectStream, u64>, LoadError> {
    let mut objects = BTreeMap::<ObjectId, Vec<(RunKey, Run, Bytes)>>::new();
    let mut pages = store.pages::<InlineBytes>(.., PAGE_BYTES);
    while let Some(page) = pages.next().await? {
        let keys: Vec<RunKey> = page.iter().map(|(key, _)| *key).collect();
        let runs = store.get_all::<RunRow>(&keys).await?;
        for ((key, bytes), run) in page.into_iter().zip(runs) {
            changes.delete::<InlineBytes>(&key);
            match run.filter(|run| run.kind == RunKind::Inline) {
                Some(run) => objects.entry(run.object).or_default().push((key, run, bytes)),
                None => error!(partition = %key.partition, key.last_offset, "inline bytes without a run"),
            }
        }
    }
    let mut heads = BTreeMap::new();
    for (object, runs) in objects {
        let row =
            joined(&runs).ok_or_else(|| LoadError::Inconsistent(format!("inline bytes of {object} are too many")))?;
        changes.put::<InlineObject>(&object, &row);
        // By ascending numbers, so the first is the lowest.
        heads.entry(ObjectStream::of(object)).or_insert(object.number);
    }
    for (stream, head) in &heads {
        changes.put::<InlineHead>(stream, head);
    }
    Ok(heads)
}

/// One object with every run at its position; what is between them belongs to runs that are elsewhere by now.
fn joined(runs: &[(RunKey, Run, Bytes)]) -> Option<InlineObject> {
    let mut whole = Vec::new();
    for (_, run, bytes) in runs {
        let start = usize::try_from(run.position_bytes).ok()?;
        let end = start.checked_add(bytes.len()).filter(|end| *end <= OBJECT_BYTES_MAX)?;
        whole.resize(whole.len().max(end), 0);
        whole[start..end].copy_from_slice(bytes);
    }
    Some(InlineObject { runs: runs.iter().map(|(key, ..)| *key).collect(), bytes: whole.into() })
}

#[cfg(test)]
mod tests {
    use eagre_model::{TopicNumber, TopicPartition, UploadEpoch};

    use super::*;

    fn run(position_bytes: u64, bytes: &'static [u8]) -> (RunKey, Run, Bytes) {
        let partition = TopicPartition { topic: TopicNumber(1), partition: 0 };
        let run = Run {
            kind: RunKind::Inline,
            base_offset: 0,
            last_offset: 0,
            object: ObjectId { epoch: UploadEpoch(0), incarnation: 0, number: 0 },
            position_bytes,
            length_bytes: u32::try_from(bytes.len()).unwrap(),
            batches: 1,
            crc32c: 0,
            prefix_max_timestamp_ms: 0,
        };
        (RunKey { partition, last_offset: 0 }, run, Bytes::from_static(bytes))
    }

    #[test]
    fn runs_stand_where_their_rows_say() {
        let whole = joined(&[run(6, b"cd"), run(1, b"ab")]).unwrap();
        assert_eq!((whole.runs.len(), &whole.bytes[..]), (2, &b"\0ab\0\0\0cd"[..]));
        assert_eq!(joined(&[run(u64::MAX, b"a")]), None);
        assert_eq!(joined(&[run(OBJECT_BYTES_MAX as u64, b"a")]), None);
    }
}
