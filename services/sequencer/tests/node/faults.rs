//! A bucket in memory that fails on demand and remembers what was asked of it.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_env::{Randomness, SeededRandomness};
use futures::stream::BoxStream;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use tokio::sync::watch;

/// What befalls a PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails without effect.
    Fail,
    /// It is applied and the answer is lost.
    LoseAnswer,
    /// It waits until the bucket is healed.
    Hang,
    /// It is applied and the answer waits until the bucket is healed.
    HoldAnswer,
}

#[derive(Debug, Default)]
struct State {
    puts: Option<(&'static str, Fault)>,
    gets_fail: Option<&'static str>,
    requests: Vec<String>,
    latency: Option<Arc<SeededRandomness>>,
}

/// Shared by all nodes of a test.
#[derive(Debug, Clone)]
pub struct FaultyStore {
    inner: Arc<InMemory>,
    state: Arc<Mutex<State>>,
    healed: watch::Sender<u64>,
}

impl FaultyStore {
    pub fn new() -> Self {
        let (inner, state) = (Arc::new(InMemory::new()), Arc::default());
        Self { inner, state, healed: watch::Sender::new(0) }
    }

    /// From now on PUTs whose key holds this text go wrong.
    pub fn break_puts(&self, key_holds: &'static str, fault: Fault) {
        self.state.lock().unwrap().puts = Some((key_holds, fault));
    }

    /// From now on GETs whose key holds this text fail.
    pub fn break_gets(&self, key_holds: &'static str) {
        self.state.lock().unwrap().gets_fail = Some(key_holds);
    }

    /// From now on requests take 1 to 20 ms.
    pub fn take_time(&self, seed: u64) {
        self.state.lock().unwrap().latency = Some(Arc::new(SeededRandomness::new(seed)));
    }

    async fn wait(&self) {
        let latency = self.state.lock().unwrap().latency.clone();
        if let Some(latency) = latency {
            tokio::time::sleep(Duration::from_millis(1 + latency.below(20))).await;
        }
    }

    async fn until_healed(&self) {
        let mut healed = self.healed.subscribe();
        healed.mark_unchanged();
        let _ = healed.changed().await;
    }

    /// All is well, and what hung goes on.
    pub fn heal(&self) {
        let mut state = self.state.lock().unwrap();
        (state.puts, state.gets_fail) = (None, None);
        self.healed.send_modify(|healed| *healed += 1);
    }

    /// How many requests there were of this kind whose key holds this text.
    pub fn count(&self, kind: &str, key_holds: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.requests.iter().filter(|line| line.starts_with(kind) && line.contains(key_holds)).count()
    }

    fn note(&self, kind: &str, key: &Path) -> Option<Fault> {
        let mut state = self.state.lock().unwrap();
        state.requests.push(format!("{kind} {key}"));
        match state.puts {
            Some((text, fault)) if kind == "PUT" && key.as_ref().contains(text) => Some(fault),
            _ => None,
        }
    }

    fn get_fails(&self, key: &Path) -> bool {
        self.state.lock().unwrap().gets_fail.is_some_and(|text| key.as_ref().contains(text))
    }
}

fn failed() -> Error {
    Error::Generic { store: "faulty", source: "injected".into() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let fault = self.note("PUT", location);
        // As a folder: without attributes SlateDB cannot know its own object again.
        self.wait().await;
        let opts = PutOptions { attributes: Attributes::new(), ..opts };
        match fault {
            Some(Fault::Fail) => return Err(failed()),
            Some(Fault::Hang) => self.until_healed().await,
            Some(Fault::HoldAnswer) => {
                let result = self.inner.put_opts(location, payload, opts).await;
                self.until_healed().await;
                return result;
            }
            Some(Fault::LoseAnswer) => {
                self.inner.put_opts(location, payload, opts).await?;
                self.wait().await;
                return Err(failed());
            }
            None => {}
        }
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.note("PUT", location);
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.note(if options.head { "HEAD" } else { "GET" }, location);
        self.wait().await;
        if self.get_fails(location) {
            return Err(failed());
        }
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.note("GET", location);
        self.wait().await;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.note("LIST", &prefix.cloned().unwrap_or_default());
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.note("LIST", &prefix.cloned().unwrap_or_default());
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
