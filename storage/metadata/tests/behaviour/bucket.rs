//! A bucket in memory that takes time, fails, hangs, loses answers, and writes down every request with its virtual time.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use eagre_env::{Randomness, SeededRandomness};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use tokio::{sync::watch, time::Instant};

/// Virtual midnight of the first day of 2026, at the start of every test.
pub const START_MS: i64 = 1_767_225_600_000;

/// What one client's view of the bucket does to it.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Every request takes so long.
    pub latency: Duration,
    /// Requests whose path contains the text take so long instead.
    pub slow: Option<(&'static str, Duration)>,
    /// Requests wait until this is taken back; they are not applied before.
    pub hangs: bool,
    /// Requests are answered by an error that may pass.
    pub fails: bool,
    /// The next creation of a path that contains the text is applied, but its answer is an error.
    pub loses_answer: Option<&'static str>,
    /// Like a folder: a put with attributes is refused.
    pub refuses_attributes: bool,
    /// Of 100 requests so many fail, and so many puts lose their answer.
    pub percent: Option<(u64, u64)>,
}

/// One finished request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub at: Duration,
    pub op: &'static str,
    pub path: String,
    pub bytes: usize,
    pub is_ok: bool,
}

/// One client's view. Clones are the same view; [`TestBucket::view`] is another client's.
#[derive(Clone)]
pub struct TestBucket {
    memory: Arc<InMemory>,
    started: Instant,
    modified: Arc<Mutex<BTreeMap<Path, Duration>>>,
    faults: watch::Sender<Faults>,
    random: Arc<SeededRandomness>,
    log: Arc<Mutex<Vec<Request>>>,
}

impl TestBucket {
    pub fn new() -> Self {
        Self::seeded(0)
    }

    /// Seeds what `percent` decides.
    pub fn seeded(seed: u64) -> Self {
        Self {
            memory: Arc::new(InMemory::new()),
            started: Instant::now(),
            modified: Arc::default(),
            faults: watch::Sender::new(Faults::default()),
            random: Arc::new(SeededRandomness::new(seed)),
            log: Arc::default(),
        }
    }

    /// The same objects, seen by another client: faults and requests of its own.
    pub fn view(&self) -> Self {
        let log = Arc::default();
        Self { faults: watch::Sender::new(Faults::default()), log, ..self.clone() }
    }

    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.clone())
    }

    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
    }

    /// What was asked so far, in the order in which it was answered.
    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    pub fn forget_requests(&self) {
        self.log.lock().unwrap().clear();
    }

    /// How many requests of this kind there were for paths that contain the text.
    pub fn count(&self, op: &str, path: &str) -> usize {
        self.requests().iter().filter(|request| request.op == op && request.path.contains(path)).count()
    }

    /// Paths of all objects that contain the text.
    pub async fn objects(&self, path: &str) -> Vec<String> {
        let all: Vec<ObjectMeta> = self.memory.list(None).try_collect().await.unwrap();
        let mut paths: Vec<String> = all.into_iter().map(|object| object.location.to_string()).collect();
        paths.retain(|found| found.contains(path));
        paths.sort();
        paths
    }

    /// Lengths of all objects whose path contains the text.
    pub async fn sizes(&self, path: &str) -> Vec<u64> {
        let all: Vec<ObjectMeta> = self.memory.list(None).try_collect().await.unwrap();
        all.into_iter().filter(|object| object.location.as_ref().contains(path)).map(|object| object.size).collect()
    }

    /// Waits, takes time, fails: whatever stands before the request itself.
    async fn before(&self, path: &str) -> Result<()> {
        let mut faults = self.faults.subscribe();
        let now = faults.wait_for(|faults| !faults.hangs).await.unwrap().clone();
        let slow = now.slow.filter(|(text, _)| path.contains(text)).map(|(_, duration)| duration);
        let mut latency = slow.unwrap_or(now.latency);
        if now.percent.is_some() {
            latency += Duration::from_micros(self.random.below(5_000));
        }
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        faults.wait_for(|faults| !faults.hangs).await.unwrap();
        let unlucky = now.percent.is_some_and(|(failing, _)| self.random.below(100) < failing);
        if now.fails || unlucky { Err(unavailable()) } else { Ok(()) }
    }

    fn done<T>(&self, op: &'static str, path: &str, bytes: usize, result: Result<T>) -> Result<T> {
        let at = self.started.elapsed();
        let request = Request { at, op, path: path.to_owned(), bytes, is_ok: result.is_ok() };
        self.log.lock().unwrap().push(request);
        result
    }

    fn touch(&self, path: &Path) {
        self.modified.lock().unwrap().insert(path.clone(), self.started.elapsed());
    }

    /// The virtual time of the last put; the memory store would say the real one.
    fn modified(&self, path: &Path) -> DateTime<Utc> {
        let at = self.modified.lock().unwrap().get(path).copied().unwrap_or_default();
        DateTime::from_timestamp_millis(START_MS).unwrap() + TimeDelta::from_std(at).unwrap()
    }

    async fn apply_put(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.before(location.as_ref()).await?;
        let faults = self.faults.borrow().clone();
        if faults.refuses_attributes && !opts.attributes.is_empty() {
            return Err(Error::NotImplemented { operation: "attributes".into(), implementer: "test".into() });
        }
        let result = self.memory.put_opts(location, payload, opts).await?;
        self.touch(location);
        let loses = faults.loses_answer.is_some_and(|text| location.as_ref().contains(text));
        if loses {
            self.set(|faults| faults.loses_answer = None);
        }
        let unlucky = faults.percent.is_some_and(|(_, losing)| self.random.below(100) < losing);
        if loses || unlucky { Err(unavailable()) } else { Ok(result) }
    }

    fn listing(&self, prefix: Option<&Path>, offset: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix, offset) = (self.clone(), prefix.cloned(), offset.cloned());
        let items = async move {
            let path = prefix.as_ref().map(ToString::to_string).unwrap_or_default();
            let listed = async {
                this.before(&path).await?;
                let mut items: Vec<ObjectMeta> = this.memory.list(prefix.as_ref()).try_collect().await?;
                items.retain(|item| offset.as_ref().is_none_or(|offset| item.location > *offset));
                items.iter_mut().for_each(|item| item.last_modified = this.modified(&item.location));
                Ok(items)
            };
            let listed = listed.await;
            this.done("LIST", &path, 0, listed)
        };
        futures::stream::once(items)
            .map_ok(|items| futures::stream::iter(items.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }
}

fn unavailable() -> Error {
    Error::Generic { store: "test", source: "503 slow down".into() }
}

impl fmt::Debug for TestBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestBucket")
    }
}

impl fmt::Display for TestBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestBucket")
    }
}

#[async_trait]
impl ObjectStore for TestBucket {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let bytes = payload.content_length();
        let result = self.apply_put(location, payload, opts).await;
        self.done("PUT", location.as_ref(), bytes, result)
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let result = async {
            self.before(location.as_ref()).await?;
            self.touch(location);
            self.memory.put_multipart_opts(location, opts).await
        };
        let result = result.await;
        self.done("PUT", location.as_ref(), 0, result)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let op = if options.head { "HEAD" } else { "GET" };
        let result = async {
            self.before(location.as_ref()).await?;
            let mut result = self.memory.get_opts(location, options).await?;
            result.meta.last_modified = self.modified(location);
            Ok(result)
        };
        let result = result.await;
        self.done(op, location.as_ref(), 0, result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let result = async {
            self.before(location.as_ref()).await?;
            self.memory.get_ranges(location, ranges).await
        };
        let result = result.await;
        self.done("GET", location.as_ref(), 0, result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |location: Result<Path>| {
            let this = this.clone();
            async move {
                let location = location?;
                let deleted = async {
                    this.before(location.as_ref()).await?;
                    this.memory.delete(&location).await
                };
                let deleted = deleted.await;
                this.done("DELETE", location.as_ref(), 0, deleted)?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(Error::NotImplemented { operation: "list_with_delimiter".into(), implementer: "test".into() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Error::NotImplemented { operation: "copy".into(), implementer: "test".into() })
    }
}
