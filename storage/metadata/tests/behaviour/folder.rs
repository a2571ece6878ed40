//! The real thing: a folder that syncs, real time, several threads, background work on a runtime of its own.

use std::{sync::Arc, time::Duration};

use eagre_env::Env;
use eagre_metadata::{MetadataStore, StoreSettings, rows::Tail};
use eagre_model::ShardId;
use object_store::local::LocalFileSystem;
use tokio::runtime::Builder;

use crate::world::{commit, next_offset, tail};

const COMMITS: i64 = 120;

#[test]
fn rows_survive_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap().with_fsync(true));
    let background = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let settings = StoreSettings { flushes_per_table: 25, ..StoreSettings::for_folder() };
    let settings = settings.with_background(background.handle().clone());
    let env = Env::system();
    let open = || async { MetadataStore::open(&env, bucket.clone(), ShardId::FIRST, settings.clone()).await.unwrap() };
    let foreground = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    foreground.block_on(async {
        let store = open().await;
        for n in 1..=COMMITS {
            commit(&store, n.unsigned_abs(), n).await;
        }
        store.write(tail(1, 1_000)).await.unwrap();
        store.abandon();
        let store = open().await;
        assert_eq!(next_offset(&store, 1).await, Some(1), "what was not flushed is gone");
        assert_eq!(store.scan::<Tail>(.., 1_000).await.unwrap().len(), usize::try_from(COMMITS).unwrap());
        commit(&store, 1, 2).await;
        store.close(Duration::from_secs(600)).await.unwrap();
        drop(store);
        assert_eq!(next_offset(&open().await, 1).await, Some(2));
    });
}
