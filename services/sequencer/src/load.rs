//! What a term begins with: the state of the shard, rebuilt from the store.

mod raise;

use std::collections::BTreeMap;

use eagre_env::HashMap;
use eagre_metadata::{
    Changes, MetadataStore, ReadError, RowKind, WriteError,
    rows::{
        InlineHead, InlineRecord, Meta, MetaName, MetaValue, Object, Partition, ROWS_FORMAT, ROWS_FORMAT_READ_MIN,
        Tail, Topic, TopicState,
    },
};
use eagre_model::{ObjectId, TopicPartition, UploadEpoch};

use crate::{
    clock::TermClock,
    inline::{InlineLimits, InlineRuns},
    judge::{FIRST_PRODUCER_ID, ProducerIds, TailState, View},
    numbers::Block,
    producers::{Producers, TopicProducers},
    settled::Settled,
    sweep::first_place,
    topics::{Topics, partitions},
};

/// The state of a producer in a topic may be so many times larger than that in a partition.
const TOPIC_PRODUCER_WEIGHT: usize = 8;
/// Before it, a producer id was taken from whoever made one up.
const ISSUED_IDS_FORMAT: u64 = 3;
/// Before it, each inline run had a row of its bytes.
const INLINE_OBJECTS_FORMAT: u64 = 4;
/// So many bytes of values are read at a time.
const PAGE_BYTES: usize = 256 << 10;
/// How many numbers a durable block holds: a restart loses what is left of one.
const INCARNATIONS_PER_BLOCK: u64 = 16;
const PRODUCER_IDS_PER_BLOCK: u64 = 1_000;

/// The state at the start of a term.
#[derive(Debug)]
pub struct Loaded {
    /// Tails of all partitions; no producers yet, they come with their first use.
    pub view: View,
    /// The live topics.
    pub topics: Topics,
    /// Incarnations of gateways.
    pub incarnations: Block,
    /// Producer ids.
    pub producer_ids: Block,
    /// Of the term.
    pub clock: TermClock,
    /// E and F.
    pub epochs: Epochs,
    /// Those of this term; what an earlier one left is adopted later.
    pub inline: InlineRuns,
    /// What gateways will not ask for again.
    pub settled: Settled,
}

/// The upload epochs of a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    /// E: for new objects.
    pub current: UploadEpoch,
    /// F: objects below are refused, unless their commit record exists.
    pub floor: UploadEpoch,
    /// The floor before this term; records from here to the floor are looked through.
    pub floor_before: UploadEpoch,
}

/// Why the state cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// See [`ReadError`].
    #[error(transparent)]
    Read(#[from] ReadError),
    /// See [`WriteError`].
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The rows are of another version than this program's.
    #[error("the metadata has format {0}, this version of Eagre reads formats {ROWS_FORMAT_READ_MIN} to {ROWS_FORMAT}")]
    OtherFormat(u64),
    /// The rows were made in another bucket.
    #[error("the metadata belongs to the bucket {found}, this is {expected}")]
    OtherBucket {
        /// The cluster id in the rows.
        found: String,
        /// The bucket's.
        expected: String,
    },
    /// The rows contradict each other.
    #[error("the metadata is inconsistent: {0}")]
    Inconsistent(String),
}

/// Reads the state and notes what the start of the term changes: to be written and flushed, if anything, before the
/// first commit.
pub async fn load(
    store: &MetadataStore,
    cluster_id: &str,
    clock: TermClock,
    producers_max: usize,
    inline: InlineLimits,
) -> Result<(Loaded, Changes), LoadError> {
    let mut changes = Changes::new();
    let meta: BTreeMap<MetaName, MetaValue> = scan_all::<Meta>(store).await?.into_iter().collect();
    check_identity(&meta, cluster_id, &mut changes)?;
    let number = |name| meta.get(&name).and_then(MetaValue::number);
    let epochs = begin_epoch(store, number(MetaName::UploadEpoch), number(MetaName::UploadFloor), &mut changes).await?;
    let next_topic = number(MetaName::NextTopicNumber).unwrap_or(1);
    let (topics, tails) = load_topics(store, next_topic).await?;
    let next_incarnation = number(MetaName::NextIncarnation).unwrap_or(1);
    let mut next_producer_id = number(MetaName::NextProducerId).unwrap_or(FIRST_PRODUCER_ID);
    let forgotten_below = number(MetaName::ProducersForgottenBelow).unwrap_or(0);
    let mut heads: BTreeMap<_, _> = scan_all::<InlineHead>(store).await?.into_iter().collect();
    let format = number(MetaName::Format).unwrap_or(ROWS_FORMAT);
    if format < ISSUED_IDS_FORMAT {
        next_producer_id = next_producer_id.max(raise::first_unused_producer_id(store).await?);
        changes.put::<Meta>(&MetaName::NextProducerId, &MetaValue::Number(next_producer_id));
    }
    if format < INLINE_OBJECTS_FORMAT {
        heads.extend(raise::inline_objects(store, &mut changes).await?);
    }
    let loaded = Loaded {
        view: View {
            tails,
            ids: ProducerIds { unissued_from: next_producer_id, forgotten_below },
            producers: Producers::new(producers_max),
            topic_producers: TopicProducers::new(producers_max / TOPIC_PRODUCER_WEIGHT),
        },
        topics,
        incarnations: Block::starting_at(next_incarnation, INCARNATIONS_PER_BLOCK),
        producer_ids: Block::starting_at(next_producer_id, PRODUCER_IDS_PER_BLOCK),
        clock,
        epochs,
        inline: InlineRuns::new(inline, heads),
        settled: Settled::default(),
    };
    Ok((loaded, changes))
}

/// The planted bug [`PlantedBug::OffsetReused`]: the tails of the abandoned store are taken over.
///
/// [`PlantedBug::OffsetReused`]: eagre_env::PlantedBug::OffsetReused
pub fn reuse_tails(view: &mut View, abandoned: Option<HashMap<TopicPartition, TailState>>) {
    for (partition, tail) in abandoned.into_iter().flatten() {
        view.tails.entry(partition).and_modify(|found| *found = tail);
    }
}

fn check_identity(
    meta: &BTreeMap<MetaName, MetaValue>,
    cluster_id: &str,
    changes: &mut Changes,
) -> Result<(), LoadError> {
    match meta.get(&MetaName::Format) {
        // A start that was cut short leaves the format alone.
        None | Some(MetaValue::Number(ROWS_FORMAT_READ_MIN..=ROWS_FORMAT))
            if meta.len() == usize::from(meta.contains_key(&MetaName::Format)) =>
        {
            changes.put::<Meta>(&MetaName::Format, &MetaValue::Number(ROWS_FORMAT));
            changes.put::<Meta>(&MetaName::ClusterId, &MetaValue::Text(cluster_id.into()));
            return Ok(());
        }
        Some(MetaValue::Number(ROWS_FORMAT)) => {}
        // New rows are of the new format; those that there are stay readable, or are made anew below.
        Some(MetaValue::Number(ROWS_FORMAT_READ_MIN..ROWS_FORMAT)) => {
            changes.put::<Meta>(&MetaName::Format, &MetaValue::Number(ROWS_FORMAT));
        }
        Some(MetaValue::Number(other)) => return Err(LoadError::OtherFormat(*other)),
        _ => return Err(LoadError::Inconsistent("no format".into())),
    }
    match meta.get(&MetaName::ClusterId) {
        Some(MetaValue::Text(found)) if found == cluster_id => Ok(()),
        Some(MetaValue::Text(found)) => {
            Err(LoadError::OtherBucket { found: found.clone(), expected: cluster_id.into() })
        }
        _ => Err(LoadError::Inconsistent("no cluster id".into())),
    }
}

/// A new upload epoch when objects were committed under the present one; the floor is the epoch before it.
async fn begin_epoch(
    store: &MetadataStore,
    epoch: Option<u64>,
    floor: Option<u64>,
    changes: &mut Changes,
) -> Result<Epochs, LoadError> {
    let mut put = |name, value| changes.put::<Meta>(&name, &MetaValue::Number(value));
    let (epoch, floor) = match (epoch, floor) {
        (Some(epoch), Some(floor)) => (epoch, floor),
        (None, None) => {
            put(MetaName::UploadEpoch, 1);
            put(MetaName::UploadFloor, 1);
            (1, 1)
        }
        _ => return Err(LoadError::Inconsistent("an upload epoch without its floor".into())),
    };
    let first_of_epoch = ObjectId { epoch: UploadEpoch(epoch), incarnation: 0, number: 0 };
    let is_used = !store.scan::<Object>(first_of_epoch.., 1).await?.is_empty()
        || !store.scan::<InlineRecord>(first_place(UploadEpoch(epoch)).., 1).await?.is_empty();
    let (current, new_floor) = if is_used { (epoch + 1, epoch) } else { (epoch, floor) };
    if is_used {
        put(MetaName::UploadEpoch, current);
        put(MetaName::UploadFloor, new_floor);
    }
    let (current, floor, floor_before) = (UploadEpoch(current), UploadEpoch(new_floor), UploadEpoch(floor));
    Ok(Epochs { current, floor, floor_before })
}

async fn load_topics(
    store: &MetadataStore,
    next_number: u64,
) -> Result<(Topics, HashMap<TopicPartition, TailState>), LoadError> {
    let mut topics = Topics { live: BTreeMap::new(), next_number };
    let mut tails = HashMap::default();
    for (number, topic) in scan_all::<Topic>(store).await? {
        if number.0 >= next_number {
            return Err(LoadError::Inconsistent(format!("topic {} lies above the next number", number.0)));
        }
        if topic.state == TopicState::Live {
            tails.extend(partitions(&topic.record).map(|partition| (partition, TailState::EMPTY)));
            topics.live.insert(topic.record.name.clone(), topic.record);
        }
    }
    // Rows of deleted topics are still there: they find no partition.
    each::<Partition>(store, |partition, row| {
        tails.entry(partition).and_modify(|tail| tail.log_start_offset = row.log_start_offset);
    })
    .await?;
    each::<Tail>(store, |partition, row| {
        tails.entry(partition).and_modify(|tail| tail.set(&row));
    })
    .await?;
    Ok((topics, tails))
}

async fn scan_all<R: RowKind>(store: &MetadataStore) -> Result<Vec<(R::Key, R::Value)>, ReadError>
where
    R::Key: Clone,
{
    let mut all = Vec::new();
    each::<R>(store, |key, value| all.push((key, value))).await?;
    Ok(all)
}

/// Every row of a kind, page by page.
async fn each<R: RowKind>(store: &MetadataStore, mut see: impl FnMut(R::Key, R::Value)) -> Result<(), ReadError>
where
    R::Key: Clone,
{
    let mut pages = store.pages::<R>(.., PAGE_BYTES);
    while let Some(page) = pages.next().await? {
        page.into_iter().for_each(|(key, value)| see(key, value));
    }
    Ok(())
}
