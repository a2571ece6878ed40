//! What Eagre relies on of a bucket, as a test that any store can be put to. It leaves nothing behind but what it could
//! not delete.
//!
//! A store that passes one after another may still fail races: some servers give a create-if-absent to several writers at
//! once. So the races are run with [`WRITERS`] at a time.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use eagre_env::Env;
use futures::{TryStreamExt, future::join_all};
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, path::Path};

/// Writers that race for one key.
pub const WRITERS: usize = 8;
/// Races that are run.
pub const RACES: usize = 20;

const LARGE_BYTES: usize = 9 * 1024 * 1024 + 1;

/// A promise that a bucket does not keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{check}: {detail}")]
pub struct Violation {
    /// Name of the check.
    pub check: &'static str,
    /// What was seen and what should have been.
    pub detail: String,
}

/// Runs every check below `check/<random>/` and returns what failed. Empty: the store can be used.
pub async fn check(env: &Env, store: Arc<dyn ObjectStore>) -> Vec<Violation> {
    let root = Path::from(format!("check/{:032x}", env.random.next_u128()));
    let bench = Bench { store, root };
    let results = [
        ("read after write", bench.read_after_write().await),
        ("ranged reads", bench.ranged_reads().await),
        ("missing objects", bench.missing_objects().await),
        ("create if absent", bench.create_if_absent().await),
        ("create races", bench.create_races().await),
        ("overwrite races", bench.overwrite_races().await),
        ("list", bench.list().await),
        ("delete", bench.delete().await),
        ("large object", bench.large_object().await),
        ("clean up", bench.clean_up().await),
    ];
    let failed = results.into_iter().filter_map(|(check, result)| result.err().map(|detail| (check, detail)));
    failed.map(|(check, detail)| Violation { check, detail }).collect()
}

struct Bench {
    store: Arc<dyn ObjectStore>,
    root: Path,
}

type Outcome = Result<(), String>;

fn ensure(holds: bool, detail: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(detail()) }
}

fn said(error: StoreError) -> String {
    error.to_string()
}

/// Bytes that differ at every position and between seeds.
fn pattern(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect::<Vec<_>>().into()
}

impl Bench {
    fn at(&self, key: &str) -> Path {
        Path::from(format!("{}/{key}", self.root))
    }

    async fn put(&self, key: &str, bytes: &Bytes) -> Outcome {
        self.store.put(&self.at(key), bytes.clone().into()).await.map(drop).map_err(said)
    }

    async fn read(&self, key: &str) -> Result<Bytes, String> {
        self.store.get(&self.at(key)).await.map_err(said)?.bytes().await.map_err(said)
    }

    async fn read_after_write(&self) -> Outcome {
        for round in 0..8 {
            let bytes = pattern(round, 1_000 + usize::try_from(round).unwrap_or(0));
            self.put("again", &bytes).await?;
            let read = self.read("again").await?;
            ensure(read == bytes, || format!("write {round} was not what the next read gave"))?;
            let size = self.store.head(&self.at("again")).await.map_err(said)?.size;
            ensure(size == bytes.len() as u64, || format!("head says {size} bytes instead of {}", bytes.len()))?;
        }
        self.put("empty", &Bytes::new()).await?;
        let read = self.read("empty").await?;
        ensure(read.is_empty(), || "an empty object did not come back empty".into())
    }

    async fn ranged_reads(&self) -> Outcome {
        let bytes = pattern(99, 10_000);
        self.put("ranged", &bytes).await?;
        for (start, end) in [(0, 1), (0, 10_000), (1, 9_999), (4_096, 8_192), (9_999, 10_000), (9_000, 20_000)] {
            let expected = bytes.slice(start..end.min(bytes.len()));
            let options = object_store::GetOptions::new().with_range(Some(start as u64..end as u64));
            let got = self.store.get_opts(&self.at("ranged"), options).await.map_err(said)?;
            let (size, range) = (got.meta.size, got.range.clone());
            let read = got.bytes().await.map_err(said)?;
            ensure(read == expected, || format!("{start}..{end} gave other bytes"))?;
            ensure(size == 10_000, || format!("{start}..{end} says that the object has {size} bytes"))?;
            let clipped = start as u64..(start + expected.len()) as u64;
            ensure(range == clipped, || format!("{start}..{end} was announced as {range:?}"))?;
        }
        let behind = self.store.get_range(&self.at("ranged"), 10_000..10_001).await;
        ensure(behind.is_err(), || "a range behind the end was answered".into())
    }

    async fn missing_objects(&self) -> Outcome {
        let (get, head) = (self.store.get(&self.at("no")).await, self.store.head(&self.at("no")).await);
        ensure(matches!(get, Err(StoreError::NotFound { .. })), || format!("get says {:?}", get.err()))?;
        ensure(matches!(head, Err(StoreError::NotFound { .. })), || format!("head says {:?}", head.err()))
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<bool, String> {
        match self.store.put_opts(&self.at(key), bytes.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(StoreError::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(said(error)),
        }
    }

    async fn create_if_absent(&self) -> Outcome {
        let (first, second) = (pattern(1, 500), pattern(2, 500));
        self.create("once", first.clone()).await?;
        ensure(!self.create("once", second.clone()).await?, || "a second create was answered as made".into())?;
        ensure(self.read("once").await? == first, || "a second create changed the object".into())?;
        self.put("taken", &first).await?;
        ensure(!self.create("taken", second).await?, || "a create over a written object was answered as made".into())?;
        ensure(self.read("taken").await? == first, || "a create changed a written object".into())
    }

    /// At most one writer is told that it made the object, and the object is that one's. None may be told so: a store that
    /// tried twice takes its own first try for a rival's.
    async fn create_races(&self) -> Outcome {
        for race in 0..RACES {
            let key = format!("race/{race}");
            let bytes: Vec<_> = (0..WRITERS).map(|writer| pattern((race * WRITERS + writer) as u64, 700)).collect();
            let made = self.race(&bytes, |writer, bytes| {
                let (bench, key) = (self, key.clone());
                async move { Ok(bench.create(&key, bytes).await?.then_some(writer)) }
            });
            let makers: Vec<usize> = made.await?.into_iter().flatten().collect();
            let read = self.read(&key).await?;
            let owner = bytes.iter().position(|bytes| *bytes == read);
            ensure(makers.len() <= 1, || format!("race {race}: writers {makers:?} were all told that they made it"))?;
            let Some(owner) = owner else { return Err(format!("race {race}: the object is no writer's")) };
            ensure(makers.iter().all(|maker| *maker == owner), || {
                format!("race {race}: {makers:?} was told that it made the object, which is {owner}'s")
            })?;
        }
        Ok(())
    }

    async fn overwrite_races(&self) -> Outcome {
        let bytes: Vec<_> = (0..WRITERS).map(|writer| pattern(writer as u64, 100_000)).collect();
        let put = |_, bytes: Bytes| async move { self.put("over", &bytes).await };
        self.race(&bytes, put).await?;
        let read = self.read("over").await?;
        ensure(bytes.contains(&read), || "the object is no writer's: writes are not atomic".into())
    }

    async fn race<T, F: Future<Output = Result<T, String>>>(
        &self,
        bytes: &[Bytes],
        write: impl Fn(usize, Bytes) -> F,
    ) -> Result<Vec<T>, String> {
        let writers = bytes.iter().enumerate().map(|(writer, bytes)| write(writer, bytes.clone()));
        join_all(writers).await.into_iter().collect()
    }

    async fn keys(&self, prefix: &str) -> Result<BTreeSet<String>, String> {
        let listed: Vec<_> = self.store.list(Some(&self.at(prefix))).try_collect().await.map_err(said)?;
        Ok(self.relative(listed.iter().map(|meta| &meta.location)))
    }

    fn relative<'a>(&self, paths: impl Iterator<Item = &'a Path>) -> BTreeSet<String> {
        let root = format!("{}/", self.root);
        paths.map(|path| path.as_ref().trim_start_matches(&root).to_owned()).collect()
    }

    async fn list(&self) -> Outcome {
        let expected: BTreeSet<String> = (0..12).map(|n| format!("list/{n:03}")).collect();
        for key in expected.iter().map(String::as_str).chain(["list2/000", "list.x", "list/deep/er/000"]) {
            self.put(key, &pattern(0, 10)).await?;
        }
        let mut all = expected.clone();
        all.insert("list/deep/er/000".into());
        let listed = self.keys("list").await?;
        ensure(listed == all, || format!("below list/ were listed {listed:?}"))?;
        let prefix = self.at("list");
        let after = self.store.list_with_offset(Some(&prefix), &self.at("list/005"));
        let after: Vec<_> = after.try_collect().await.map_err(said)?;
        let after = self.relative(after.iter().map(|meta| &meta.location));
        let expected_after: BTreeSet<_> = all.iter().filter(|key| key.as_str() > "list/005").cloned().collect();
        ensure(after == expected_after, || format!("behind list/005 were listed {after:?}"))?;
        let level = self.store.list_with_delimiter(Some(&prefix)).await.map_err(said)?;
        let objects = self.relative(level.objects.iter().map(|meta| &meta.location));
        ensure(objects == expected, || format!("directly below list/ were listed {objects:?}"))?;
        let folders = self.relative(level.common_prefixes.iter());
        ensure(folders == BTreeSet::from(["list/deep".to_owned()]), || format!("the folders of list/ are {folders:?}"))
    }

    async fn delete(&self) -> Outcome {
        self.put("gone/1", &pattern(0, 10)).await?;
        self.store.delete(&self.at("gone/1")).await.map_err(said)?;
        let get = self.store.get(&self.at("gone/1")).await;
        ensure(matches!(get, Err(StoreError::NotFound { .. })), || "a deleted object was read".into())?;
        let listed = self.keys("gone").await?;
        ensure(listed.is_empty(), || "a deleted object was listed".into())?;
        match self.store.delete(&self.at("gone/1")).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(format!("deleting what is not there: {error}")),
        }
        ensure(self.create("gone/1", pattern(1, 10)).await?, || "a deleted key cannot be created again".into())
    }

    async fn large_object(&self) -> Outcome {
        let bytes = pattern(7, LARGE_BYTES);
        self.put("large", &bytes).await?;
        ensure(self.read("large").await? == bytes, || "it came back different".into())?;
        let (start, end) = (LARGE_BYTES as u64 / 2, LARGE_BYTES as u64);
        let half = self.store.get_range(&self.at("large"), start..end).await.map_err(said)?;
        ensure(half == bytes.slice(LARGE_BYTES / 2..), || "its second half came back different".into())
    }

    async fn clean_up(&self) -> Outcome {
        let listed: Vec<_> = self.store.list(Some(&self.root)).try_collect().await.map_err(said)?;
        for meta in listed {
            self.store.delete(&meta.location).await.map_err(said)?;
        }
        let left = self.keys("").await?;
        ensure(left.is_empty(), || format!("{left:?} are left after they were deleted"))
    }
}
