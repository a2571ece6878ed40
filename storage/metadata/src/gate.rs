//! The bucket as one opened store sees it, with a gate that can be shut.
//!
//! SlateDB retries a failing request without end, and its tasks outlive the handle. Behind a shut gate every request,
//! those under way included, fails at once and for good, so the tasks of an abandoned store end whatever the bucket does.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart, path::Path,
};
use slatedb_common::retry::NonRetryable;
use tokio_util::sync::CancellationToken;

/// An object store behind a gate.
#[derive(Debug)]
pub(crate) struct GatedStore {
    inner: Arc<dyn ObjectStore>,
    shut: CancellationToken,
}

impl GatedStore {
    /// The store behind a gate that stands open until `shut` is cancelled.
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, shut: CancellationToken) -> Self {
        Self { inner, shut }
    }

    async fn pass<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        pass(&self.shut, request).await
    }

    fn pass_stream<T: Send + 'static>(&self, items: BoxStream<'static, Result<T>>) -> BoxStream<'static, Result<T>> {
        pass_stream(self.shut.clone(), items)
    }
}

async fn pass<T>(shut: &CancellationToken, request: impl Future<Output = Result<T>>) -> Result<T> {
    shut.run_until_cancelled(request).await.unwrap_or_else(|| Err(abandoned()))
}

fn pass_stream<T: Send + 'static>(
    shut: CancellationToken,
    items: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    let ended = shut.clone();
    let end = stream::once(async move { ended.is_cancelled().then(|| Err(abandoned())) });
    items.take_until(shut.cancelled_owned()).chain(end.filter_map(std::future::ready)).boxed()
}

fn abandoned() -> Error {
    Error::Generic { store: "eagre-metadata", source: Box::new(NonRetryable("the store was abandoned".into())) }
}

impl fmt::Display for GatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatedStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for GatedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.pass(self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.pass(self.inner.put_multipart_opts(location, opts)).await?;
        Ok(Box::new(GatedUpload { inner, shut: self.shut.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut result = self.pass(self.inner.get_opts(location, options)).await?;
        if let GetResultPayload::Stream(body) = result.payload {
            result.payload = GetResultPayload::Stream(self.pass_stream(body));
        }
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.pass(self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.pass_stream(self.inner.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.pass_stream(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.pass_stream(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.pass(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.pass(self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.pass(self.inner.rename_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct GatedUpload {
    inner: Box<dyn MultipartUpload>,
    shut: CancellationToken,
}

#[async_trait]
impl MultipartUpload for GatedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, shut) = (self.inner.put_part(data), self.shut.clone());
        Box::pin(async move { pass(&shut, part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        pass(&self.shut, self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        pass(&self.shut, self.inner.abort()).await
    }
}
