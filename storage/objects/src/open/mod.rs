//! Opening a bucket by its URL: reaching it, finding out whether it is ours, and, where it is behind a network, whether it is
//! safe to keep records in.

mod folder;
mod marker;
mod proof;

use std::{io, path::PathBuf, sync::Arc};

use eagre_env::Env;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};

use crate::{
    Bucket, BucketKind, BucketUrl, MARKER_KEY, MarkerError, Presence, Trouble,
    instrumented::{InstrumentedStore, PutCount},
    modelled::ModelledStore,
    remote::{self, Remote},
    resilient::{ResilienceSettings, ResilientStore},
};

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
    /// A bucket behind a network, and something that a person can mend.
    #[error("{bucket} cannot be used: {trouble}")]
    Remote {
        /// What was opened.
        bucket: String,
        /// What is wrong, and what to do about it.
        trouble: Trouble,
    },
    /// It gives one key to several writers. Two sequencers could hold it at once, and acknowledged records be lost.
    #[error(
        "{bucket} is not safe to keep records in: {detail}. Eagre needs a store where only one of several writers can create \
         a key (If-None-Match)"
    )]
    Unsafe {
        /// What was opened.
        bucket: String,
        /// What was seen.
        detail: String,
    },
    /// Whether it is safe could not be found out.
    #[error("{bucket} cannot be opened: whether it is safe to keep records in could not be found out: {detail}")]
    Unproven {
        /// What was opened.
        bucket: String,
        /// What kept it from being found out.
        detail: String,
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

impl OpenError {
    /// What to do about it.
    pub fn advice(&self) -> String {
        match self {
            Self::Remote { trouble, .. } => trouble.advice(),
            Self::Unsafe { .. } => {
                "`eagre bucket check` shows all of it; docs/object-stores.md names stores that are known to be right"
                    .into()
            }
            Self::Unproven { .. } | Self::Store { .. } => "try again, or choose another one with --bucket".into(),
            Self::NotAFolder { .. }
            | Self::ReadOnly { .. }
            | Self::Folder { .. }
            | Self::NotABucket { .. }
            | Self::Marker { .. } => "choose another one with --bucket".into(),
        }
    }
}

/// A bucket that was named and that nothing is known of yet.
pub struct Unopened {
    /// As the service will see it.
    store: Arc<dyn ObjectStore>,
    /// As it is, failures and all.
    raw: Arc<dyn ObjectStore>,
    puts: PutCount,
    kind: BucketKind,
    /// For people.
    name: String,
    folder: Option<PathBuf>,
    remote: Option<Remote>,
    /// Whether it has to pass its races: what is behind a network has, unless it is a model in memory.
    is_raced: bool,
    resilience: ResilienceSettings,
    presence: Presence,
}

impl Unopened {
    /// By its URL: a folder, which is made when it is not there; fresh memory; or one behind a network, of which nothing is
    /// asked yet.
    pub async fn at(env: &Env, url: &BucketUrl) -> Result<Self, OpenError> {
        let name = url.to_string();
        match url {
            BucketUrl::Memory => Ok(Self::of(env, Arc::new(InMemory::new()), BucketKind::Memory, name)),
            BucketUrl::Folder(path) => {
                let (path, folder) = (path.clone(), path.clone());
                let opened = tokio::task::spawn_blocking(move || folder::open(&path)).await;
                let failed = |error| OpenError::Store { bucket: name.clone(), source: StoreError::from(error) };
                let store = Arc::new(opened.map_err(failed)??);
                Ok(Self { folder: Some(folder), ..Self::of(env, store, BucketKind::Folder, name) })
            }
            BucketUrl::Remote(url) => {
                let opened = remote::open(url);
                let remote = opened.map_err(|trouble| OpenError::Remote { bucket: name.clone(), trouble })?;
                let unopened = Self::of(env, Arc::clone(&remote.store), BucketKind::Remote, name);
                Ok(Self { remote: Some(remote), ..unopened })
            }
            BucketUrl::Modelled(model) => {
                let unopened = Self::of(env, Arc::new(ModelledStore::new(env, model)), BucketKind::Remote, name);
                let resilience = ResilienceSettings { has_hedges: model.has_hedges };
                Ok(Self { resilience, is_raced: false, ..unopened })
            }
        }
    }

    /// Any store; the name is for people.
    pub fn of(env: &Env, store: Arc<dyn ObjectStore>, kind: BucketKind, name: String) -> Self {
        let puts = PutCount::default();
        let store = InstrumentedStore::new(store, Arc::clone(&env.clock), puts.clone());
        let store: Arc<dyn ObjectStore> = Arc::new(store);
        Self {
            puts,
            raw: Arc::clone(&store),
            store,
            kind,
            name,
            folder: None,
            remote: None,
            is_raced: kind == BucketKind::Remote,
            resilience: ResilienceSettings::default(),
            presence: Presence::default(),
        }
    }

    /// With the layer that bears with a bucket behind a network.
    fn borne_with(mut self, env: &Env) -> Self {
        if self.kind == BucketKind::Remote {
            let store = ResilientStore::new(env, self.store, self.resilience);
            self.presence = store.presence();
            self.store = Arc::new(store);
        }
        self
    }

    /// What is below: as it is, failures and all.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.raw)
    }

    /// What kind it is.
    pub fn kind(&self) -> BucketKind {
        self.kind
    }

    /// Asks for one object, so that what is wrong with a bucket is said in words.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub async fn reach(&self) -> Result<(), OpenError> {
        // A GET, because the answer to a HEAD has no body that would tell a missing bucket from a missing object.
        match self.store.get(&Path::from(MARKER_KEY)).await.map_err(|error| self.failed(error)) {
            Ok(_) | Err(OpenError::Store { source: StoreError::NotFound { .. }, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads its marker, or makes one when it is empty. One behind a network is put to its races first, unless it has passed
    /// them before: two writers of one key would cost acknowledged records.
    ///
    /// A folder is not: that a link or a file is made only once is what its file system promises every program, and one
    /// machine's kernel sees to it.
    pub async fn open(self, env: &Env) -> Result<Bucket, OpenError> {
        let this = self.borne_with(env);
        let found = marker::read(&this).await?;
        let has_conditional_overwrite =
            if this.is_raced { proof::read_or_make(env, &this).await? } else { this.kind == BucketKind::Remote };
        let marker = match found {
            Some(marker) => marker::raise(&this, marker).await?,
            None => marker::make(env, &this).await?,
        };
        Ok(Bucket::new(this.store, this.kind, marker, has_conditional_overwrite, this.puts, this.presence))
    }

    /// Removes what a check leaves of itself in a folder: empty folders.
    pub async fn remove_empty_folders(&self, below: &str) {
        let Some(folder) = self.folder.as_ref().map(|folder| folder.join(below)) else { return };
        let removed = tokio::task::spawn_blocking(move || folder::remove_empty(&folder)).await;
        if let Err(error) = removed {
            tracing::warn!(%error, "empty folders are left behind");
        }
    }

    fn failed(&self, source: StoreError) -> OpenError {
        let bucket = self.name.clone();
        match self.remote.as_ref().and_then(|remote| remote.explain(&source)) {
            Some(trouble) => OpenError::Remote { bucket, trouble },
            None => OpenError::Store { bucket, source },
        }
    }
}

impl Bucket {
    /// Opens a bucket by its URL; see [`Unopened`].
    pub async fn open(env: &Env, url: &BucketUrl) -> Result<Self, OpenError> {
        Unopened::at(env, url).await?.open(env).await
    }

    /// Opens a store that is known to keep what Eagre relies on. The marker is made when it is empty.
    pub async fn from_store(env: &Env, store: Arc<dyn ObjectStore>, kind: BucketKind) -> Result<Self, OpenError> {
        let name = store.to_string();
        let unopened = Unopened::of(env, store, kind, name).borne_with(env);
        let marker = match marker::read(&unopened).await? {
            Some(marker) => marker::raise(&unopened, marker).await?,
            None => marker::make(env, &unopened).await?,
        };
        Ok(Self::new(unopened.store, kind, marker, kind == BucketKind::Remote, unopened.puts, unopened.presence))
    }
}
