//! Rows come back in the order of their keys, page by page, from memory and from tables.

use eagre_metadata::{
    Changes, StoreSettings,
    rows::{Meta, MetaName, MetaValue, RunKey, RunRow, Tail, TopicName},
};
use eagre_model::{ObjectId, Run, RunKind, TopicNumber, TopicPartition, UploadEpoch};

use crate::{
    bucket::TestBucket,
    world::{env, eventually, open, open_with, partition, tail},
};

fn run(last_offset: i64) -> Run {
    Run {
        kind: RunKind::Wal,
        base_offset: last_offset - 9,
        last_offset,
        object: ObjectId { epoch: UploadEpoch(0), incarnation: 1, number: 2 },
        position_bytes: 0,
        length_bytes: 100,
        batches: 1,
        crc32c: 7,
        prefix_max_timestamp_ms: last_offset,
    }
}

#[tokio::test(start_paused = true)]
async fn the_covering_run_is_the_first_at_or_after_the_offset() {
    let bucket = TestBucket::new();
    let settings = StoreSettings { flushes_per_table: 7, ..StoreSettings::for_object_store() };
    let store = open_with(&env(1), &bucket, settings).await.unwrap();
    let neighbours = [partition(255), partition(257), TopicPartition { topic: TopicNumber(256), partition: 1 }];
    for of in neighbours.into_iter().chain([partition(256)]) {
        for n in 1..=20 {
            let mut changes = Changes::new();
            changes.put::<RunRow>(&RunKey { partition: of, last_offset: n * 10 - 1 }, &run(n * 10 - 1));
            store.write(changes).await.unwrap();
            store.flush().await.unwrap();
        }
    }
    eventually("tables are written", async || bucket.count("PUT", "/compacted/") > 3).await;
    let found = async |offset, max| {
        let rows = store.scan::<RunRow>(RunKey::reaching(partition(256), offset), max).await.unwrap();
        rows.into_iter().map(|(_, run)| run.last_offset).collect::<Vec<_>>()
    };
    assert_eq!(found(0, 1).await, [9]);
    assert_eq!(found(9, 1).await, [9]);
    assert_eq!(found(10, 2).await, [19, 29]);
    assert_eq!(found(185, 1_000).await, [189, 199]);
    assert_eq!(found(200, 1_000).await, [0; 0], "nothing of the neighbours");
    assert_eq!(found(0, 0).await, [0; 0]);
    // Page by page, each begins after the last key.
    let all = store.scan::<RunRow>(.., 1_000).await.unwrap();
    assert_eq!(all.len(), 80);
    for (page_bytes, few) in [(1, 80), (50, 10), (1 << 20, 1)] {
        let (mut read, mut pages) = (Vec::new(), store.pages::<RunRow>(.., page_bytes));
        let mut count = 0;
        while let Some(page) = pages.next().await.unwrap() {
            assert!(!page.is_empty());
            read.extend(page);
            count += 1;
        }
        assert_eq!((read == all, count >= few), (true, true), "{count} pages of {page_bytes} bytes");
        assert_eq!(pages.next().await, Ok(None));
    }
    let some = RunKey::reaching(partition(256), 150);
    let page = store.pages::<RunRow>(some, 1 << 20).next().await.unwrap().unwrap();
    assert_eq!(page.len(), 5, "of a range");
    // In the order of the keys that are asked for.
    let key = |last_offset| RunKey { partition: partition(256), last_offset };
    let found = store.get_all::<RunRow>(&[key(199), key(7), key(9)]).await.unwrap();
    assert_eq!(found, [Some(run(199)), None, Some(run(9))]);
}

#[tokio::test(start_paused = true)]
async fn behind_the_last_page_nothing_is_asked() {
    let bucket = TestBucket::new();
    let store = open(&env(1), &bucket).await.unwrap();
    for n in 0..3 {
        store.write(tail(n, 1)).await.unwrap();
    }
    store.flush().await.unwrap();
    store.close(std::time::Duration::from_secs(1)).await.unwrap();
    let store = open(&env(2), &bucket).await.unwrap();
    let mut pages = store.pages::<Tail>(.., 1 << 20);
    assert_eq!(pages.next().await.unwrap().unwrap().len(), 3);
    bucket.forget_requests();
    assert_eq!(pages.next().await, Ok(None));
    assert_eq!(bucket.requests(), []);
}

#[tokio::test(start_paused = true)]
async fn kinds_do_not_run_into_each_other() {
    let bucket = TestBucket::new();
    let store = open(&env(1), &bucket).await.unwrap();
    let mut changes = tail(0, 1);
    changes.put::<Meta>(&MetaName::Format, &MetaValue::Number(1));
    for name in ["b", "a", "c"] {
        changes.put::<TopicName>(&name.into(), &TopicNumber(1));
    }
    changes.delete::<TopicName>(&"c".into());
    store.write(changes).await.unwrap();
    store.flush().await.unwrap();
    let names = store.scan::<TopicName>(.., 10).await.unwrap();
    assert_eq!(names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(store.scan::<Meta>(.., 10).await.unwrap().len(), 1);
    assert_eq!(store.scan::<Tail>(.., 10).await.unwrap().len(), 1);
    let (backwards, empty) = ("b".to_owned().."a".to_owned(), "b".to_owned().."b".to_owned());
    assert_eq!(store.scan::<TopicName>(backwards, 10).await, Ok(vec![]));
    assert_eq!(store.scan::<TopicName>(empty, 10).await, Ok(vec![]));
}
