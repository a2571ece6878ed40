//! SlateDB itself, without our settings, where a test shows what they are for.

use std::{sync::Arc, time::Duration};

use slatedb::{Db, Settings};

use crate::bucket::TestBucket;

pub fn settings() -> Settings {
    Settings {
        flush_interval: None,
        manifest_poll_interval: Duration::from_secs(60),
        compactor_options: None,
        garbage_collector_options: None,
        ..Settings::default()
    }
}

pub async fn open(bucket: &TestBucket) -> Arc<Db> {
    open_at("raw", bucket).await
}

pub async fn open_at(path: &str, bucket: &TestBucket) -> Arc<Db> {
    let db = Db::builder(path, bucket.store()).with_settings(settings()).with_seed(1).build().await.unwrap();
    Arc::new(db)
}
