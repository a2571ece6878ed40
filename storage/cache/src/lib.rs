//! Pages of objects, kept near. The only crate that knows foyer.
//!
//! A cache may lose everything at any time and is never the only place of anything. Whoever reads from it checks what it
//! got: the bytes of a disk are as trustworthy as the disk.

pub mod conformance;
mod foyer_cache;
mod plain;
mod pools;

use async_trait::async_trait;
use bytes::Bytes;
use eagre_model::ObjectId;

pub use foyer_cache::{DiskTier, FoyerCache, OpenError};
pub use plain::PlainCache;
pub use pools::{CacheSettings, PageCaches};

/// What an entry costs beside its bytes; counted, so that many small entries do not outgrow the capacity.
pub const ENTRY_OVERHEAD_BYTES: usize = 256;

/// Which bytes an entry holds: a page of an object, or the whole of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageKey {
    /// The object.
    pub object: ObjectId,
    /// `None`: the whole object. `Some(n)`: its page n, from 0.
    pub page: Option<u32>,
}

/// Keeps the entries used last, up to a capacity in bytes. Two implementations: [`FoyerCache`] of a real process,
/// [`PlainCache`] of the simulation. [`conformance`] holds both to the same behaviour.
///
/// An entry is a buffer of its own: a slice of a larger one would keep all of that alive beyond the accounting.
#[async_trait]
pub trait PageCache: Send + Sync + std::fmt::Debug {
    /// An entry from memory. Never waits.
    fn get(&self, key: &PageKey) -> Option<Bytes>;

    /// An entry from a slower tier, taken into memory. `None` at once where there is no such tier.
    async fn load(&self, key: &PageKey) -> Option<Bytes>;

    /// Keeps an entry; what does not fit goes. An entry above the capacity is not kept.
    fn insert(&self, key: PageKey, bytes: Bytes);

    /// Forgets an entry in every tier. One that is still on its way to a slower tier may be loaded until it has got there.
    fn remove(&self, key: &PageKey);

    /// Bytes in memory, overhead counted.
    fn usage_bytes(&self) -> usize;
}

/// What an entry counts.
fn weight(bytes: &Bytes) -> usize {
    bytes.len() + ENTRY_OVERHEAD_BYTES
}
