//! A bucket that is known to be Eagre's.

use std::{fs, io, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{TryStreamExt, stream::BoxStream};
use object_store::{
    Error as StoreError, GetOptions, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, path::Path,
};

use crate::{Marker, Presence, brief::brief, instrumented::PutCount};

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
    has_conditional_overwrite: bool,
    puts: PutCount,
    presence: Presence,
}

/// A write failed: whether the object is there now is unknown.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {key}: {}", brief(.source))]
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
    #[error("cannot read {key}: {}", brief(.source))]
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
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        kind: BucketKind,
        marker: Marker,
        has_conditional_overwrite: bool,
        puts: PutCount,
        presence: Presence,
    ) -> Self {
        Self { store, kind, marker: Arc::new(marker), has_conditional_overwrite, puts, presence }
    }

    /// The store below, counted and timed. For SlateDB and for what [`Bucket`] has no word for.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// What lies under it.
    pub fn kind(&self) -> BucketKind {
        self.kind
    }

    /// Whether it serves, as far as is known without asking.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Whether it replaces an object only when it is still the one that was read (If-Match).
    pub fn has_conditional_overwrite(&self) -> bool {
        self.has_conditional_overwrite
    }

    /// How many requests this process has made of it that are billed as PUTs, failed ones and hedges included.
    pub fn puts_made(&self) -> u64 {
        self.puts.total()
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
        put(self.store.as_ref(), key, bytes).await
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

pub(crate) async fn put(store: &dyn ObjectStore, key: &str, bytes: Bytes) -> Result<(), PutError> {
    let result = store.put(&Path::from(key), bytes.into()).await;
    result.map(drop).map_err(|source| PutError { key: key.into(), source })
}

pub(crate) async fn create(store: &dyn ObjectStore, key: &str, bytes: Bytes) -> Result<CreateOutcome, PutError> {
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

pub(crate) async fn get(store: &dyn ObjectStore, key: &str, limit_bytes: u64) -> Result<Bytes, GetError> {
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
