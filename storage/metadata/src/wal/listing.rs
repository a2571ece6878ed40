//! What numbers a log has.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::{ObjectMeta, path::Path};
use slatedb::wal::WalError;

use super::{
    file::{Content, FENCE_BYTES},
    store::LogStore,
};

/// Objects of a log by their numbers, as one listing saw them.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    objects: BTreeMap<u64, ObjectMeta>,
    /// The same of a log that SlateDB wrote itself; not its fences.
    built_in: BTreeMap<u64, ObjectMeta>,
}

/// The part of a log that may be replayed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Numbers of objects with rows and of fences, in order.
    pub(crate) ids: Vec<u64>,
    /// The first number that is absent.
    pub(crate) end: u64,
}

impl Listing {
    /// Everything with a number above this one.
    pub(crate) async fn after(log: &LogStore, id: u64) -> Result<Self, WalError> {
        let offset = log.path(id);
        let list = || log.bucket().list_with_offset(Some(log.folder()), &offset).try_collect::<Vec<_>>();
        Ok(Self::of(log.until_answered("list", log.folder(), list).await?))
    }

    /// Everything.
    pub(crate) async fn whole(log: &LogStore) -> Result<Self, WalError> {
        let list = || log.bucket().list(Some(log.folder())).try_collect::<Vec<_>>();
        Ok(Self::of(log.until_answered("list", log.folder(), list).await?))
    }

    fn of(found: Vec<ObjectMeta>) -> Self {
        let mut listing = Self::default();
        for object in found {
            let named = number(&object.location).map(|(id, extension)| (id, extension.to_owned()));
            let Some((id, extension)) = named else { continue };
            match extension.as_str() {
                "wal" => drop(listing.objects.insert(id, object)),
                "sst" if object.size > 0 => drop(listing.built_in.insert(id, object)),
                _ => {}
            }
        }
        listing
    }

    /// Objects of a log that SlateDB wrote itself, as versions before this log did.
    pub(crate) fn built_in(&self) -> impl Iterator<Item = (u64, &ObjectMeta)> {
        self.built_in.iter().map(|(id, object)| (*id, object))
    }

    /// All objects, in order.
    pub(crate) fn objects(&self) -> impl DoubleEndedIterator<Item = (u64, &ObjectMeta)> {
        self.objects.iter().map(|(id, object)| (*id, object))
    }

    /// Follows the log from the number behind `after`: each number must be there, and a fence says where it goes on.
    pub(crate) async fn chain(&self, log: &LogStore, after: u64) -> Result<Chain, WalError> {
        let mut chain = Chain { ids: Vec::new(), end: after + 1 };
        while let Some(object) = self.objects.get(&chain.end) {
            let id = chain.end;
            chain.ids.push(id);
            chain.end = if is_fence(object) {
                match log.load(id).await?.content {
                    Content::Fence { skip } => id + u64::from(skip),
                    Content::Rows(_) => id + 1,
                }
            } else {
                id + 1
            };
        }
        Ok(chain)
    }
}

/// By its size alone.
pub(crate) fn is_fence(object: &ObjectMeta) -> bool {
    object.size <= FENCE_BYTES
}

fn number(path: &Path) -> Option<(u64, &str)> {
    let (number, extension) = path.filename()?.split_once('.')?;
    Some((number.parse().ok()?, extension))
}
