//! Finding out by its marker whether a bucket is ours.

use eagre_env::Env;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;

use super::{OpenError, Unopened};
use crate::{
    BucketKind, CreateOutcome, GetError, MARKER_KEY, Marker, MarkerError,
    bucket::{create, get},
    check::{RECORD_KEY, is_leftover},
    marker::MARKER_BYTES_MAX,
};

/// So many keys of a bucket behind a network are looked at before it is believed to be empty; the first that is not the
/// leftover of a check decides.
const KEYS_LOOKED_AT: usize = 5_000;

/// The marker of a bucket; `None`: it is empty.
pub(super) async fn read(unopened: &Unopened) -> Result<Option<Marker>, OpenError> {
    if let Some(marker) = read_object(unopened).await? {
        return Ok(Some(marker));
    }
    let Some(holds) = something_else(unopened).await? else { return Ok(None) };
    // Another process may have made the bucket just now: its marker came before anything else.
    match read_object(unopened).await? {
        Some(marker) => Ok(Some(marker)),
        None => Err(OpenError::NotABucket { bucket: unopened.name.clone(), holds }),
    }
}

/// Makes the marker, or gives the one that another process has made meanwhile.
pub(super) async fn make(env: &Env, unopened: &Unopened) -> Result<Marker, OpenError> {
    let (bucket, marker) = (unopened.name.clone(), Marker::new(env));
    let made = create(unopened.store.as_ref(), MARKER_KEY, marker.encode().into()).await;
    match made.map_err(|error| unopened.failed(error.source))? {
        CreateOutcome::Created => {
            tracing::info!(bucket, cluster_id = marker.cluster_id, "bucket made");
            Ok(marker)
        }
        CreateOutcome::Exists { bytes } => {
            Marker::decode(&bytes).map_err(|source| OpenError::Marker { bucket, source })
        }
    }
}

/// Raises a bucket of an earlier format to this version's, so that an earlier version refuses it instead of overlooking
/// what it does not know. Who else raises it at the same time writes the same.
pub(super) async fn raise(unopened: &Unopened, marker: Marker) -> Result<Marker, OpenError> {
    let Some(raised) = marker.raised() else { return Ok(marker) };
    let put = unopened.store.put(&MARKER_KEY.into(), raised.encode().into()).await;
    put.map_err(|error| unopened.failed(error))?;
    tracing::info!(bucket = unopened.name, from = marker.format, to = raised.format, "bucket format raised");
    Ok(raised)
}

async fn read_object(unopened: &Unopened) -> Result<Option<Marker>, OpenError> {
    let unreadable = |source| OpenError::Marker { bucket: unopened.name.clone(), source };
    match get(unopened.store.as_ref(), MARKER_KEY, MARKER_BYTES_MAX).await {
        Ok(bytes) => Marker::decode(&bytes).map(Some).map_err(unreadable),
        Err(GetError::Missing { .. }) => Ok(None),
        Err(error @ (GetError::TooLong { .. } | GetError::Short { .. })) => {
            Err(unreadable(MarkerError::Unreadable(error.to_string())))
        }
        Err(GetError::Failed { source, .. }) => Err(unopened.failed(source)),
    }
}

/// The name of something in a store that has no marker. Leftovers of a marker that was never finished do not count (no
/// store lists them), nor does the `lost+found` of a fresh file system, nor what a check left that was killed, nor the record
/// of races, which is there before the marker.
async fn something_else(unopened: &Unopened) -> Result<Option<String>, OpenError> {
    let failed = |error| unopened.failed(error);
    if unopened.kind == BucketKind::Remote {
        // A foreign bucket may have millions of keys: they are not all read to say that it is one.
        let keys = unopened.store.list(None).take(KEYS_LOOKED_AT).map_ok(|object| object.location);
        let mut others =
            keys.try_filter(|key| std::future::ready(!is_leftover(key) && key.as_ref() != RECORD_KEY)).boxed();
        return others.try_next().await.map(|key| key.map(|key| key.to_string())).map_err(failed);
    }
    let listed = unopened.store.list_with_delimiter(None).await.map_err(failed)?;
    let folders = listed.common_prefixes.iter().map(ToString::to_string);
    let objects = listed.objects.iter().map(|object| object.location.to_string());
    for name in folders.chain(objects).filter(|name| name != "lost+found") {
        let mut below = unopened.store.list(Some(&name.as_str().into()));
        let first = below.try_next().await.map_err(failed)?;
        if !first.is_some_and(|object| is_leftover(&object.location)) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
