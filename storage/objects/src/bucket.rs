//! A bucket that is known to be Eagre's.

use std::{fs, io, ops::Range, path::Path as FilePath, sync::Arc};

use bytes::Bytes;
use eagre_env::Env;
use futures::{TryStreamExt, stream::BoxStream};
use object_store::{
    Error as StoreError, GetOptions, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt, PutMode,
    memory::InMemory, path::Path,
};

use crate::{
    BucketUrl, MARKER_KEY, Marker, MarkerError,
    folder::FolderStore,
    instrumented::InstrumentedStore,
    marker::MARKER_BYTES_MAX,
    modelled::ModelledStore,
    resilient::{ResilienceSettings, ResilientStore},
};

/// What lies under a bucket; caches and intervals depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketKind {
    /// A folder of this machine. A disk cache before it would only copy the disk.
    Folder,
    /// Memory of this process.
    Memory,
    /// Behind a network.
    Remote,
}

/// A bucket with Eagre's marker in it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    kind: BucketKind,
    marker: Arc<Marker>,
}

/// Why a bucket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path leads to a file.
    #[error("{path} is not a folder")]
    NotAFolder {
        /// As given.
        path: String,
    },
    /// The folder cannot be written.
    #[error("the folder {path} cannot be written: {source}")]
    ReadOnly {
        /// As given.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The folder cannot be made or reached.
    #[error("the folder {path} cannot be opened: {source}")]
    Folder {
        /// As given.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// It holds other things and no marker.
    #[error("{bucket} is not an Eagre bucket: it has no {MARKER_KEY} but holds '{holds}'; name an empty or a new one")]
    NotABucket {
        /// What was opened.
        bucket: String,
        /// One of the things that it holds.
        holds: String,
    },
    /// The marker is of a newer format or cannot be read.
    #[error("{bucket} cannot be used: {source}")]
    Marker {
        /// What was opened.
        bucket: String,
        /// What is wrong with the marker.
        source: MarkerError,
    },
    /// The bucket gave no usable answer.
    #[error("{bucket} cannot be opened: {source}")]
    Store {
        /// What was opened.
        bucket: String,
        /// What it said.
        source: StoreError,
    },
}

/// A write failed: whether the object is there now is unknown.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {key}: {source}")]
pub struct PutError {
    /// Key of the object.
    pub key: String,
    /// What the bucket said.
    pub source: StoreError,
}

/// What became of a create-if-absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateOutcome {
    /// The object holds the bytes given.
    Created,
    /// Somebody else's object is there.
    Exists {
        /// What it holds.
        bytes: Bytes,
    },
}

/// Why an object's bytes cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// There is no such object.
    #[error("there is no {key}")]
    Missing {
        /// Key of the object.
        key: String,
    },
    /// The body ended early. Ask again.
    #[error("{key} came with {} bytes instead of {expected_bytes}", .got.len())]
    Short {
        /// Key of the object.
        key: String,
        /// As the bucket had announced.
        expected_bytes: u64,
        /// What came.
        got: Bytes,
    },
    /// Longer than the caller takes.
    #[error("{key} has {length_bytes} bytes, over the limit of {limit_bytes}")]
    TooLong {
        /// Key of the object.
        key: String,
        /// Its length.
        length_bytes: u64,
        /// The caller's limit.
        limit_bytes: u64,
    },
    /// The bucket gave no usable answer.
    #[error("cannot read {key}: {source}")]
    Failed {
        /// Key of the object.
        key: String,
        /// What the bucket said.
        source: StoreError,
    },
}

/// A part of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranged {
    /// The bytes asked for, up to the end of the object. In a buffer of exactly their length.
    pub bytes: Bytes,
    /// Length of the whole object.
    pub object_length_bytes: u64,
}

impl Bucket {
    /// Opens a folder, which is made when it is not there, or fresh memory.
    pub async fn open(env: &Env, url: &BucketUrl) -> Result<Self, OpenError> {
        match url {
            BucketUrl::Memory => Self::from_store(env, Arc::new(InMemory::new()), BucketKind::Memory).await,
            BucketUrl::Modelled(model) => {
                let resilience = ResilienceSettings { has_hedges: model.has_hedges };
                Self::layered(env, Arc::new(ModelledStore::new(env, model)), BucketKind::Remote, resilience).await
            }
            BucketUrl::Folder(path) => {
                let folder = path.clone();
                let store = tokio::task::spawn_blocking(move || open_folder(&folder)).await.map_err(|error| {
                    OpenError::Store { bucket: path.display().to_string(), source: StoreError::from(error) }
                })??;
                Self::from_store(env, Arc::new(store), BucketKind::Folder).await
            }
        }
    }

    /// Opens any store. The marker is made when the store is empty. One behind a network gets the layer that bears with it.
    pub async fn from_store(env: &Env, store: Arc<dyn ObjectStore>, kind: BucketKind) -> Result<Self, OpenError> {
        Self::layered(env, store, kind, ResilienceSettings::default()).await
    }

    async fn layered(
        env: &Env,
        store: Arc<dyn ObjectStore>,
        kind: BucketKind,
        resilience: ResilienceSettings,
    ) -> Result<Self, OpenError> {
        let counted: Arc<dyn ObjectStore> = Arc::new(InstrumentedStore::new(store, Arc::clone(&env.clock)));
        let store: Arc<dyn ObjectStore> = match kind {
            BucketKind::Remote => Arc::new(ResilientStore::new(env, counted, resilience)),
            BucketKind::Folder | BucketKind::Memory => counted,
        };
        let marker = read_or_make_marker(env, &store).await?;
        Ok(Self { store, kind, marker: Arc::new(marker) })
    }

    /// The store below, counted and timed. For SlateDB and for what [`Bucket`] has no word for.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// What lies under it.
    pub fn kind(&self) -> BucketKind {
        self.kind
    }

    /// The UUID that the bucket got when it was made.
    pub fn cluster_id(&self) -> &str {
        &self.marker.cluster_id
    }

    /// The whole marker.
    pub fn marker(&self) -> &Marker {
        &self.marker
    }

    /// Writes an object, over an older one of that key if there is one. When `Ok`, it is durable.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), PutError> {
        let result = self.store.put(&Path::from(key), bytes.into()).await;
        result.map(drop).map_err(|source| PutError { key: key.into(), source })
    }

    /// Writes an object unless there is one. When `Ok`, what the outcome says is durable.
    ///
    /// A store may report our own write as somebody else's, when it tried it twice; so an object that holds the very bytes
    /// given counts as created. Where it matters who made it, the bytes carry a nonce.
    pub async fn create(&self, key: &str, bytes: Bytes) -> Result<CreateOutcome, PutError> {
        create(self.store.as_ref(), key, bytes).await
    }

    /// Reads a whole object of at most `limit_bytes`.
    pub async fn get(&self, key: &str, limit_bytes: u64) -> Result<Bytes, GetError> {
        get(self.store.as_ref(), key, limit_bytes).await
    }

    /// Reads the bytes of a range as far as the object goes. A range that begins at or behind its end is
    /// [`GetError::Failed`].
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Ranged, GetError> {
        let options = GetOptions::new().with_range(Some(range));
        let result = self.store.get_opts(&Path::from(key), options).await.map_err(|error| get_error(key, error))?;
        let object_length_bytes = result.meta.size;
        Ok(Ranged { bytes: body(key, result).await?, object_length_bytes })
    }

    /// Length of an object.
    pub async fn length_bytes(&self, key: &str) -> Result<u64, GetError> {
        let meta = self.store.head(&Path::from(key)).await.map_err(|error| get_error(key, error))?;
        Ok(meta.size)
    }
}

async fn create(store: &dyn ObjectStore, key: &str, bytes: Bytes) -> Result<CreateOutcome, PutError> {
    let failed = |source| PutError { key: key.into(), source };
    let path = Path::from(key);
    match store.put_opts(&path, bytes.clone().into(), PutMode::Create.into()).await {
        Ok(_) => Ok(CreateOutcome::Created),
        Err(StoreError::AlreadyExists { .. }) => {
            let found = store.get(&path).await.map_err(failed)?.bytes().await.map_err(failed)?;
            Ok(if found == bytes { CreateOutcome::Created } else { CreateOutcome::Exists { bytes: found } })
        }
        Err(source) => Err(failed(source)),
    }
}

async fn get(store: &dyn ObjectStore, key: &str, limit_bytes: u64) -> Result<Bytes, GetError> {
    let result = store.get(&Path::from(key)).await.map_err(|error| get_error(key, error))?;
    let length_bytes = result.meta.size;
    if length_bytes > limit_bytes {
        return Err(GetError::TooLong { key: key.into(), length_bytes, limit_bytes });
    }
    body(key, result).await
}

fn get_error(key: &str, error: StoreError) -> GetError {
    match error {
        StoreError::NotFound { .. } => GetError::Missing { key: key.into() },
        source => GetError::Failed { key: key.into(), source },
    }
}

/// The bytes of an answer, in a buffer of their length and checked for it.
async fn body(key: &str, result: GetResult) -> Result<Bytes, GetError> {
    let failed = |source| GetError::Failed { key: key.into(), source };
    let range = result.range.clone();
    let expected_bytes = range.end - range.start;
    let capacity = usize::try_from(expected_bytes).unwrap_or(usize::MAX);
    let bytes = match result.payload {
        GetResultPayload::File(file, _) => {
            let read = tokio::task::spawn_blocking(move || read_at(&file, range.start, capacity)).await;
            let read = read.map_err(|error| failed(error.into()))?;
            read.map_err(|source| failed(StoreError::Generic { store: "folder", source: Box::new(source) }))?
        }
        GetResultPayload::Stream(stream) => collect(stream, capacity).await.map_err(failed)?,
    };
    if bytes.len() == capacity {
        Ok(bytes)
    } else {
        Err(GetError::Short { key: key.into(), expected_bytes, got: bytes })
    }
}

/// The chunks of a body in a buffer of their own: a chunk may be a slice of a larger one. A body that goes on beyond what
/// was announced is cut there.
async fn collect(
    mut chunks: BoxStream<'static, Result<Bytes, StoreError>>,
    length: usize,
) -> Result<Bytes, StoreError> {
    let mut whole = Vec::with_capacity(length);
    while whole.len() < length {
        let Some(chunk) = chunks.try_next().await? else { break };
        let room = length - whole.len();
        whole.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(whole.into())
}

/// Reads into fresh memory without clearing it first.
fn read_at(file: &fs::File, start: u64, length: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let at = start + bytes.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), at) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(length);
    Ok(bytes.into())
}

fn open_folder(path: &FilePath) -> Result<FolderStore, OpenError> {
    let shown = || path.display().to_string();
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => return Err(OpenError::NotAFolder { path: shown() }),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(path).map_err(|source| match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    OpenError::ReadOnly { path: shown(), source }
                }
                _ => OpenError::Folder { path: shown(), source },
            })?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(OpenError::NotAFolder { path: shown() });
        }
        Err(source) => return Err(OpenError::Folder { path: shown(), source }),
    }
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::READ_OK | rustix::fs::Access::EXEC_OK;
    let flags = rustix::fs::AtFlags::EACCESS;
    if let Err(error) = rustix::fs::accessat(rustix::fs::CWD, path, access, flags) {
        return Err(OpenError::ReadOnly { path: shown(), source: error.into() });
    }
    FolderStore::open(path).map_err(|source| OpenError::Folder { path: shown(), source })
}

/// Makes the folder and those above it, and syncs every directory that got a new entry.
fn make_folder(path: &FilePath) -> io::Result<()> {
    let absolute = std::path::absolute(path)?;
    let there = absolute.ancestors().find(|ancestor| ancestor.is_dir()).map(FilePath::to_path_buf);
    fs::create_dir_all(&absolute)?;
    let Some(there) = there else { return Ok(()) };
    for directory in absolute.ancestors().take_while(|ancestor| ancestor.starts_with(&there)) {
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}

async fn read_or_make_marker(env: &Env, store: &Arc<dyn ObjectStore>) -> Result<Marker, OpenError> {
    let bucket = store.to_string();
    if let Some(marker) = read_marker(store.as_ref(), &bucket).await? {
        return Ok(marker);
    }
    if let Some(holds) = something_else(store.as_ref(), &bucket).await? {
        // Another process may have made the bucket just now: its marker came before anything else.
        return match read_marker(store.as_ref(), &bucket).await? {
            Some(marker) => Ok(marker),
            None => Err(OpenError::NotABucket { bucket, holds }),
        };
    }
    let marker = Marker::new(env);
    let made = create(store.as_ref(), MARKER_KEY, marker.encode().into()).await;
    match made.map_err(|error| OpenError::Store { bucket: bucket.clone(), source: error.source })? {
        CreateOutcome::Created => {
            tracing::info!(bucket, cluster_id = marker.cluster_id, "bucket made");
            Ok(marker)
        }
        CreateOutcome::Exists { bytes } => {
            Marker::decode(&bytes).map_err(|source| OpenError::Marker { bucket, source })
        }
    }
}

async fn read_marker(store: &dyn ObjectStore, bucket: &str) -> Result<Option<Marker>, OpenError> {
    let unreadable = |source| OpenError::Marker { bucket: bucket.into(), source };
    match get(store, MARKER_KEY, MARKER_BYTES_MAX).await {
        Ok(bytes) => Marker::decode(&bytes).map(Some).map_err(unreadable),
        Err(GetError::Missing { .. }) => Ok(None),
        Err(error @ (GetError::TooLong { .. } | GetError::Short { .. })) => {
            Err(unreadable(MarkerError::Unreadable(error.to_string())))
        }
        Err(GetError::Failed { source, .. }) => Err(OpenError::Store { bucket: bucket.into(), source }),
    }
}

/// The name of something in a store that has no marker. Leftovers of a marker that was never finished do not count (no
/// store lists them), nor does the `lost+found` of a fresh file system.
async fn something_else(store: &dyn ObjectStore, bucket: &str) -> Result<Option<String>, OpenError> {
    let listed = store.list_with_delimiter(None).await;
    let listed = listed.map_err(|source| OpenError::Store { bucket: bucket.into(), source })?;
    let folders = listed.common_prefixes.iter().map(ToString::to_string);
    let objects = listed.objects.iter().map(|object| object.location.to_string());
    Ok(folders.chain(objects).find(|name| name != "lost+found"))
}
