//! The store.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_env::{Clock, Env, SeededRandomness};
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart, memory::InMemory,
    path::Path,
};
use tokio::time::sleep;

use super::{ModelUrl, ceiling::Ceiling, latency};
use crate::SlowDown;

/// A refusal is quick.
const REFUSAL: Duration = Duration::from_millis(15);

/// Memory that takes the time of an object store. What a request does, it does at the end of its time, and not at all when
/// its caller has gone by then.
pub(crate) struct ModelledStore {
    inner: Arc<InMemory>,
    model: Arc<Model>,
}

struct Model {
    random: SeededRandomness,
    clock: Arc<dyn Clock>,
    ceiling: Option<Mutex<Ceiling>>,
}

impl Model {
    async fn put(&self, bytes: u64) -> Result<()> {
        if let Some(ceiling) = &self.ceiling {
            let is_taken = ceiling.lock().unwrap_or_else(PoisonError::into_inner).takes(self.clock.monotonic());
            if !is_taken {
                sleep(REFUSAL).await;
                return Err(Error::Generic { store: "model", source: Box::new(SlowDown) });
            }
        }
        sleep(latency::put(&self.random, bytes)).await;
        Ok(())
    }

    async fn first_byte(&self) {
        sleep(latency::first_byte(&self.random)).await;
    }
}

impl ModelledStore {
    pub(crate) fn new(env: &Env, url: &ModelUrl) -> Self {
        let model = Model {
            random: SeededRandomness::new(url.seed),
            clock: Arc::clone(&env.clock),
            ceiling: url.puts_per_second.map(|puts| Mutex::new(Ceiling::new(puts))),
        };
        Self { inner: Arc::default(), model: Arc::new(model) }
    }

    fn after_first_byte<T: Send + 'static>(
        &self,
        items: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let model = Arc::clone(&self.model);
        stream::once(async move {
            model.first_byte().await;
            items
        })
        .flatten()
        .boxed()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for ModelledStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.model.put(payload.content_length() as u64).await?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.model.first_byte().await;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(ModelledUpload { inner, model: Arc::clone(&self.model) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.model.first_byte().await;
        let mut got = self.inner.get_opts(location, options).await?;
        let bytes = got.range.end.saturating_sub(got.range.start);
        if let GetResultPayload::Stream(body) = got.payload {
            let body = stream::once(async move {
                sleep(latency::body(bytes)).await;
                body
            });
            got.payload = GetResultPayload::Stream(body.flatten().boxed());
        }
        Ok(got)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.model.first_byte().await;
        sleep(latency::body(ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum())).await;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.after_first_byte(self.inner.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.after_first_byte(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.after_first_byte(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.model.first_byte().await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.model.first_byte().await;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.model.first_byte().await;
        self.inner.rename_opts(from, to, options).await
    }
}

struct ModelledUpload {
    inner: Box<dyn MultipartUpload>,
    model: Arc<Model>,
}

#[async_trait]
impl MultipartUpload for ModelledUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (bytes, model) = (data.content_length() as u64, Arc::clone(&self.model));
        let part = self.inner.put_part(data);
        Box::pin(async move {
            model.put(bytes).await?;
            part.await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.model.first_byte().await;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.model.first_byte().await;
        self.inner.abort().await
    }
}

impl fmt::Debug for ModelledUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelledUpload")
    }
}

impl fmt::Debug for ModelledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelledStore")
    }
}

impl fmt::Display for ModelledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("model+memory://")
    }
}
