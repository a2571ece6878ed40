//! Reading runs: from memory, by few requests, and never anything wrong.

use std::sync::Arc;

use bytes::Bytes;
use eagre_cache::{CacheSettings, PageCaches, PageKey};
use eagre_env::Env;
use eagre_log::{PAGE_BYTES, ReadError, ReaderSettings, RunReader, WalObject, WalObjectBuilder};
use eagre_model::Run;
use eagre_objects::{Bucket, BucketKind};
use futures::future::{join, join_all};

use crate::{
    common::{batch, id, partition, rows},
    store::{Fault, WatchedStore},
};

const MIB: usize = 1024 * 1024;

struct World {
    store: Arc<WatchedStore>,
    bucket: Bucket,
    caches: PageCaches,
    reader: RunReader,
}

impl World {
    async fn new() -> Self {
        Self::with(CacheSettings::default(), ReaderSettings::default()).await
    }

    async fn with(cache: CacheSettings, reader: ReaderSettings) -> Self {
        let (env, store) = (Env::system(), Arc::new(WatchedStore::default()));
        let bucket = Bucket::from_store(&env, store.clone(), BucketKind::Memory).await.unwrap();
        let caches = PageCaches::plain(&cache);
        let reader = RunReader::new(&env, bucket.clone(), caches.clone(), &reader);
        store.take_gets();
        Self { store, bucket, caches, reader }
    }

    async fn put(&self, object: &WalObject) {
        self.bucket.put(&object.id.key(), object.bytes.clone()).await.unwrap();
    }

    fn cached_page(&self, number: u64, page: u32) -> Option<Bytes> {
        self.caches.pages.get(&PageKey { object: id(number), page: Some(page) })
    }
}

/// An object of `partitions` runs of about `run_bytes` each.
fn object(number: u64, partitions: u32, run_bytes: usize) -> WalObject {
    let mut builder = WalObjectBuilder::new();
    for p in 0..partitions {
        let batches = run_bytes.div_ceil(MIB).max(1);
        for n in 0..batches {
            let (bytes, valid) = batch(number * 1_000 + u64::from(p) * 100 + n as u64, 1, run_bytes / batches);
            builder.push(partition(1, p), bytes, &valid);
        }
    }
    builder.finish(id(number))
}

fn stored(object: &WalObject, run: &Run) -> Bytes {
    let start = usize::try_from(run.position_bytes).unwrap();
    object.bytes.slice(start..start + run.length_bytes as usize)
}

#[tokio::test]
async fn what_was_written_here_is_read_from_memory() {
    let world = World::new().await;
    let object = object(1, 4, 10_000);
    world.reader.insert_written(object.id, object.bytes.clone());
    for run in rows(&object) {
        assert_eq!(world.reader.read(&run).await.unwrap(), stored(&object, &run));
    }
    assert_eq!(world.store.take_gets(), [], "the object is not even in the bucket");
}

#[tokio::test]
async fn a_small_object_is_one_request() {
    let world = World::new().await;
    let object = object(1, 10, 10_000);
    world.put(&object).await;
    for run in rows(&object) {
        assert_eq!(world.reader.read(&run).await.unwrap(), stored(&object, &run));
    }
    assert_eq!(world.store.take_gets(), std::slice::from_ref(&(0..PAGE_BYTES)));
}

#[tokio::test]
async fn adjacent_missing_pages_are_one_request() {
    let world = World::new().await;
    let object = object(1, 1, 5 * MIB);
    world.put(&object).await;
    let run = rows(&object)[0];
    assert_eq!(world.reader.read(&run).await.unwrap(), stored(&object, &run));
    assert_eq!(world.store.take_gets(), std::slice::from_ref(&(0..6 * PAGE_BYTES)));
    for page in 0..6 {
        let cached = world.cached_page(1, page).expect("every page is kept");
        assert!(cached.len() <= MIB);
    }
    assert_eq!(world.reader.read(&run).await.unwrap(), stored(&object, &run), "assembled from six pages");
    world.caches.pages.remove(&PageKey { object: id(1), page: Some(1) });
    world.caches.pages.remove(&PageKey { object: id(1), page: Some(3) });
    world.caches.pages.remove(&PageKey { object: id(1), page: Some(4) });
    assert_eq!(world.store.take_gets(), []);
    assert_eq!(world.reader.read(&run).await.unwrap(), stored(&object, &run), "and from pages and requests");
    assert_eq!(world.store.take_gets(), [PAGE_BYTES..2 * PAGE_BYTES, 3 * PAGE_BYTES..5 * PAGE_BYTES]);
}

#[tokio::test]
async fn neighbours_share_pages() {
    let world = World::new().await;
    let object = object(1, 8, MIB);
    world.put(&object).await;
    for run in rows(&object) {
        assert_eq!(world.reader.read(&run).await.unwrap(), stored(&object, &run));
    }
    let gets = world.store.take_gets();
    let fetched: u64 = gets.iter().map(|get| get.end - get.start).sum();
    assert_eq!(fetched, 9 * PAGE_BYTES, "every page once: {gets:?}");
}

#[tokio::test]
async fn readers_of_one_page_wait_for_one_request() {
    let world = World::new().await;
    let object = object(1, 20, 10_000);
    world.put(&object).await;
    let held = world.store.hold_gets();
    let runs = rows(&object);
    let reads = join_all(runs.iter().map(|run| world.reader.read(run)));
    let release = async {
        world.store.until_waiting(1).await;
        drop(held);
    };
    let (read, ()) = join(reads, release).await;
    for (read, run) in read.into_iter().zip(&runs) {
        assert_eq!(read.unwrap(), stored(&object, run));
    }
    assert_eq!(world.store.take_gets().len(), 1);
}

#[tokio::test]
async fn a_reader_that_goes_away_takes_nothing_from_the_others() {
    let world = World::new().await;
    let object = object(1, 2, 10_000);
    world.put(&object).await;
    let runs = rows(&object);
    let held = world.store.hold_gets();
    let mut first = Box::pin(world.reader.read(&runs[0]));
    assert!(futures::poll!(&mut first).is_pending());
    let mut second = Box::pin(world.reader.read(&runs[1]));
    assert!(futures::poll!(&mut second).is_pending());
    drop(first);
    drop(held);
    assert_eq!(second.await.unwrap(), stored(&object, &runs[1]));
    assert_eq!(world.store.take_gets().len(), 1, "the request that the first one began went on");

    world.caches.pages.remove(&PageKey { object: id(1), page: Some(0) });
    let held = world.store.hold_gets();
    let mut alone = Box::pin(world.reader.read(&runs[0]));
    assert!(futures::poll!(&mut alone).is_pending());
    drop(alone);
    drop(held);
    assert_eq!(world.reader.read(&runs[0]).await.unwrap(), stored(&object, &runs[0]), "a new request is made");
}

#[tokio::test]
async fn bytes_under_way_are_bounded() {
    let settings = ReaderSettings { fetching_bytes_max: 4 * MIB };
    let world = World::with(CacheSettings::default(), settings).await;
    let objects: Vec<_> = (0..6).map(|number| object(number, 1, 3 * MIB / 2)).collect();
    for object in &objects {
        world.put(object).await;
    }
    let huge = object(9, 1, 6 * MIB);
    world.put(&huge).await;
    let held = world.store.hold_gets();
    let runs: Vec<_> = objects.iter().map(|object| rows(object)[0]).collect();
    let mut reads: Vec<_> = runs.iter().map(|run| Box::pin(world.reader.read(run))).collect();
    for read in &mut reads {
        assert!(futures::poll!(read).is_pending());
    }
    assert_eq!(world.store.waiting(), 2, "two requests of 2 MiB are under way, four wait for their turn");
    drop(held);
    for (read, object) in join_all(reads).await.into_iter().zip(&objects) {
        assert_eq!(read.unwrap(), stored(object, &rows(object)[0]));
    }
    let run = rows(&huge)[0];
    assert_eq!(world.reader.read(&run).await.unwrap(), stored(&huge, &run), "more than the bound at a time, alone");
}

#[tokio::test]
async fn catching_up_does_not_push_out_the_tail() {
    let cache = CacheSettings { pages_bytes: 2 * MIB, ..CacheSettings::default() };
    let world = World::with(cache, ReaderSettings::default()).await;
    let tail = object(1, 2, 100_000);
    world.reader.insert_written(tail.id, tail.bytes.clone());
    for number in 10..16 {
        let old = object(number, 1, MIB);
        world.put(&old).await;
        world.reader.read(&rows(&old)[0]).await.unwrap();
    }
    world.store.take_gets();
    for run in rows(&tail) {
        assert_eq!(world.reader.read(&run).await.unwrap(), stored(&tail, &run));
    }
    assert_eq!(world.store.take_gets(), []);
    assert!(world.caches.pages.usage_bytes() <= 2 * MIB);
}

#[tokio::test]
async fn small_runs_do_not_keep_large_buffers() {
    let world = World::new().await;
    let object = object(1, 40, 20_000);
    world.reader.insert_written(object.id, object.bytes.clone());
    let run = rows(&object)[7];
    let whole = object.bytes.as_ptr_range();
    let read = world.reader.read(&run).await.unwrap();
    assert!(!whole.contains(&read.as_ptr()), "copied");
    let large = rows(&self::object(2, 1, 20_000))[0];
    let written = self::object(2, 1, 20_000).bytes;
    world.reader.insert_written(id(2), written.clone());
    let read = world.reader.read(&large).await.unwrap();
    assert!(written.as_ptr_range().contains(&read.as_ptr()), "not copied");
}

fn flipped(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

#[tokio::test]
async fn what_is_corrupt_in_memory_is_fetched_again() {
    let world = World::new().await;
    let object = object(1, 3, 10_000);
    world.put(&object).await;
    let run = rows(&object)[1];
    let broken = flipped(&object.bytes, usize::try_from(run.position_bytes).unwrap() + 5);
    world.reader.insert_written(object.id, broken.clone());
    let key = PageKey { object: object.id, page: Some(0) };
    for bad in [broken, object.bytes.slice(..100), Bytes::new(), self::object(2, 3, 10_000).bytes] {
        world.caches.pages.insert(key, bad);
        assert_eq!(world.reader.read(&run).await.unwrap(), stored(&object, &run));
        assert_eq!(world.store.take_gets().len(), 1, "once from the bucket");
        assert_eq!(world.caches.pages.get(&key), Some(object.bytes.clone()), "the page was replaced");
    }
}

#[tokio::test]
async fn what_is_corrupt_in_the_bucket_is_never_served() {
    let world = World::new().await;
    let object = object(1, 3, 10_000);
    let runs = rows(&object);
    let broken = flipped(&object.bytes, usize::try_from(runs[1].position_bytes).unwrap() + 5);
    world.bucket.put(&object.id.key(), broken).await.unwrap();
    let error = world.reader.read(&runs[1]).await.unwrap_err();
    assert!(matches!(error, ReadError::Corrupt { .. }), "{error}");
    assert_eq!(world.store.take_gets().len(), 2, "fetched twice before it is called corrupt");
    assert_eq!(world.reader.read(&runs[0]).await.unwrap(), stored(&object, &runs[0]), "its neighbours are served");
    for length in [0, 100, usize::try_from(runs[2].position_bytes).unwrap() + 1] {
        let world = World::new().await;
        world.bucket.put(&object.id.key(), object.bytes.slice(..length)).await.unwrap();
        let error = world.reader.read(&runs[2]).await.unwrap_err();
        assert!(matches!(error, ReadError::Corrupt { .. }), "an object cut to {length}: {error}");
    }
}

#[tokio::test]
async fn a_large_object_that_ends_before_the_run() {
    let world = World::new().await;
    let object = object(1, 4, MIB);
    world.bucket.put(&object.id.key(), object.bytes.slice(..MIB)).await.unwrap();
    let error = world.reader.read(&rows(&object)[3]).await.unwrap_err();
    assert!(matches!(error, ReadError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_missing_object_is_missing() {
    let world = World::new().await;
    let runs = rows(&object(1, 2, 1_000));
    let error = world.reader.read(&runs[0]).await.unwrap_err();
    assert!(matches!(error, ReadError::Missing { object } if object == id(1)), "{error}");
    assert_eq!(world.store.take_gets().len(), 1);
}

#[tokio::test]
async fn a_body_that_ends_early_is_asked_for_again() {
    let world = World::new().await;
    let object = object(1, 2, 100_000);
    world.put(&object).await;
    let run = rows(&object)[1];
    world.store.next_gets([Fault::Short(1_000)]);
    assert_eq!(world.reader.read(&run).await.unwrap(), stored(&object, &run));
    world.caches.pages.remove(&PageKey { object: id(1), page: Some(0) });
    world.store.next_gets([Fault::Short(1_000), Fault::Short(0)]);
    let error = world.reader.read(&run).await.unwrap_err();
    assert!(matches!(error, ReadError::Unavailable { .. }), "{error}");
    world.store.next_gets([Fault::FlippedBit, Fault::None]);
    assert_eq!(world.reader.read(&run).await.unwrap(), stored(&object, &run));
}

#[tokio::test]
async fn a_bucket_without_an_answer_is_unavailable() {
    let world = World::new().await;
    let object = object(1, 2, 1_000);
    world.put(&object).await;
    let run = rows(&object)[0];
    world.store.next_gets([Fault::Error]);
    let error = world.reader.read(&run).await.unwrap_err();
    assert!(matches!(error, ReadError::Unavailable { .. }), "{error}");
    assert_eq!(world.reader.read(&run).await.unwrap(), stored(&object, &run), "nothing of it is kept");
}
