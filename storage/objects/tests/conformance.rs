//! Every store that Eagre opens keeps what Eagre relies on; stores that do not are found out.

#![cfg(test)]

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_env::Env;
use eagre_objects::{Bucket, BucketKind, BucketUrl, conformance};
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let env = Env::system();
    let bucket = Bucket::open(&env, &BucketUrl::Folder(folder.path().join("new/bucket"))).await.unwrap();
    assert_eq!(conformance::check(&env, bucket.store()).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_conforms() {
    let env = Env::system();
    let bucket = Bucket::open(&env, &BucketUrl::Memory).await.unwrap();
    assert_eq!(conformance::check(&env, bucket.store()).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_modelled_store_behind_the_resilient_layer_conforms() {
    let env = Env::system();
    let url: BucketUrl = "model+memory://?seed=3&put-per-second=1000".parse().unwrap();
    let bucket = Bucket::open(&env, &url).await.unwrap();
    assert_eq!(bucket.kind(), BucketKind::Remote);
    assert_eq!(conformance::check(&env, bucket.store()).await, []);
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Looks before it writes, as some servers do: right one after another, wrong in a race.
    CreateLooksFirst,
    /// Gives the object that was there before.
    StaleRead,
    /// Lists what begins with the prefix as text.
    ListByText,
}

#[derive(Debug)]
struct Faulty(InMemory, Fault);

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.1)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if self.1 == Fault::StaleRead && self.0.head(location).await.is_ok() && opts.mode == PutMode::Overwrite {
            return Ok(PutResult { e_tag: None, version: None, extensions: Default::default() });
        }
        if self.1 == Fault::CreateLooksFirst && opts.mode == PutMode::Create && self.0.head(location).await.is_err() {
            tokio::task::yield_now().await;
            return self.0.put(location, payload).await;
        }
        self.0.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        use futures::{StreamExt, TryStreamExt};
        if self.1 != Fault::ListByText {
            return self.0.list(prefix);
        }
        let text = prefix.map(ToString::to_string).unwrap_or_default();
        self.0.list(None).try_filter(move |meta| std::future::ready(meta.location.as_ref().starts_with(&text))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn what_does_not_conform_is_found_out() {
    for (fault, check) in
        [(Fault::CreateLooksFirst, "create races"), (Fault::StaleRead, "read after write"), (Fault::ListByText, "list")]
    {
        let violations = conformance::check(&Env::system(), Arc::new(Faulty(InMemory::new(), fault))).await;
        assert!(violations.iter().any(|violation| violation.check == check), "{fault:?}: {violations:?}");
    }
}
