//! The log: several flushes in flight, answered in order, and never more than a prefix of them after a crash.

use std::time::Duration;

use eagre_env::{PlantedBug, Randomness, SeededRandomness};
use eagre_metadata::{MetadataStore, OpenError, RowKind, StoreSettings, WriteError, rows::Tail};
use futures::{FutureExt, StreamExt, future::join_all, stream::FuturesUnordered};
use object_store::{Error, ObjectStoreExt, PutMode, path::Path};
use tokio::time::Instant;

use crate::{
    bucket::TestBucket,
    slate,
    world::{commit, env, eventually, next_offset, open, open_with, partition, tail},
};

const LATENCY: Duration = Duration::from_millis(40);
const LONG: Duration = Duration::from_secs(600);

/// The object of a new store's n-th flush: one fence, 64 numbers skipped.
fn object(flush: u64) -> Path {
    numbered(64 + flush)
}

fn numbered(id: u64) -> Path {
    Path::from(format!("meta/0/wal/{id:020}.wal"))
}

#[tokio::test(start_paused = true)]
async fn flushes_that_meet_share_the_time_of_one() {
    let bucket = TestBucket::new();
    let store = open(&env(1), &bucket).await.unwrap();
    bucket.set(|faults| faults.latency = LATENCY);
    bucket.forget_requests();
    let started = Instant::now();
    let store = &store;
    join_all((0..8).map(|n| async move {
        tokio::time::sleep(Duration::from_millis(n)).await;
        store.write(tail(n, 1)).await.unwrap();
        store.flush().await.unwrap();
    }))
    .await;
    assert_eq!(bucket.count("PUT", "/wal/"), 8);
    assert_eq!(started.elapsed(), LATENCY + Duration::from_millis(7));
}

/// The second object is there long before the first, but its flush is not done before the first one's.
#[tokio::test(start_paused = true)]
async fn flushes_are_done_in_order() {
    let bucket = TestBucket::new();
    let store = open(&env(1), &bucket).await.unwrap();
    let slow = Duration::from_secs(3);
    bucket.set(|faults| faults.slow = Some(("00000065.wal", slow)));
    store.write(tail(1, 1)).await.unwrap();
    let mut first = Box::pin(store.flush());
    assert!(first.as_mut().now_or_never().is_none());
    tokio::time::sleep(Duration::from_millis(10)).await;
    store.write(tail(2, 1)).await.unwrap();
    let mut second = Box::pin(store.flush());
    assert!(second.as_mut().now_or_never().is_none());
    eventually("the second object is there", async || bucket.objects(object(2).as_ref()).await.len() == 1).await;
    assert_eq!(bucket.objects(object(1).as_ref()).await.len(), 0);
    assert!(second.as_mut().now_or_never().is_none());
    assert_eq!((next_offset(&store, 1).await, next_offset(&store, 2).await), (None, None), "neither is durable");
    assert_eq!(second.await, Ok(()));
    assert!(first.now_or_never().is_some());
    assert_eq!((next_offset(&store, 1).await, next_offset(&store, 2).await), (Some(1), Some(1)));
}

/// A crash with a gap: what lies behind it was never acknowledged, and nothing brings it back.
#[tokio::test(start_paused = true)]
async fn what_lies_behind_a_gap_is_nobodys() {
    let bucket = TestBucket::new();
    let store = open(&env(1), &bucket).await.unwrap();
    commit(&store, 1, 10).await;
    bucket.set(|faults| faults.slow = Some(("00000066.wal", LONG)));
    let mut flushes = Vec::new();
    for n in 2..=4 {
        store.write(tail(n, 10)).await.unwrap();
        flushes.push(Box::pin(store.flush()));
        assert!(flushes.last_mut().unwrap().as_mut().now_or_never().is_none());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let there = async |flush| bucket.objects(object(flush).as_ref()).await.len() == 1;
    eventually("the later objects are there", async || there(3).await && there(4).await).await;
    let late = tokio::spawn({
        // The first object's bytes as they are still on their way.
        let (from, to) = (object(3), object(2));
        let bucket = bucket.view();
        async move {
            let bytes = bucket.store().get(&from).await.unwrap().bytes().await.unwrap();
            tokio::time::sleep(LONG).await;
            bucket.store().put_opts(&to, bytes.into(), PutMode::Create.into()).await
        }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    store.abandon();
    for flush in flushes {
        assert!(flush.await.is_err());
    }
    for life in 0..3 {
        let again = open(&env(2 + life), &bucket.view()).await.unwrap();
        let offsets = [next_offset(&again, 1).await, next_offset(&again, 2).await, next_offset(&again, 3).await];
        assert_eq!(offsets, [Some(10), None, None], "life {life}");
        assert_eq!(next_offset(&again, 4).await, None, "life {life}");
        commit(&again, 100 + life, 1).await;
        tokio::time::sleep(LONG).await;
    }
    assert!(matches!(late.await.unwrap(), Err(Error::AlreadyExists { .. })), "the fence stands in its place");
}

/// A create that was applied although its answer was lost, or late, is the writer's own.
#[tokio::test(start_paused = true)]
async fn an_own_create_is_known_again() {
    for refuses_attributes in [false, true] {
        let bucket = TestBucket::new();
        bucket.set(|faults| faults.refuses_attributes = refuses_attributes);
        let store = open(&env(1), &bucket).await.unwrap();
        for n in 1..20 {
            bucket.set(|faults| faults.loses_answer = Some("/wal/"));
            commit(&store, 1, n).await;
            assert_eq!(next_offset(&store, 1).await, Some(n));
        }
    }
}

/// Somebody else's object under the next number: the flush is not done, whatever the object holds.
#[tokio::test(start_paused = true)]
async fn a_rivals_object_fences() {
    for others in [&b"another writer's"[..], b""] {
        let bucket = TestBucket::new();
        let store = open(&env(1), &bucket).await.unwrap();
        commit(&store, 1, 1).await;
        bucket.view().store().put(&object(2), others.to_vec().into()).await.unwrap();
        store.write(tail(1, 2)).await.unwrap();
        assert_eq!(store.flush().await, Err(WriteError::Fenced));
        assert_eq!(store.write(tail(1, 3)).await, Err(WriteError::Fenced));
    }
}

/// An object that is damaged stops the start: rows behind it were acknowledged.
#[tokio::test(start_paused = true)]
async fn a_damaged_object_is_told_and_not_skipped() {
    let bucket = TestBucket::new();
    let store = open(&env(1), &bucket).await.unwrap();
    for n in 1..=3 {
        commit(&store, n, 1).await;
    }
    store.abandon();
    let whole = bucket.store().get(&object(2)).await.unwrap().bytes().await.unwrap();
    let mut flipped = whole.to_vec();
    flipped[40] ^= 1;
    for damaged in [flipped, whole[..whole.len() - 1].to_vec(), b"EGRW".to_vec(), Vec::new()] {
        bucket.store().put(&object(2), damaged.into()).await.unwrap();
        let refused = open(&env(2), &bucket.view()).await;
        assert!(matches!(&refused, Err(OpenError::Unreadable(why)) if why.contains("damaged")), "{refused:?}");
    }
    bucket.store().put(&object(2), whole.into()).await.unwrap();
    let again = open(&env(3), &bucket.view()).await.unwrap();
    assert_eq!(next_offset(&again, 3).await, Some(1));
}

/// The first version of the bucket's format had SlateDB's own log: what stands there only is moved at the first start.
#[tokio::test(start_paused = true)]
async fn rows_of_slatedbs_own_log_are_taken_over() {
    let bucket = TestBucket::new();
    let old = slate::open_at("meta/0", &bucket).await;
    let (key, row) = (partition(1), Tail { next_offset: 77, size_bytes: 0, prefix_max_timestamp_ms: 0 });
    let (key, value) = (Tail::encode_key(&key), Tail::encode_value(&key, &row));
    old.put(key, value).await.unwrap();
    old.flush().await.unwrap();
    for life in 0..3 {
        let store = open(&env(2 + life), &bucket.view()).await.unwrap();
        assert_eq!(next_offset(&store, 1).await, Some(77), "life {life}");
        commit(&store, 2, i64::try_from(life).unwrap()).await;
    }
    // The writer of then is shut out.
    old.put(b"\x00\x00late", b"x").await.unwrap();
    assert!(old.flush().await.is_err());
}

/// Fences stay; all else goes when it is in tables and old, what was skipped included.
#[tokio::test(start_paused = true)]
async fn fences_stay_for_ever() {
    let bucket = TestBucket::new();
    let settings =
        StoreSettings { flushes_per_table: 4, table_age_min: Duration::from_secs(60), ..StoreSettings::for_folder() };
    for life in 0..5u64 {
        let store = open_with(&env(life), &bucket, settings.clone()).await.unwrap();
        // Each life has a fence, 63 numbers that are skipped, and 20 objects.
        let skipped = numbered(84 * life + 40);
        bucket.view().store().put(&skipped, vec![0; 100].into()).await.unwrap();
        for n in 1..=20 {
            commit(&store, life, n).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        store.abandon();
    }
    let store = open_with(&env(9), &bucket, settings).await.unwrap();
    for n in 1..=200 {
        commit(&store, 9, n).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let left = bucket.objects("/wal/").await;
    let mut fences = 0;
    for path in &left {
        let size = bucket.store().head(&Path::from(path.as_str())).await.unwrap().size;
        fences += usize::from(size == 38);
    }
    assert_eq!(fences, 6, "one a life, of {left:?}");
    assert!(left.len() < 80, "{left:?}");
    for life in 0..5 {
        assert_eq!(next_offset(&store, life).await, Some(20));
    }
}

/// Many lives with up to six flushes in flight, requests that take time, fail and lose their answers, and crashes at any
/// moment: what was acknowledged is there, and what is there is a prefix of what was written.
async fn prefix_story(seed: u64, bug: Option<PlantedBug>) -> Result<(), String> {
    let bucket = TestBucket::seeded(seed);
    bucket.set(|faults| faults.percent = Some((5, 5)));
    let env = env(seed).with_planted_bug(bug);
    let random = SeededRandomness::new(seed);
    let settings = StoreSettings { flushes_per_table: 9, ..StoreSettings::for_folder() };
    let (mut written, mut acked) = (0u64, 0u64);
    for life in 0..6 {
        let opened = tokio::time::timeout(LONG, open_with(&env, &bucket, settings.clone())).await;
        let store = match opened {
            Ok(Ok(store)) => store,
            Ok(Err(OpenError::Fenced)) => continue,
            failed => return Err(format!("life {life}: not open: {failed:?}")),
        };
        let there = last_of_a_prefix(&store, written).await?;
        if there < acked {
            return Err(format!("life {life}: {acked} were acknowledged, {there} are there"));
        }
        written = there;
        let crash_at = written + random.below(40);
        let mut flushes = FuturesUnordered::new();
        while written < crash_at {
            written += 1;
            if store.write(tail(written, 1)).await.is_err() {
                break;
            }
            let (store, number) = (&store, written);
            flushes.push(async move { store.flush().await.map(|()| number) });
            let pause = tokio::time::sleep(Duration::from_micros(random.below(2_500)));
            let mut pause = std::pin::pin!(pause);
            loop {
                tokio::select! {
                    biased;
                    Some(done) = flushes.next() => acked = acked.max(done.unwrap_or(0)),
                    () = &mut pause, if flushes.len() < 6 => break,
                }
            }
        }
        store.abandon();
        while let Some(done) = flushes.next().await {
            acked = acked.max(done.unwrap_or(0));
        }
    }
    Ok(())
}

/// The number of the last row; all before it are there, and none after it up to `written`.
async fn last_of_a_prefix(store: &MetadataStore, written: u64) -> Result<u64, String> {
    let rows = store.scan::<Tail>(.., 10_000).await.map_err(|error| error.to_string())?;
    let numbers: Vec<u64> = rows.iter().map(|(partition, _)| partition.topic.0).collect();
    let last = numbers.len() as u64;
    if numbers.iter().copied().ne(1..=last) || last > written {
        return Err(format!("no prefix of {written}: {numbers:?}"));
    }
    Ok(last)
}

#[tokio::test(start_paused = true)]
async fn after_any_crash_a_prefix_is_there() {
    for seed in 0..150 {
        if let Err(violation) = prefix_story(seed, None).await {
            panic!("seed {seed}: {violation}");
        }
    }
}

/// The story would find it.
#[tokio::test(start_paused = true)]
async fn planted_bugs_of_the_log_are_found() {
    for bug in [PlantedBug::FlushOutOfOrder, PlantedBug::FenceTooShort] {
        let mut found = None;
        for seed in 0..150 {
            if let Err(violation) = prefix_story(seed, Some(bug)).await {
                found = Some((seed, violation));
                break;
            }
        }
        assert!(found.is_some(), "{bug:?} was not found");
    }
}
