//! The known bugs bite where they should, and nowhere else.

use std::sync::Arc;

use eagre_cache::{CacheSettings, PageCaches, PageKey};
use eagre_env::{Env, PlantedBug};
use eagre_log::{ReaderSettings, RunReader};
use eagre_objects::{Bucket, BucketKind};

use crate::{
    common::{batch, id, partition, rows},
    store::{Fault, WatchedStore},
};

struct World {
    store: Arc<WatchedStore>,
    bucket: Bucket,
    caches: PageCaches,
    reader: RunReader,
}

async fn world(bug: PlantedBug) -> World {
    let (env, store) = (Env::system().with_planted_bug(Some(bug)), Arc::new(WatchedStore::default()));
    let bucket = Bucket::from_store(&env, store.clone(), BucketKind::Memory).await.unwrap();
    let caches = PageCaches::plain(&CacheSettings::default());
    let reader = RunReader::new(&env, bucket.clone(), caches.clone(), &ReaderSettings::default());
    store.take_gets();
    World { store, bucket, caches, reader }
}

fn object(number: u64) -> eagre_log::WalObject {
    let mut builder = eagre_log::WalObjectBuilder::new();
    let (bytes, valid) = batch(number, 2, 1_000);
    builder.push(partition(1, 0), bytes, &valid);
    builder.finish(id(number))
}

#[tokio::test]
async fn a_stale_cache_page_gives_the_bytes_of_another_object() {
    let world = world(PlantedBug::StaleCachePage).await;
    let (one, other) = (object(8), object(9));
    world.reader.insert_written(one.id, one.bytes.clone());
    let served = world.reader.read(&rows(&other)[0]).await.unwrap();
    assert_eq!(served, one.bytes[..served.len()], "object 8 in the place of object 9");
    world.caches.written.remove(&PageKey { object: id(4), page: None });
    for object in [&one, &other] {
        world.bucket.put(&object.id.key(), object.bytes.clone()).await.unwrap();
    }
    assert_eq!(world.reader.read(&rows(&other)[0]).await.unwrap(), other.bytes[..served.len()], "nothing is cached");
    assert_eq!(world.reader.read(&rows(&one)[0]).await.unwrap(), other.bytes[..served.len()], "a page is");
}

#[tokio::test]
async fn a_truncated_read_is_served() {
    let world = world(PlantedBug::TruncatedRead).await;
    let object = object(8);
    world.bucket.put(&object.id.key(), object.bytes.clone()).await.unwrap();
    world.store.next_gets([Fault::Short(700)]);
    assert_eq!(world.reader.read(&rows(&object)[0]).await.unwrap(), object.bytes[..700]);
}
