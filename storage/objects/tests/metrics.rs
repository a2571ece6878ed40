//! Every request to the bucket is counted.

#![cfg(test)]

use std::sync::Arc;

use bytes::Bytes;
use eagre_env::Env;
use eagre_objects::{Bucket, BucketKind};
use futures::TryStreamExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use object_store::{
    Attribute, Attributes, ObjectStore as _, ObjectStoreExt, PutMode, PutOptions, WriteMultipart,
    local::LocalFileSystem, memory::InMemory,
};

#[test]
fn requests_and_bytes_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(requests()));
    let shown = handle.render();
    for expected in [
        r#"eagre_bucket_requests_total{op="put",result="ok"} 1"#,
        r#"eagre_bucket_requests_total{op="create",result="ok"} 2"#,
        r#"eagre_bucket_requests_total{op="create",result="exists"} 1"#,
        r#"eagre_bucket_requests_total{op="get",result="missing"} 2"#,
        r#"eagre_bucket_requests_total{op="get",result="ok"} 3"#,
        r#"eagre_bucket_requests_total{op="head",result="ok"} 1"#,
        r#"eagre_bucket_requests_total{op="list",result="ok"} 2"#,
        r#"eagre_bucket_requests_total{op="delete",result="ok"} 1"#,
        r#"eagre_bucket_requests_total{op="multipart_part",result="ok"} 1"#,
        r#"eagre_bucket_requests_total{op="multipart_end",result="ok"} 1"#,
        // Nothing of this kind happened; that it is told from the start makes the first one seen.
        r#"eagre_bucket_requests_total{op="copy",result="error"} 0"#,
        r#"eagre_bucket_estimated_nanodollars_total{op="create"} 15000"#,
        r#"eagre_bucket_estimated_nanodollars_total{op="get"} 2000"#,
        r#"eagre_bucket_estimated_nanodollars_total{op="delete"} 0"#,
        r#"eagre_bucket_bytes_total{op="put"} 1000"#,
        r#"eagre_bucket_bytes_total{op="multipart_part"} 77"#,
    ] {
        assert!(shown.lines().any(|line| line == expected), "{expected} is not in\n{shown}");
    }
    assert!(shown.contains(r#"eagre_bucket_request_seconds_count{op="put"} 1"#), "{shown}");
}

async fn requests() {
    let bucket = Bucket::from_store(&Env::system(), Arc::new(InMemory::new()), BucketKind::Memory).await.unwrap();
    bucket.put("a", Bytes::from(vec![1; 1_000])).await.unwrap();
    bucket.create("b", Bytes::from_static(b"one")).await.unwrap();
    bucket.create("b", Bytes::from_static(b"two")).await.unwrap();
    bucket.get_range("a", 0..10).await.unwrap();
    bucket.get("a", 1_000).await.unwrap();
    bucket.get("none", 1_000).await.unwrap_err();
    bucket.length_bytes("a").await.unwrap();
    let store = bucket.store();
    let _: Vec<_> = store.list(None).try_collect().await.unwrap();
    store.delete(&"a".into()).await.unwrap();
    let mut upload = WriteMultipart::new(store.put_multipart(&"m".into()).await.unwrap());
    upload.write(&[0; 77]);
    upload.finish().await.unwrap();
}

#[test]
fn what_the_store_refuses_by_itself_is_no_request() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let inner = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
            let bucket = Bucket::from_store(&Env::system(), inner, BucketKind::Folder).await.unwrap();
            let attributes = Attributes::from_iter([(Attribute::ContentType, "text/plain")]);
            let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
            let refused = bucket.store().put_opts(&"a".into(), Bytes::new().into(), options).await.unwrap_err();
            assert!(matches!(refused, object_store::Error::NotImplemented { .. }), "{refused}");
        });
    });
    let shown = handle.render();
    // That of the marker.
    assert!(shown.contains(r#"eagre_bucket_requests_total{op="create",result="ok"} 1"#), "{shown}");
    let errors: Vec<_> = shown.lines().filter(|line| line.contains(r#"result="error""#)).collect();
    assert!(errors.iter().all(|line| line.ends_with(" 0")), "{errors:?}");
}
