//! A store that does what its script says, on tokio's paused clock.

use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use eagre_env::{Clock, Env, HostIdentity, SeededRandomness, TcpNetwork};
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, RenameOptions, memory::InMemory,
};
use tokio::time::{Instant, sleep};

use crate::resilient::verdict::failure;
use crate::resilient::{ResilienceSettings, ResilientStore, SlowDown};
use bytes::Bytes;
use object_store::{Error, GetOptions, GetResult, ObjectStore, PutOptions, PutPayload, PutResult, Result, path::Path};

/// What happens to one request. Numbers are milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// Done and answered.
    Ok(u64),
    /// 503 SlowDown.
    SlowDown(u64),
    /// 500, and nothing is done.
    Failed(u64),
    /// 500, though it is done.
    DoneButFailed(u64),
    /// 403.
    Denied(u64),
    /// 409, though nothing is there: another write is on its way.
    Conflict(u64),
    /// Never answered, nothing is done.
    Hangs,
    /// Never answered, but done after so long.
    HangsDone(u64),
}

#[derive(Clone)]
pub(super) struct Scripted {
    pub inner: Arc<InMemory>,
    script: Arc<Mutex<VecDeque<Step>>>,
    otherwise: Arc<Mutex<Step>>,
    sent: Arc<AtomicU32>,
}

impl Scripted {
    /// Answers after 20 ms when the script says nothing.
    pub fn new() -> Self {
        Self {
            inner: Arc::default(),
            script: Arc::default(),
            otherwise: Arc::new(Mutex::new(Step::Ok(20))),
            sent: Arc::default(),
        }
    }

    pub fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.script.lock().unwrap().extend(steps);
    }

    pub fn otherwise(&self, step: Step) {
        *self.otherwise.lock().unwrap() = step;
    }

    /// Requests since the last call.
    pub fn take_sent(&self) -> u32 {
        self.sent.swap(0, Ordering::Relaxed)
    }

    async fn play<T, F>(&self, request: impl FnOnce(Arc<InMemory>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let step = self.script.lock().unwrap().pop_front();
        let step = step.unwrap_or(*self.otherwise.lock().unwrap());
        let request = request(Arc::clone(&self.inner));
        let after = |ms| sleep(Duration::from_millis(ms));
        match step {
            Step::Ok(ms) => {
                after(ms).await;
                request.await
            }
            Step::SlowDown(ms) => {
                after(ms).await;
                Err(failure(SlowDown))
            }
            Step::Failed(ms) => {
                after(ms).await;
                Err(failure(std::io::Error::other("500")))
            }
            Step::DoneButFailed(ms) => {
                let done = request.await;
                after(ms).await;
                done.and_then(|_| Err(failure(std::io::Error::other("500"))))
            }
            Step::Denied(ms) => {
                after(ms).await;
                Err(Error::PermissionDenied { path: String::new(), source: "403".into() })
            }
            Step::Conflict(ms) => {
                after(ms).await;
                Err(Error::AlreadyExists { path: String::new(), source: "409".into() })
            }
            Step::Hangs => std::future::pending().await,
            Step::HangsDone(ms) => {
                tokio::spawn(async move {
                    sleep(Duration::from_millis(ms)).await;
                    // Whether it met another's object is nobody's concern any more.
                    drop(request.await);
                });
                std::future::pending().await
            }
        }
    }
}

#[async_trait::async_trait]
impl ObjectStore for Scripted {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let location = location.clone();
        self.play(|inner| async move { inner.put_opts(&location, payload, opts).await }).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let location = location.clone();
        self.play(|inner| async move { inner.get_opts(&location, options).await }).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
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

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

impl fmt::Display for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

/// A clock that goes with tokio's.
#[derive(Debug)]
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn unix_ms(&self) -> i64 {
        0
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

pub(super) fn env() -> Env {
    let host = HostIdentity { machine: String::new(), process: 1, started: 1 };
    let clock = Arc::new(PausedClock(Instant::now()));
    Env::new(clock, Arc::new(SeededRandomness::new(7)), Arc::new(TcpNetwork), host)
}

/// The layer over a script, and the script.
pub(super) fn resilient() -> (Scripted, ResilientStore) {
    let scripted = Scripted::new();
    let store = ResilientStore::new(&env(), Arc::new(scripted.clone()), ResilienceSettings::default());
    (scripted, store)
}
