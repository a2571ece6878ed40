//! The layer as a store.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_env::{Env, PlantedBug};
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};

use super::{
    ResilienceSettings, body,
    engine::{Engine, Outcome},
    owner::Wanted,
    plan::{Op, Plan},
};

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

    async fn get(&self, plan: &Plan, location: &Path, options: &GetOptions) -> Result<GetResult> {
        let Outcome { result, permit, .. } =
            self.engine.run(plan, || self.inner.get_opts(location, options.clone())).await;
        match (result, permit) {
            (Ok(answer), Some(permit)) => Ok(body::guard(answer, permit)),
            (result, _) => result,
        }
    }

    /// The object that a create met, judged when it may be the create's own.
    async fn met(&self, wanted: Wanted<'_>, met: Error, tries: u32) -> Result<PutResult> {
        if self.engine.env.has_planted(PlantedBug::RivalTakenForOwn) {
            return Ok(PutResult { e_tag: None, version: None, extensions: object_store::Extensions::default() });
        }
        if tries < 2 {
            return Err(met);
        }
        let (plan, options) = (Plan::of_get(wanted.key, None), Wanted::options());
        let found = self.get(&plan, wanted.key, &options).await;
        wanted.judge(met, found).await
    }
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
        let send = || self.inner.put_opts(location, payload.clone(), opts.clone());
        let Outcome { result, permit, tries } = self.engine.run(&plan, send).await;
        // What follows has a turn of its own.
        drop(permit);
        match result {
            Err(met @ Error::AlreadyExists { .. }) if plan.op == Op::Create => {
                let wanted = Wanted { key: location, payload: &payload, attributes: &opts.attributes };
                self.met(wanted, met, tries).await
            }
            Err(error) if opts.mode == PutMode::Overwrite && self.engine.is_believed_done(&error) => {
                Ok(PutResult { e_tag: None, version: None, extensions: object_store::Extensions::default() })
            }
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
