//! What Eagre relies on, one request after another.

use std::collections::BTreeSet;

use futures::{TryStreamExt, future::join_all};
use object_store::{Error as StoreError, GetOptions, GetRange, ObjectStore as _, ObjectStoreExt};

use super::{
    Judged, WRITERS,
    bench::{Bench, pattern},
    ensure,
};

const LARGE_BYTES: usize = 9 * 1024 * 1024 + 1;

/// Every length, the empty one too, is there at once and whole.
pub(super) async fn read_after_write(bench: &Bench) -> Judged {
    for length in [0, 1, 1_000, 4_096, 65_537] {
        let (key, bytes) = (format!("written/{length}"), pattern(length as u64, length));
        bench.put(&key, &bytes).await?;
        ensure(bench.read(&key).await? == bytes, || format!("a new object of {length} bytes came back different"))?;
        let size = bench.store.head(&bench.at(&key)).await?.size;
        ensure(size == length as u64, || format!("head says {size} bytes instead of {length}"))?;
    }
    Ok(())
}

/// The next read of a key gives what the last write put there.
pub(super) async fn read_after_overwrite(bench: &Bench) -> Judged {
    for round in 0..8 {
        let bytes = pattern(round, 1_000);
        bench.put("again", &bytes).await?;
        ensure(bench.read("again").await? == bytes, || format!("write {round} was not what the next read gave"))?;
    }
    Ok(())
}

/// From anywhere to anywhere and to the end; cut at the end of the object and announced as they come.
pub(super) async fn ranged_reads(bench: &Bench) -> Judged {
    const LENGTH: u64 = 10_000;
    let bytes = pattern(99, 10_000);
    bench.put("ranged", &bytes).await?;
    for (asked, start, end) in [
        (GetRange::Bounded(0..1), 0, 1),
        (GetRange::Bounded(0..LENGTH), 0, 10_000),
        (GetRange::Bounded(1..9_999), 1, 9_999),
        (GetRange::Bounded(4_096..8_192), 4_096, 8_192),
        (GetRange::Bounded(9_999..LENGTH), 9_999, 10_000),
        (GetRange::Bounded(9_000..20_000), 9_000, 10_000),
        (GetRange::Offset(9_001), 9_001, 10_000),
    ] {
        let options = GetOptions { range: Some(asked.clone()), ..GetOptions::default() };
        let got = bench.store.get_opts(&bench.at("ranged"), options).await?;
        let (size, range) = (got.meta.size, got.range.clone());
        ensure(got.bytes().await? == bytes.slice(start..end), || format!("{asked} gave other bytes"))?;
        ensure(size == LENGTH, || format!("{asked} says that the object has {size} bytes"))?;
        ensure(range == (start as u64..end as u64), || format!("{asked} was announced as {range:?}"))?;
    }
    let behind = bench.store.get_range(&bench.at("ranged"), LENGTH..LENGTH + 1).await;
    ensure(behind.is_err(), || "a range behind the end was answered".into())
}

/// What is not there is said not to be there.
pub(super) async fn missing_objects(bench: &Bench) -> Judged {
    let (get, head) = (bench.store.get(&bench.at("no")).await, bench.store.head(&bench.at("no")).await);
    ensure(matches!(get, Err(StoreError::NotFound { .. })), || format!("get says {:?}", get.err()))?;
    ensure(matches!(head, Err(StoreError::NotFound { .. })), || format!("head says {:?}", head.err()))
}

/// One after the other, only the first create makes the object.
pub(super) async fn create_if_absent(bench: &Bench) -> Judged {
    let (first, second) = (pattern(1, 500), pattern(2, 500));
    bench.create("once", first.clone()).await?;
    ensure(!bench.create("once", second.clone()).await?, || "a second create was answered as made".into())?;
    ensure(bench.read("once").await? == first, || "a second create changed the object".into())?;
    bench.put("taken", &first).await?;
    ensure(!bench.create("taken", second).await?, || "a create over a written object was answered as made".into())?;
    ensure(bench.read("taken").await? == first, || "a create changed a written object".into())
}

/// An object that many write at once is one writer's, whole.
pub(super) async fn overwrite_races(bench: &Bench) -> Judged {
    let bytes: Vec<_> = (0..WRITERS).map(|writer| pattern(writer as u64, 100_000)).collect();
    // All of them, also when one fails: none may go on when this returns.
    let written = join_all(bytes.iter().map(|bytes| bench.put("over", bytes))).await;
    written.into_iter().collect::<Result<(), _>>()?;
    let read = bench.read("over").await?;
    ensure(bytes.contains(&read), || "the object is no writer's: writes are not atomic".into())
}

/// Keys are listed by whole parts, at once, and behind an offset.
pub(super) async fn list(bench: &Bench) -> Judged {
    let expected: BTreeSet<String> = (0..12).map(|n| format!("list/{n:03}")).collect();
    for key in expected.iter().map(String::as_str).chain(["list2/000", "list.x", "list/deep/er/000"]) {
        bench.put(key, &pattern(0, 10)).await?;
    }
    let mut all = expected.clone();
    all.insert("list/deep/er/000".into());
    let listed = bench.keys("list").await?;
    ensure(listed == all, || format!("below list/ were listed {listed:?}"))?;
    let prefix = bench.at("list");
    let after = bench.store.list_with_offset(Some(&prefix), &bench.at("list/005"));
    let after: Vec<_> = after.try_collect().await?;
    let after = bench.relative(after.iter().map(|meta| &meta.location));
    let expected_after: BTreeSet<_> = all.iter().filter(|key| key.as_str() > "list/005").cloned().collect();
    ensure(after == expected_after, || format!("behind list/005 were listed {after:?}"))?;
    let level = bench.store.list_with_delimiter(Some(&prefix)).await?;
    let objects = bench.relative(level.objects.iter().map(|meta| &meta.location));
    ensure(objects == expected, || format!("directly below list/ were listed {objects:?}"))?;
    let folders = bench.relative(level.common_prefixes.iter());
    ensure(folders == BTreeSet::from(["list/deep".to_owned()]), || format!("the folders of list/ are {folders:?}"))
}

/// Several pages of a listing have every key once, and behind an offset every key that comes after it.
pub(super) async fn long_list(bench: &Bench, count: usize) -> Judged {
    let key = |n: usize| format!("long/{n:06}");
    bench.put_all((0..count).map(key), &pattern(0, 1)).await?;
    let prefix = bench.at("long");
    for after in [None, Some(0), Some(count / 2), Some(count - 1)] {
        let listing = match after {
            Some(after) => bench.store.list_with_offset(Some(&prefix), &bench.at(&key(after))),
            None => bench.store.list(Some(&prefix)),
        };
        let listed: Vec<_> = listing.try_collect().await?;
        let expected: BTreeSet<String> = (after.map_or(0, |after| after + 1)..count).map(key).collect();
        let keys = bench.relative(listed.iter().map(|meta| &meta.location));
        ensure(listed.len() == expected.len() && keys == expected, || {
            let (got, right) = (listed.len(), expected.len());
            format!("of {count} keys {got} were listed after {after:?} instead of {right}")
        })?;
    }
    Ok(())
}

/// What is deleted is gone at once, and its key is free.
pub(super) async fn delete(bench: &Bench) -> Judged {
    bench.put("gone/1", &pattern(0, 10)).await?;
    bench.store.delete(&bench.at("gone/1")).await?;
    let get = bench.store.get(&bench.at("gone/1")).await;
    ensure(matches!(get, Err(StoreError::NotFound { .. })), || "a deleted object was read".into())?;
    let listed = bench.keys("gone").await?;
    ensure(listed.is_empty(), || "a deleted object was listed".into())?;
    match bench.store.delete(&bench.at("gone/1")).await {
        Ok(()) | Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    ensure(bench.create("gone/1", pattern(1, 10)).await?, || "a deleted key cannot be created again".into())
}

/// An object of more than 8 MiB comes back whole, and in parts.
pub(super) async fn large_object(bench: &Bench) -> Judged {
    let bytes = pattern(7, LARGE_BYTES);
    bench.put("large", &bytes).await?;
    ensure(bench.read("large").await? == bytes, || "it came back different".into())?;
    let (start, end) = (LARGE_BYTES as u64 / 2, LARGE_BYTES as u64);
    let half = bench.store.get_range(&bench.at("large"), start..end).await?;
    ensure(half == bytes.slice(LARGE_BYTES / 2..), || "its second half came back different".into())
}
