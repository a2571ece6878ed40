//! Buckets behind a network. Where they are reached and by which credentials, the environment says, in the variables that
//! each provider's own tools read; nothing of it is a setting of ours.
//!
//! These stores reach the network and the system's clock by themselves: they stand outside of [`eagre_env::Env`], and the
//! simulation has a bucket of its own in their place.

#[cfg(feature = "azure")]
mod az;
#[cfg(feature = "gcp")]
mod gs;
mod pace;
mod s3;
mod trouble;

use std::sync::Arc;

use object_store::{ObjectStore, path::Path, prefix::PrefixStore};

use self::trouble::Asked;
pub use self::trouble::Trouble;
use crate::{RemoteUrl, Scheme};

/// Names and values out of the environment.
type Variables = Vec<(String, String)>;

/// A store, and how to tell what is wrong when it does not answer well.
pub(crate) struct Remote {
    /// All keys begin with the prefix, and show without it.
    pub(crate) store: Arc<dyn ObjectStore>,
    asked: Asked,
}

impl Remote {
    /// Says in words why a request failed, when it is something that a person can mend.
    pub(crate) fn explain(&self, error: &object_store::Error) -> Option<Trouble> {
        trouble::explain(error, &self.asked)
    }
}

/// Makes the client of a bucket; sends nothing.
pub(crate) fn open(url: &RemoteUrl) -> Result<Remote, Trouble> {
    // What is empty counts as not set: compose files and CI systems set what they have no value for.
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok().filter(|value| !value.is_empty())?))
    };
    let variables: Variables = std::env::vars_os().filter_map(text).collect();
    let remote = match url.scheme {
        Scheme::S3 => s3::open(&url.bucket, &variables)?,
        #[cfg(feature = "gcp")]
        Scheme::Gs => gs::open(&url.bucket, &variables)?,
        #[cfg(not(feature = "gcp"))]
        Scheme::Gs => return Err(Trouble::NotBuiltIn { scheme: url.scheme.name(), feature: "gcp" }),
        #[cfg(feature = "azure")]
        Scheme::Az => az::open(&url.bucket, &variables)?,
        #[cfg(not(feature = "azure"))]
        Scheme::Az => return Err(Trouble::NotBuiltIn { scheme: url.scheme.name(), feature: "azure" }),
    };
    Ok(if url.prefix.is_empty() {
        remote
    } else {
        let store = Arc::new(PrefixStore::new(remote.store, Path::from(url.prefix.as_str())));
        Remote { store, ..remote }
    })
}
