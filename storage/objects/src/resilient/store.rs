//! The layer as a store.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_env::{Env, PlantedBug};
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};

use super::{
    ResilienceSettings, body,
    engine::{Engine, Outcome},
    owner::{Owner, Wanted},
    plan::{Op, Plan},
    verdict::{Trouble, failure},
};
use crate::Presence;

/// A create that meets something which is gone at a look is sent again so often.
const MEETINGS_MAX: u32 = 3;

/// Sends requests to another store by the rules of this module.
///
/// PUTs, GETs and listings of one level are looked after. Whole listings, deletions, copies and uploads in parts go on as they are:
/// they are streams or steps that only their callers can begin again.
pub(crate) struct ResilientStore {
    inner: Arc<dyn ObjectStore>,
    engine: Engine,
}

impl ResilientStore {
    pub(crate) fn new(env: &Env, inner: Arc<dyn ObjectStore>, settings: ResilienceSettings) -> Self {
        Self { inner, engine: Engine::new(env.clone(), settings) }
    }

    /// Whether the store below serves.
    pub(crate) fn presence(&self) -> Presence {
        self.engine.presence.clone()
    }

    async fn get(&self, plan: &Plan, location: &Path, options: &GetOptions) -> Result<GetResult> {
        let Outcome { result, permit, .. } =
            self.engine.run(plan, || self.inner.get_opts(location, options.clone())).await;
        match (result, permit) {
            (Ok(answer), Some(permit)) => Ok(body::guard(answer, permit)),
            (result, _) => result,
        }
    }

    /// Sends a create. What it meets is judged when it was sent more than once.
    async fn create(&self, plan: &Plan, wanted: &Wanted<'_>, opts: &PutOptions) -> Result<PutResult> {
        let mut tries = 0;
        for _ in 0..MEETINGS_MAX {
            let send = || self.inner.put_opts(wanted.key, wanted.payload.clone(), opts.clone());
            let Outcome { result, permit, tries: sent } = self.engine.run(plan, send).await;
            // The look at what is there has a turn of its own.
            drop(permit);
            tries += sent;
            let met = match result {
                Err(met @ Error::AlreadyExists { .. }) => met,
                result => return result,
            };
            if self.engine.env.has_planted(PlantedBug::RivalTakenForOwn) {
                return Ok(done_unseen());
            }
            if tries < 2 {
                return Err(met);
            }
            let found = self.get(&Plan::of_get(wanted.key, None), wanted.key, &Wanted::options()).await;
            match wanted.judge(found).await {
                Owner::Own(answer) => return Ok(answer),
                Owner::Rival => return Err(met),
                Owner::Nobody => {}
                Owner::Unknown => break,
            }
        }
        Err(failure(Trouble::OwnerUnknown))
    }
}

/// The answer to a PUT that a planted bug takes for done.
fn done_unseen() -> PutResult {
    PutResult { e_tag: None, version: None, extensions: object_store::Extensions::default() }
}

fn asked(options: &GetOptions) -> Option<u64> {
    match (&options.range, options.head) {
        (_, true) => Some(0),
        (Some(GetRange::Bounded(range)), false) => Some(range.end.saturating_sub(range.start)),
        (Some(GetRange::Suffix(bytes)), false) => Some(*bytes),
        (Some(GetRange::Offset(_)) | None, false) => None,
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for ResilientStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let plan = Plan::of_put(location, &opts.mode, payload.content_length() as u64);
        if plan.op == Op::Create {
            let wanted = Wanted { key: location, payload: &payload, attributes: &opts.attributes };
            return self.create(&plan, &wanted, &opts).await;
        }
        let send = || self.inner.put_opts(location, payload.clone(), opts.clone());
        match self.engine.run(&plan, send).await.result {
            Err(error) if plan.op == Op::Put && self.engine.is_believed_done(&error) => Ok(done_unseen()),
            result => result,
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.get(&Plan::of_get(location, asked(&options)), location, &options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let bytes = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        let plan = Plan::of_get(location, Some(bytes));
        self.engine.run(&plan, || self.inner.get_ranges(location, ranges)).await.result
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
        self.engine.run(&Plan::of_list(), || self.inner.list_with_delimiter(prefix)).await.result
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

impl fmt::Display for ResilientStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for ResilientStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResilientStore({:?})", self.inner)
    }
}
