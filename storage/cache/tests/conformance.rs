//! Both caches behave alike; the disk tier keeps what memory lets go.

use bytes::Bytes;
use eagre_cache::{DiskTier, FoyerCache, PageCache, PageKey, PlainCache, conformance};
use eagre_model::{ObjectId, UploadEpoch};

#[tokio::test]
async fn plain() {
    conformance::check(&PlainCache::new(conformance::CAPACITY_BYTES)).await;
}

#[tokio::test]
async fn foyer_in_memory() {
    conformance::check(&FoyerCache::in_memory(conformance::CAPACITY_BYTES)).await;
}

const PAGE_BYTES: usize = 256 * 1024;
const PAGES: u32 = 128;

fn key(page: u32) -> PageKey {
    PageKey { object: ObjectId { epoch: UploadEpoch(0), incarnation: 7, number: 9 }, page: Some(page) }
}

fn page(n: u32) -> Bytes {
    let bytes: Vec<u8> = (0..PAGE_BYTES).map(|i| (i as u32).wrapping_mul(n + 1).to_be_bytes()[2]).collect();
    bytes.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foyer_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = DiskTier { folder: folder.path().join("pages"), capacity_bytes: 256 * 1024 * 1024 };
    let cache = FoyerCache::with_disk(conformance::CAPACITY_BYTES, &disk).await.unwrap();
    conformance::check(&cache).await;
    for n in 0..PAGES {
        cache.insert(key(n), page(n));
    }
    assert!(cache.get(&key(0)).is_none(), "memory holds four of them");
    for n in 0..PAGES {
        assert!(cache.load(&key(n)).await == Some(page(n)), "page {n}");
    }
    cache.remove(&key(3));
    conformance::until_gone(&cache, &key(3)).await;
    cache.close().await;
    drop(cache);
    let reopened = FoyerCache::with_disk(conformance::CAPACITY_BYTES, &disk).await.unwrap();
    for n in (0..PAGES).filter(|n| *n != 3) {
        assert!(reopened.load(&key(n)).await == Some(page(n)), "page {n} after a restart");
    }
}

#[tokio::test]
async fn a_disk_tier_without_a_folder_says_so() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let disk = DiskTier { folder: file.path().join("below"), capacity_bytes: 64 * 1024 * 1024 };
    let error = FoyerCache::with_disk(conformance::CAPACITY_BYTES, &disk).await.unwrap_err().to_string();
    assert!(error.contains("cannot make the cache folder"), "{error}");
}
