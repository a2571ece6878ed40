//! A folder as a bucket whose answered writes survive a power cut.
//!
//! `LocalFileSystem` with `with_fsync(true)`, as read in 0.14.2, syncs the data, renames or links it into place, syncs the
//! directory, and syncs the directories that this very call made. It leaves two holes, which are closed here:
//!
//! - A directory that another writer made, or a process that was killed since, counts as there although its own entry may
//!   not be on the disk yet. So the whole chain from the root is synced before a directory is first written to.
//! - `AlreadyExists` may be told of an entry whose writer has not synced the directory yet, and a writer that lost its
//!   answer takes it for its own success. So the directory is synced before the caller is told.
//!
//! And the folder itself may go while it is used: unmounted, moved, deleted. A write would make it anew, in the wrong place;
//! so every write looks first whether it is still the folder that was opened.
//!
//! Deletions are not synced: after a power cut a deleted object may be back, which every deleter must bear anyway.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    ops::Range,
    os::unix::fs::MetadataExt as _,
    path::{Path as FilePath, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, local::LocalFileSystem, path::Path,
};

/// So many synced directories are remembered; then they are forgotten, and synced once more.
const SYNCED_MAX: usize = 4_096;

/// The store over a folder.
pub(crate) struct FolderStore {
    inner: LocalFileSystem,
    root: PathBuf,
    /// Device and inode of the root.
    identity: (u64, u64),
    synced: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl FolderStore {
    /// A store over a folder that exists. Syncs the folder's own entry.
    pub(crate) fn open(root: &FilePath) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if let Some(parent) = root.parent() {
            // A parent that may be passed through but not read cannot be opened; then its owner answers for it.
            match sync_directory(parent) {
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let inner = LocalFileSystem::new_with_prefix(&root).map_err(io::Error::other)?.with_fsync(true);
        let identity = identity(&root)?;
        Ok(Self { inner, root, identity, synced: Arc::default() })
    }

    /// Fails unless the root is the folder that was opened. Asks the system once, which has the answer in memory.
    fn check_root(&self) -> Result<()> {
        if identity(&self.root).is_ok_and(|found| found == self.identity) {
            return Ok(());
        }
        let what = format!("the bucket folder {} is gone, or another one stands in its place", self.root.display());
        Err(Error::Generic { store: "folder", source: what.into() })
    }

    /// Makes the directory of this object and every one above it, durably.
    async fn prepare(&self, location: &Path) -> Result<()> {
        self.check_root()?;
        let file = self.inner.path_to_filesystem(location)?;
        let directory = file.parent().unwrap_or(&self.root).to_path_buf();
        if lock(&self.synced).contains(&directory) {
            return Ok(());
        }
        let (root, synced) = (self.root.clone(), Arc::clone(&self.synced));
        blocking(move || {
            fs::create_dir_all(&directory)?;
            let mut chain = vec![];
            for directory in directory.ancestors().take_while(|ancestor| ancestor.starts_with(&root)) {
                sync_directory(directory)?;
                chain.push(directory.to_path_buf());
            }
            let mut synced = lock(&synced);
            if synced.len() + chain.len() > SYNCED_MAX {
                synced.clear();
            }
            synced.extend(chain);
            Ok(())
        })
        .await
    }

    /// Makes sure that what is said to exist will be there after a power cut.
    async fn settle<T>(&self, location: &Path, result: Result<T>) -> Result<T> {
        if let Err(Error::AlreadyExists { .. }) = &result {
            let file = self.inner.path_to_filesystem(location)?;
            blocking(move || file.parent().map_or(Ok(()), sync_directory)).await?;
        }
        result
    }
}

fn identity(root: &FilePath) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(root)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn lock(synced: &Mutex<BTreeSet<PathBuf>>) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
    synced.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sync_directory(directory: &FilePath) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<()> {
    tokio::task::spawn_blocking(work)
        .await?
        .map_err(|source| Error::Generic { store: "folder", source: Box::new(source) })
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for FolderStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.prepare(location).await?;
        let result = self.inner.put_opts(location, payload, opts).await;
        self.settle(location, result).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.prepare(location).await?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
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

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.prepare(to).await?;
        let result = self.inner.copy_opts(from, to, options).await;
        self.settle(to, result).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.prepare(to).await?;
        let result = self.inner.rename_opts(from, to, options).await;
        self.settle(to, result).await
    }
}

impl fmt::Debug for FolderStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FolderStore").field("root", &self.root).finish_non_exhaustive()
    }
}

impl fmt::Display for FolderStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "folder {}", self.root.display())
    }
}
