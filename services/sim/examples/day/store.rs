//! A bucket in memory that keeps its objects compressed, so that a day of records of zeros fits, and counts its requests. Each process has its
//! own way to it, which ends with the process: what a dead one still asks is never answered.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use eagre_env::Clock;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
    path::Path,
};

/// Of every request; bytes come on top.
const FIRST_BYTE: Duration = Duration::from_millis(30);
const BYTES_PER_MS: u64 = 120 << 10;

/// How many requests there were.
#[derive(Debug, Clone, Copy, Default)]
pub struct Requests {
    pub puts: u64,
    pub gets: u64,
    pub lists: u64,
    pub deletes: u64,
}

/// What the bucket holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Holdings {
    /// Objects with records.
    pub record_objects: usize,
    pub record_bytes: u64,
    /// All others: metadata, claims, markers.
    pub other_objects: usize,
    pub other_bytes: u64,
    /// Of them, those of the metadata's log.
    pub log_objects: usize,
    /// And its tables.
    pub table_objects: usize,
    pub table_bytes: u64,
    /// What all of it takes here.
    pub folded_bytes: u64,
}

struct Object {
    folded: Bytes,
    length_bytes: u64,
    tag: u64,
    modified: DateTime<Utc>,
    attributes: Attributes,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Path, Object>,
    requests: Requests,
    next_tag: u64,
}

/// One process' way to the bucket. Clones are the same.
#[derive(Clone)]
pub struct FoldedStore {
    clock: Arc<dyn Clock>,
    is_dead: Arc<AtomicBool>,
    state: Arc<Mutex<State>>,
}

impl FoldedStore {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, is_dead: Arc::default(), state: Arc::default() }
    }

    /// The process dies; returns the next one's way to the same bucket.
    pub fn die(&self) -> Self {
        self.is_dead.store(true, Ordering::Relaxed);
        Self { is_dead: Arc::default(), ..self.clone() }
    }

    /// The time that a request takes; for ever, for a dead process.
    async fn take_time(&self, bytes: u64) {
        tokio::time::sleep(FIRST_BYTE + Duration::from_millis(bytes / BYTES_PER_MS)).await;
        if self.is_dead.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    pub fn requests(&self) -> Requests {
        self.state().requests
    }

    pub fn holdings(&self) -> Holdings {
        let mut held = Holdings::default();
        for (path, object) in &self.state().objects {
            held.folded_bytes += object.folded.len() as u64;
            if path.as_ref().starts_with("wal/") {
                held.record_objects += 1;
                held.record_bytes += object.length_bytes;
            } else {
                held.other_objects += 1;
                held.other_bytes += object.length_bytes;
                held.log_objects += usize::from(path.as_ref().starts_with("meta/0/wal/"));
                if path.as_ref().starts_with("meta/0/compacted/") {
                    held.table_objects += 1;
                    held.table_bytes += object.length_bytes;
                }
            }
        }
        held
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, path: &Path, bytes: &[u8], mode: &PutMode, attributes: Attributes) -> Result<PutResult> {
        // A copy of its own length: what was reserved for the worst case would stay in holes.
        let folded = Bytes::copy_from_slice(&lz4_flex::compress_prepend_size(bytes));
        let modified = DateTime::from_timestamp_millis(self.clock.unix_ms()).unwrap_or_default();
        let mut state = self.state();
        let present = state.objects.get(path).map(|object| object.tag.to_string());
        match (mode, present) {
            (PutMode::Create, Some(_)) => {
                return Err(Error::AlreadyExists { path: path.to_string(), source: "it is there".into() });
            }
            (PutMode::Update(version), present) if version.e_tag != present => {
                return Err(Error::Precondition { path: path.to_string(), source: "it has changed".into() });
            }
            _ => {}
        }
        state.next_tag += 1;
        let tag = state.next_tag;
        let object = Object { folded, length_bytes: bytes.len() as u64, tag, modified, attributes };
        state.objects.insert(path.clone(), object);
        Ok(PutResult { e_tag: Some(tag.to_string()), version: None, extensions: Default::default() })
    }
}

fn meta(path: &Path, object: &Object) -> ObjectMeta {
    ObjectMeta {
        location: path.clone(),
        last_modified: object.modified,
        size: object.length_bytes,
        e_tag: Some(object.tag.to_string()),
        version: None,
    }
}

fn missing(path: &Path) -> Error {
    Error::NotFound { path: path.to_string(), source: "there is no such object".into() }
}

#[async_trait]
impl ObjectStore for FoldedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.state().requests.puts += 1;
        let bytes = Bytes::from(payload);
        self.take_time(bytes.len() as u64).await;
        self.write(location, &bytes, &options.mode, options.attributes)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.state().requests.puts += 1;
        self.take_time(0).await;
        let (store, path) = (self.clone(), location.clone());
        Ok(Box::new(Upload { store, path, attributes: options.attributes, parts: Arc::default(), begun: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.state().requests.gets += 1;
        self.take_time(0).await;
        let (meta, folded, attributes) = {
            let state = self.state();
            let object = state.objects.get(location).ok_or_else(|| missing(location))?;
            (meta(location, object), object.folded.clone(), object.attributes.clone())
        };
        options.check_preconditions(&meta)?;
        let whole = 0..meta.size;
        let range = match options.range {
            Some(range) => range.as_range(meta.size).map_err(|error| generic(Box::new(error)))?,
            None => whole,
        };
        let bytes = if options.head {
            Bytes::new()
        } else {
            let all = lz4_flex::decompress_size_prepended(&folded).map_err(|error| generic(Box::new(error)))?;
            let within = |at: u64| usize::try_from(at).map_err(|error| generic(Box::new(error)));
            Bytes::from(all).slice(within(range.start)?..within(range.end)?)
        };
        self.take_time(bytes.len() as u64).await;
        let payload = GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions: Default::default() })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let deleted = locations.then(move |location| {
            let store = store.clone();
            async move {
                let location = location?;
                store.take_time(0).await;
                let mut state = store.state();
                state.requests.deletes += 1;
                state.objects.remove(&location);
                Ok(location)
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let listing = async move {
            store.take_time(0).await;
            let mut state = store.state();
            state.requests.lists += 1;
            let found = state.objects.iter().filter(|(path, _)| path.prefix_matches(&prefix) && **path != prefix);
            stream::iter(found.map(|(path, object)| Ok(meta(path, object))).collect::<Vec<_>>())
        };
        stream::once(listing).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.take_time(0).await;
        let mut state = self.state();
        state.requests.lists += 1;
        let root = Path::default();
        let prefix = prefix.unwrap_or(&root);
        let (mut folders, mut objects) = (Vec::new(), Vec::new());
        for (path, object) in &state.objects {
            let Some(mut rest) = path.prefix_match(prefix) else { continue };
            let Some(first) = rest.next() else { continue };
            if rest.next().is_some() {
                let folder = prefix.clone().join(first);
                if folders.last() != Some(&folder) {
                    folders.push(folder);
                }
            } else {
                objects.push(meta(path, object));
            }
        }
        Ok(ListResult { common_prefixes: folders, objects, extensions: Default::default() })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.state().requests.puts += 1;
        self.take_time(0).await;
        let (folded, attributes) = {
            let state = self.state();
            let object = state.objects.get(from).ok_or_else(|| missing(from))?;
            (object.folded.clone(), object.attributes.clone())
        };
        let bytes = lz4_flex::decompress_size_prepended(&folded).map_err(|error| generic(Box::new(error)))?;
        let mode = match options.mode {
            CopyMode::Create => PutMode::Create,
            CopyMode::Overwrite => PutMode::Overwrite,
        };
        self.write(to, &bytes, &mode, attributes).map(|_| ())
    }
}

fn generic(source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Generic { store: "folded", source }
}

struct Upload {
    store: FoldedStore,
    path: Path,
    attributes: Attributes,
    parts: Arc<Mutex<BTreeMap<usize, Bytes>>>,
    begun: usize,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (store, parts, number) = (self.store.clone(), self.parts.clone(), self.begun);
        self.begun += 1;
        Box::pin(async move {
            store.state().requests.puts += 1;
            let bytes = Bytes::from(data);
            store.take_time(bytes.len() as u64).await;
            parts.lock().unwrap_or_else(PoisonError::into_inner).insert(number, bytes);
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.store.state().requests.puts += 1;
        self.store.take_time(0).await;
        let bytes: Vec<u8> = {
            let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
            parts.values().flat_map(|part| part.iter().copied()).collect()
        };
        self.store.write(&self.path, &bytes, &PutMode::Overwrite, self.attributes.clone())
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(())
    }
}

impl fmt::Display for FoldedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a folded bucket")
    }
}

impl fmt::Debug for FoldedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FoldedStore")
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({})", self.path)
    }
}
