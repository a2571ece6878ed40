//! What every [`PageCache`] does, as a test. It panics at the first difference.

use bytes::Bytes;
use eagre_model::{ObjectId, UploadEpoch};

use crate::{ENTRY_OVERHEAD_BYTES, PageCache, PageKey};

/// The capacity that [`check`] expects of the cache.
pub const CAPACITY_BYTES: usize = 1024 * 1024;

const PAGE_BYTES: usize = 64 * 1024;
const LOADS_MAX: u32 = 1_000_000;

/// Puts an empty cache of [`CAPACITY_BYTES`] to the test.
pub async fn check(cache: &dyn PageCache) {
    keeps_what_is_inserted(cache).await;
    tells_keys_apart(cache);
    replaces_and_removes(cache).await;
    stays_below_its_capacity(cache);
    keeps_what_is_used(cache);
    refuses_what_is_too_large(cache).await;
}

/// Removes what was on its way to a slower tier until it has got there and is gone.
pub async fn until_gone(cache: &dyn PageCache, key: &PageKey) {
    for _ in 0..LOADS_MAX {
        if cache.load(key).await.is_none() {
            return;
        }
        cache.remove(key);
    }
    unreachable!("{key:?} stays in a slower tier");
}

fn key(number: u64, page: Option<u32>) -> PageKey {
    PageKey { object: ObjectId { epoch: UploadEpoch(1), incarnation: 1, number }, page }
}

fn page(fill: u8) -> Bytes {
    Bytes::from(vec![fill; PAGE_BYTES])
}

async fn keeps_what_is_inserted(cache: &dyn PageCache) {
    assert_eq!(cache.usage_bytes(), 0, "the cache is empty at first");
    assert!(cache.get(&key(1, None)).is_none());
    assert!(cache.load(&key(1, None)).await.is_none());
    cache.insert(key(1, None), page(1));
    assert!(cache.get(&key(1, None)) == Some(page(1)));
    cache.insert(key(1, Some(0)), Bytes::new());
    assert!(cache.get(&key(1, Some(0))) == Some(Bytes::new()), "an empty entry is an entry");
    assert!(cache.usage_bytes() >= PAGE_BYTES + 2 * ENTRY_OVERHEAD_BYTES, "overhead is counted");
}

fn tells_keys_apart(cache: &dyn PageCache) {
    let object = |epoch, incarnation, number| ObjectId { epoch: UploadEpoch(epoch), incarnation, number };
    let keys = [
        PageKey { object: object(1, 2, 3), page: None },
        PageKey { object: object(1, 2, 3), page: Some(0) },
        PageKey { object: object(1, 2, 3), page: Some(1) },
        PageKey { object: object(1, 2, 4), page: None },
        PageKey { object: object(1, 3, 3), page: None },
        PageKey { object: object(2, 2, 3), page: None },
    ];
    for (fill, key) in (10..).zip(keys) {
        cache.insert(key, Bytes::from(vec![fill; 10]));
    }
    for (fill, key) in (10..).zip(keys) {
        assert_eq!(cache.get(&key), Some(Bytes::from(vec![fill; 10])), "{key:?}");
    }
}

async fn replaces_and_removes(cache: &dyn PageCache) {
    let before = cache.usage_bytes();
    cache.insert(key(2, Some(5)), page(1));
    cache.insert(key(2, Some(5)), page(2));
    assert!(cache.get(&key(2, Some(5))) == Some(page(2)));
    assert_eq!(cache.usage_bytes(), before + PAGE_BYTES + ENTRY_OVERHEAD_BYTES, "what is replaced is not counted");
    cache.remove(&key(2, Some(5)));
    assert!(cache.get(&key(2, Some(5))).is_none(), "removed from memory");
    until_gone(cache, &key(2, Some(5))).await;
    assert_eq!(cache.usage_bytes(), before);
}

fn stays_below_its_capacity(cache: &dyn PageCache) {
    for number in 0..200 {
        cache.insert(key(1_000 + number, Some(0)), page(3));
        assert!(cache.usage_bytes() <= CAPACITY_BYTES, "{} bytes", cache.usage_bytes());
    }
    assert!(cache.usage_bytes() >= CAPACITY_BYTES / 2, "most of the capacity is used");
    assert!(cache.get(&key(1_000, Some(0))).is_none(), "the oldest is gone");
    assert!(cache.get(&key(1_199, Some(0))) == Some(page(3)), "the newest is there");
}

fn keeps_what_is_used(cache: &dyn PageCache) {
    cache.insert(key(5_000, None), page(4));
    for number in 0..200 {
        cache.insert(key(6_000 + number, Some(0)), page(5));
        assert!(cache.get(&key(5_000, None)) == Some(page(4)), "an entry that is used stays");
    }
}

async fn refuses_what_is_too_large(cache: &dyn PageCache) {
    let huge = Bytes::from(vec![0; CAPACITY_BYTES]);
    cache.insert(key(7_000, None), page(6));
    cache.insert(key(7_000, None), huge);
    assert!(cache.get(&key(7_000, None)).is_none(), "neither the old bytes nor the ones that do not fit");
    until_gone(cache, &key(7_000, None)).await;
    assert!(cache.usage_bytes() <= CAPACITY_BYTES);
}
