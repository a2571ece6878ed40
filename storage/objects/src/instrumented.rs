//! One store around every other: counts and times each request.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_env::Clock;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart, path::Path,
};

use crate::price::nanodollars;

/// Counter: requests by `op` (`put`, `create`, `get`, `head`, `list`, `delete`, `copy`, `rename`, `multipart_start`,
/// `multipart_part`, `multipart_end`) and `result` (`ok`, `missing`, `exists`, `precondition`, `error`).
pub const REQUESTS_TOTAL: &str = "eagre_bucket_requests_total";
/// Counter: payload bytes by `op` (`put`, `create`, `multipart_part`: sent; `get`: asked for).
pub const BYTES_TOTAL: &str = "eagre_bucket_bytes_total";
/// Histogram: seconds until the answer by `op`; of a `get` until its first byte.
pub const REQUEST_SECONDS: &str = "eagre_bucket_request_seconds";

/// Counter: what the requests would cost on S3 Standard by `op`, in billionths of a dollar; see [`crate::price`].
pub const ESTIMATED_NANODOLLARS_TOTAL: &str = "eagre_bucket_estimated_nanodollars_total";

const OPS: [&str; 11] = [
    "put",
    "create",
    "get",
    "head",
    "list",
    "delete",
    "copy",
    "rename",
    "multipart_start",
    "multipart_part",
    "multipart_end",
];

/// What a bucket bills as one LIST.
const LIST_PAGE_KEYS: u64 = 1_000;

/// How many objects were written, or parts of them: what a bucket bills as a PUT, whatever became of it. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct PutCount(Arc<AtomicU64>);

impl PutCount {
    pub(crate) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn note(&self, op: &'static str) {
        if matches!(op, "put" | "create" | "copy" | "multipart_start" | "multipart_part" | "multipart_end") {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Counts and times the requests to another store.
pub(crate) struct InstrumentedStore {
    inner: Arc<dyn ObjectStore>,
    probe: Probe,
}

impl InstrumentedStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>, puts: PutCount) -> Self {
        describe();
        Self { inner, probe: Probe { clock, puts } }
    }
}

/// Says what the metrics mean. Counters begin at 0, so that the first error of a kind is seen as a rise.
fn describe() {
    metrics::describe_counter!(REQUESTS_TOTAL, "Requests to the bucket by kind and result");
    metrics::describe_counter!(BYTES_TOTAL, metrics::Unit::Bytes, "Payload bytes to and from the bucket by kind");
    metrics::describe_histogram!(REQUEST_SECONDS, metrics::Unit::Seconds, "Time until the bucket answers by kind");
    metrics::describe_counter!(
        ESTIMATED_NANODOLLARS_TOTAL,
        "Billionths of a dollar that the requests would cost at list prices of S3 Standard, by kind; an estimate"
    );
    for op in OPS {
        for result in ["ok", "error"] {
            metrics::counter!(REQUESTS_TOTAL, "op" => op, "result" => result).increment(0);
        }
        metrics::counter!(ESTIMATED_NANODOLLARS_TOTAL, "op" => op).increment(0);
    }
    for op in ["put", "create", "get", "multipart_part"] {
        metrics::counter!(BYTES_TOTAL, "op" => op).increment(0);
    }
}

/// Counts a request that was made.
fn count(op: &'static str, result: &'static str) {
    metrics::counter!(REQUESTS_TOTAL, "op" => op, "result" => result).increment(1);
    metrics::counter!(ESTIMATED_NANODOLLARS_TOTAL, "op" => op).increment(nanodollars(op, result));
}

#[derive(Clone)]
struct Probe {
    clock: Arc<dyn Clock>,
    puts: PutCount,
}

impl Probe {
    fn start(&self, op: &'static str) -> Running {
        Running { probe: self.clone(), op, started: self.clock.monotonic(), is_over: false }
    }
}

/// A request under way. One whose caller goes away, as after a timeout or beside a quicker hedge, was made all the same.
struct Running {
    probe: Probe,
    op: &'static str,
    started: Duration,
    is_over: bool,
}

impl Running {
    fn end<T>(mut self, result: &Result<T>, bytes: u64) {
        self.is_over = true;
        // The store's client refused by itself, as it does with attributes for a folder: no request was made.
        if matches!(result, Err(Error::NotSupported { .. } | Error::NotImplemented { .. })) {
            return;
        }
        self.record(label(result));
        if result.is_ok() && bytes > 0 {
            metrics::counter!(BYTES_TOTAL, "op" => self.op).increment(bytes);
        }
    }

    fn record(&self, result: &'static str) {
        count(self.op, result);
        self.probe.puts.note(self.op);
        let elapsed = self.probe.clock.monotonic().saturating_sub(self.started);
        metrics::histogram!(REQUEST_SECONDS, "op" => self.op).record(elapsed.as_secs_f64());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            self.record("given_up");
        }
    }
}

fn label<T>(result: &Result<T>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Error::NotFound { .. }) => "missing",
        Err(Error::AlreadyExists { .. }) => "exists",
        Err(Error::Precondition { .. } | Error::NotModified { .. }) => "precondition",
        Err(_) => "error",
    }
}

fn put_op(mode: &PutMode) -> &'static str {
    match mode {
        PutMode::Create => "create",
        PutMode::Overwrite | PutMode::Update(_) => "put",
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for InstrumentedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let (op, bytes) = (put_op(&opts.mode), payload.content_length() as u64);
        let running = self.probe.start(op);
        let result = self.inner.put_opts(location, payload, opts).await;
        running.end(&result, bytes);
        result
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let running = self.probe.start("multipart_start");
        let result = self.inner.put_multipart_opts(location, opts).await;
        running.end(&result, 0);
        Ok(Box::new(InstrumentedUpload { inner: result?, probe: self.probe.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let op = if options.head { "head" } else { "get" };
        let running = self.probe.start(op);
        let result = self.inner.get_opts(location, options).await;
        let bytes = match (&result, op) {
            (Ok(got), "get") => got.range.end.saturating_sub(got.range.start),
            _ => 0,
        };
        running.end(&result, bytes);
        result
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let running = self.probe.start("get");
        let result = self.inner.get_ranges(location, ranges).await;
        let bytes = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        running.end(&result, bytes);
        result
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        // A stream has no single time: only the requests are counted.
        self.inner.delete_stream(locations).inspect(|result| count("delete", label(result))).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        counted_list(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        counted_list(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let running = self.probe.start("list");
        let result = self.inner.list_with_delimiter(prefix).await;
        running.end(&result, 0);
        result
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let running = self.probe.start("copy");
        let result = self.inner.copy_opts(from, to, options).await;
        running.end(&result, 0);
        result
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let running = self.probe.start("rename");
        let result = self.inner.rename_opts(from, to, options).await;
        running.end(&result, 0);
        result
    }
}

/// One request at the start and one more for every full page of keys.
fn counted_list(entries: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
    count("list", "ok");
    let mut keys = 0u64;
    entries
        .inspect(move |entry| match entry {
            Ok(_) => {
                keys += 1;
                if keys.is_multiple_of(LIST_PAGE_KEYS) {
                    count("list", "ok");
                }
            }
            Err(_) => count("list", label(entry)),
        })
        .boxed()
}

#[derive(Debug)]
struct InstrumentedUpload {
    inner: Box<dyn MultipartUpload>,
    probe: Probe,
}

#[async_trait]
impl MultipartUpload for InstrumentedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (bytes, probe) = (data.content_length() as u64, self.probe.clone());
        let part = self.inner.put_part(data);
        Box::pin(async move {
            let running = probe.start("multipart_part");
            let result = part.await;
            running.end(&result, bytes);
            result
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let running = self.probe.start("multipart_end");
        let result = self.inner.complete().await;
        running.end(&result, 0);
        result
    }

    async fn abort(&mut self) -> Result<()> {
        let running = self.probe.start("multipart_end");
        let result = self.inner.abort().await;
        running.end(&result, 0);
        result
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}

impl fmt::Debug for InstrumentedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstrumentedStore({:?})", self.inner)
    }
}

impl fmt::Display for InstrumentedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
