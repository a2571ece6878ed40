//! The place below `check/<random>/` where a check works, and what it does there again and again.

use std::{
    collections::BTreeSet,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use eagre_env::{Clock, Env};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, path::Path};

/// What all keys of all checks begin with.
pub const CHECK_FOLDER: &str = "check";
/// Random bits are named by so many hexadecimal digits.
const NONCE_DIGITS: usize = 32;
/// A listing may show for a while what was deleted: it is looked at so often.
const CLEAN_UP_ROUNDS: usize = 3;
/// Requests in flight where nothing depends on their number.
const IN_FLIGHT: usize = 16;

/// Whether a key is of a check, which may have been killed before it cleaned up.
pub(crate) fn is_leftover(key: &Path) -> bool {
    let mut parts = key.as_ref().split('/');
    let is_nonce = |part: &str| part.len() == NONCE_DIGITS && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.next() == Some(CHECK_FOLDER) && parts.next().is_some_and(is_nonce) && parts.next().is_some()
}

/// Where a check works.
pub(super) struct Bench {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) clock: Arc<dyn Clock>,
    root: Path,
    stopped: AtomicBool,
}

impl Bench {
    pub(super) fn new(env: &Env, store: Arc<dyn ObjectStore>) -> Self {
        let root = Path::from(format!("{CHECK_FOLDER}/{:0NONCE_DIGITS$x}", env.random.next_u128()));
        Self { store, clock: env.clock.clone(), root, stopped: AtomicBool::new(false) }
    }

    /// From now on nothing new is begun.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn at(&self, key: &str) -> Path {
        Path::from(format!("{}/{key}", self.root))
    }

    pub(super) async fn put(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.store.put(&self.at(key), bytes.clone().into()).await.map(drop)
    }

    /// Writes many keys, some at a time. When it returns, no write goes on.
    pub(super) async fn put_all(&self, keys: impl Iterator<Item = String>, bytes: &Bytes) -> Result<(), StoreError> {
        let put = async |key: String| self.put(&key, bytes).await;
        let going_on = stream::iter(keys).take_while(|_| ready(!self.is_stopped()));
        let written: Vec<_> = going_on.map(put).buffer_unordered(IN_FLIGHT).collect().await;
        written.into_iter().collect()
    }

    pub(super) async fn read(&self, key: &str) -> Result<Bytes, StoreError> {
        self.store.get(&self.at(key)).await?.bytes().await
    }

    /// Whether the answer is that the object was made.
    pub(super) async fn create(&self, key: &str, bytes: Bytes) -> Result<bool, StoreError> {
        match self.store.put_opts(&self.at(key), bytes.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(StoreError::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The keys below a prefix, as they are named here.
    pub(super) async fn keys(&self, prefix: &str) -> Result<BTreeSet<String>, StoreError> {
        let listed: Vec<_> = self.store.list(Some(&self.at(prefix))).try_collect().await?;
        Ok(self.relative(listed.iter().map(|meta| &meta.location)))
    }

    pub(super) fn relative<'a>(&self, paths: impl Iterator<Item = &'a Path>) -> BTreeSet<String> {
        let root = format!("{}/", self.root);
        paths.map(|path| path.as_ref().trim_start_matches(&root).to_owned()).collect()
    }

    pub(super) async fn clean_up(&self) -> Result<(), String> {
        let failed = |error: StoreError| format!("what lies below {} could not be deleted: {error}", self.root);
        let mut left = 0;
        for _ in 0..CLEAN_UP_ROUNDS {
            let listed: Vec<_> = self.store.list(Some(&self.root)).try_collect().await.map_err(failed)?;
            if listed.is_empty() {
                return Ok(());
            }
            left = listed.len();
            let paths = stream::iter(listed).map(|meta| Ok(meta.location)).boxed();
            let mut deleted = self.store.delete_stream(paths);
            while let Some(result) = deleted.next().await {
                match result {
                    Ok(_) | Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        let listed: Vec<_> = self.store.list(Some(&self.root)).try_collect().await.map_err(failed)?;
        if listed.is_empty() {
            Ok(())
        } else {
            Err(format!("{left} objects below {} are listed after they were deleted", self.root))
        }
    }
}

/// Bytes that differ at every position and between seeds.
pub(super) fn pattern(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect::<Vec<_>>().into()
}
