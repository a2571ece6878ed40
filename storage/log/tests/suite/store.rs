//! A store that writes down its GETs, holds them, and breaks the next ones.

use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

#[derive(Debug, Clone, Copy)]
pub enum Fault {
    None,
    /// The body ends after so many bytes.
    Short(usize),
    FlippedBit,
    Error,
}

#[derive(Debug, Default)]
pub struct WatchedStore {
    inner: InMemory,
    gets: Mutex<Vec<Range<u64>>>,
    faults: Mutex<VecDeque<Fault>>,
    gate: Arc<RwLock<()>>,
    waiting: AtomicUsize,
}

impl WatchedStore {
    /// The ranges asked for since the last call.
    pub fn take_gets(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.gets.lock().unwrap())
    }

    /// Breaks the next GETs, one after the other.
    pub fn next_gets(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// GETs wait until the guard is dropped.
    pub fn hold_gets(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.gate).try_write_owned().unwrap()
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub async fn until_waiting(&self, count: usize) {
        while self.waiting() < count {
            tokio::task::yield_now().await;
        }
    }
}

impl fmt::Display for WatchedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WatchedStore")
    }
}

#[async_trait]
impl ObjectStore for WatchedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let Some(GetRange::Bounded(range)) = options.range.clone() else {
            return self.inner.get_opts(location, options).await;
        };
        self.gets.lock().unwrap().push(range);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.read().await);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        let fault = self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
        let got = self.inner.get_opts(location, options).await?;
        let body = |bytes: Bytes| GetResultPayload::Stream(async move { Ok(bytes) }.into_stream().boxed());
        match fault {
            Fault::None => return Ok(got),
            Fault::Error => {
                return Err(Error::Generic { store: "watched", source: "slow down".into() });
            }
            Fault::Short(_) | Fault::FlippedBit => {}
        }
        let (meta, range, attributes) = (got.meta.clone(), got.range.clone(), got.attributes.clone());
        let bytes = got.bytes().await?;
        let broken = match fault {
            Fault::Short(length) => bytes.slice(..length),
            Fault::None | Fault::Error | Fault::FlippedBit => {
                let mut bytes = bytes.to_vec();
                for byte in bytes.iter_mut().step_by(997) {
                    *byte ^= 1;
                }
                bytes.into()
            }
        };
        Ok(GetResult { payload: body(broken), meta, range, attributes, extensions: Default::default() })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
