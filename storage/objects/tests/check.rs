//! Every store that Eagre opens keeps what Eagre relies on; stores that do not are found out, and refused.

#![cfg(test)]

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_env::Env;
use eagre_objects::{
    Bucket, BucketKind, BucketUrl, MARKER_KEY, OpenError, Unopened,
    check::{self, Check, Outcome, Plan, RECORD_KEY, Report},
};
use futures::{TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let env = Env::system();
    let bucket = Bucket::open(&env, &BucketUrl::Folder(folder.path().join("new/bucket"))).await.unwrap();
    assert_eq!(check::violations(&env, bucket.store()).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_conforms() {
    let env = Env::system();
    let bucket = Bucket::open(&env, &BucketUrl::Memory).await.unwrap();
    assert_eq!(check::violations(&env, bucket.store()).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_modelled_store_behind_the_resilient_layer_conforms() {
    let env = Env::system();
    let url: BucketUrl = "model+memory://?seed=3&put-per-second=1000".parse().unwrap();
    let bucket = Bucket::open(&env, &url).await.unwrap();
    assert_eq!(bucket.kind(), BucketKind::Remote);
    assert_eq!(check::violations(&env, bucket.store()).await, []);
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// None.
    Sound,
    /// Looks before it writes, as some servers do: right one after another, wrong in a race.
    CreateLooksFirst,
    /// The same of an overwrite of one version.
    UpdateLooksFirst,
    /// Knows no conditions.
    NoConditions,
    /// Answers a create with an error, every other time.
    FailsCreates,
    /// Answers a write of some length and forgets it.
    LostWrite,
    /// Gives the object that was there before.
    StaleRead,
    /// Lists what begins with the prefix as text.
    ListByText,
}

#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    fault: Fault,
    writes: AtomicUsize,
}

impl Faulty {
    fn new(fault: Fault) -> Arc<Self> {
        Arc::new(Self { inner: InMemory::new(), fault, writes: AtomicUsize::new(0) })
    }

    async fn keys(&self) -> Vec<String> {
        let listed: Vec<_> = self.inner.list(None).try_collect().await.unwrap();
        listed.into_iter().map(|meta| meta.location.to_string()).collect()
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.fault)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let nothing = || PutResult { e_tag: None, version: None, extensions: Default::default() };
        let write = self.writes.fetch_add(1, Ordering::Relaxed);
        let found = self.inner.head(location).await.ok();
        match (self.fault, &opts.mode) {
            (Fault::StaleRead, PutMode::Overwrite) if found.is_some() => return Ok(nothing()),
            (Fault::LostWrite, PutMode::Overwrite) if payload.content_length() == 1_000 => return Ok(nothing()),
            (Fault::CreateLooksFirst, PutMode::Create) if found.is_none() => {
                tokio::task::yield_now().await;
                return self.inner.put(location, payload).await;
            }
            (Fault::UpdateLooksFirst, PutMode::Update(version))
                if found.and_then(|meta| meta.e_tag) == version.e_tag =>
            {
                tokio::task::yield_now().await;
                return self.inner.put(location, payload).await;
            }
            (Fault::NoConditions, PutMode::Create | PutMode::Update(_)) => {
                return Err(Error::NotImplemented { operation: "conditions".into(), implementer: "this".into() });
            }
            (Fault::FailsCreates, PutMode::Create) if write.is_multiple_of(2) => {
                return Err(Error::Generic { store: "faulty", source: "out of order today".into() });
            }
            _ => {}
        }
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
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
        use futures::StreamExt;
        if self.fault != Fault::ListByText {
            return self.inner.list(prefix);
        }
        let text = prefix.map(ToString::to_string).unwrap_or_default();
        self.inner
            .list(None)
            .try_filter(move |meta| std::future::ready(meta.location.as_ref().starts_with(&text)))
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

async fn checked(fault: Fault, plan: &Plan) -> Report {
    let store = Faulty::new(fault);
    let check = Check::new(&Env::system(), store.clone());
    let mut told = Vec::new();
    let report = check.run(plan, |finding| told.push(finding.clone())).await;
    assert_eq!(told, report.findings, "each finding is told as it comes");
    check.clean_up().await.unwrap();
    assert_eq!(store.keys().await, [""; 0], "nothing is left");
    report
}

fn outcome<'a>(report: &'a Report, check: &str) -> &'a Outcome {
    &report.findings.iter().find(|finding| finding.check == check).unwrap().outcome
}

#[tokio::test]
async fn what_does_not_conform_is_found_out() {
    for (fault, check, is_fatal) in [
        (Fault::CreateLooksFirst, "create races", true),
        (Fault::UpdateLooksFirst, "conditional overwrite races", false),
        (Fault::LostWrite, "read after write", true),
        (Fault::StaleRead, "read after overwrite", false),
        (Fault::ListByText, "list after write", true),
    ] {
        let report = checked(fault, &Plan::promises()).await;
        assert!(matches!(outcome(&report, check), Outcome::Wrong(_)), "{fault:?}: {report:?}");
        assert_eq!(report.fatal().any(|finding| finding.check == check), is_fatal, "{fault:?}: {report:?}");
    }
    let report = checked(Fault::NoConditions, &Plan::promises()).await;
    assert_eq!(*outcome(&report, "create races"), Outcome::Unsupported);
    assert!(report.fatal().any(|finding| finding.check == "create races"));
}

#[tokio::test]
async fn a_store_that_only_loses_races_passes_every_other_check() {
    let report = checked(Fault::CreateLooksFirst, &Plan::promises()).await;
    assert_eq!(*outcome(&report, "create if absent"), Outcome::Right);
    assert_eq!(report.fatal().map(|finding| finding.check).collect::<Vec<_>>(), ["create races"]);
}

#[tokio::test]
async fn a_whole_check_of_a_sound_store_times_every_size() {
    let plan = Plan { timed: vec![(4_096, 3), (1 << 20, 2)], ..Plan::full() };
    let report = checked(Fault::Sound, &plan).await;
    assert_eq!(report.fatal().count(), 0, "{report:?}");
    let timed: Vec<_> = report.latencies.iter().map(|latency| (latency.size_bytes, latency.sorted.len())).collect();
    assert_eq!(timed, [(4_096, 3), (4_096, 3), (1 << 20, 2), (1 << 20, 2)]);
    assert!(report.latencies.iter().all(|latency| latency.sorted.is_sorted()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_check_that_is_stopped_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let env = Env::system();
    let bucket = Unopened::at(&env, &BucketUrl::Folder(folder.path().into())).await.unwrap();
    for findings in 1..4 {
        let check = Check::new(&env, bucket.store());
        let mut told = 0;
        let plan = Plan::full();
        let report = check.run(&plan, |_| {
            told += 1;
            if told == findings {
                check.stop();
            }
        });
        let report = report.await;
        assert!(report.findings.len() < 5 && report.latencies.is_empty(), "{report:?}");
        check.clean_up().await.unwrap();
        bucket.remove_empty_folders(check::CHECK_FOLDER).await;
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

async fn opened(store: &Arc<Faulty>) -> std::result::Result<Bucket, OpenError> {
    let env = Env::system();
    Unopened::of(&env, store.clone(), BucketKind::Remote, "the bucket".into()).open(&env).await
}

#[tokio::test]
async fn a_bucket_that_loses_races_is_refused_and_left_as_it_was() {
    for fault in [Fault::CreateLooksFirst, Fault::NoConditions] {
        let store = Faulty::new(fault);
        let error = opened(&store).await.unwrap_err();
        assert!(matches!(error, OpenError::Unsafe { .. }), "{fault:?}: {error}");
        assert!(error.to_string().contains("the bucket is not safe"), "{error}");
        assert!(error.advice().contains("eagre bucket check"), "{}", error.advice());
        assert_eq!(store.keys().await, [""; 0]);
    }
    let store = Faulty::new(Fault::FailsCreates);
    let error = opened(&store).await.unwrap_err();
    assert!(matches!(&error, OpenError::Unproven { detail, .. } if detail.contains("out of order")), "{error}");
}

#[tokio::test]
async fn a_bucket_is_put_to_its_races_once() {
    let store = Faulty::new(Fault::Sound);
    let first = opened(&store).await.unwrap();
    assert!(first.has_conditional_overwrite());
    assert_eq!(store.keys().await, [RECORD_KEY, MARKER_KEY]);
    let writes = store.writes.load(Ordering::Relaxed);
    assert!(writes > 64 * check::WRITERS, "{writes}");
    let second = opened(&store).await.unwrap();
    assert_eq!(second.cluster_id(), first.cluster_id());
    assert!(second.has_conditional_overwrite());
    assert_eq!(store.writes.load(Ordering::Relaxed), writes, "no second races");
}

#[tokio::test]
async fn what_a_killed_check_leaves_does_not_make_a_bucket_another_one() {
    let store = Faulty::new(Fault::UpdateLooksFirst);
    for key in ["check/00112233445566778899aabbccddeeff/create/1", RECORD_KEY] {
        store.inner.put(&key.into(), "not a record".into()).await.unwrap();
    }
    assert!(!opened(&store).await.unwrap().has_conditional_overwrite());
    let store = Faulty::new(Fault::Sound);
    store.inner.put(&"check/list".into(), "somebody's".into()).await.unwrap();
    let error = opened(&store).await.unwrap_err();
    assert!(matches!(&error, OpenError::NotABucket { holds, .. } if holds == "check/list"), "{error}");
}
