//! A node says that it is ready only while its bucket is there.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_cache::{CacheSettings, PageCaches};
use eagre_env::Env;
use eagre_objects::{Bucket, BucketKind};
use eagre_runtime::{Node, NodeParts, NodeSettings, NodeState};
use futures::{StreamExt as _, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use tokio::time::{Instant, sleep};

/// Nothing here takes so long unless it hangs.
const BOUND: Duration = Duration::from_secs(60);

/// A bucket in memory that can go away.
#[derive(Debug, Default)]
struct Switched {
    inner: InMemory,
    is_away: AtomicBool,
}

impl Switched {
    fn answer(&self) -> Result<()> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(Error::Generic { store: "switched", source: "it is switched off".into() });
        }
        Ok(())
    }
}

impl fmt::Display for Switched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("switched")
    }
}

#[async_trait]
impl ObjectStore for Switched {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.answer()?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.answer()?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.answer()?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.answer()?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.answer() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.answer()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.answer()?;
        self.inner.copy_opts(from, to, options).await
    }
}

async fn eventually(what: &str, state: &NodeState, holds: impl Fn(&std::result::Result<(), String>) -> bool) {
    let began = Instant::now();
    loop {
        let said = state.ready().await;
        if holds(&said) {
            return;
        }
        assert!(began.elapsed() < BOUND, "not within {BOUND:?}: {what}: {said:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_idle_node_notices_that_its_bucket_went_and_came_back() {
    let env = Env::system();
    let store = Arc::new(Switched::default());
    let bucket = Bucket::from_store(&env, store.clone(), BucketKind::Remote).await.unwrap();
    let grpc = env.network.listen("127.0.0.1:0").await.unwrap();
    let parts = NodeParts {
        bucket,
        caches: PageCaches::plain(&CacheSettings::default()),
        advertised: format!("http://{}", grpc.local_addr()),
        grpc,
        background: None,
        stop_limit: Duration::from_secs(5),
        env,
        settings: NodeSettings::for_bucket(BucketKind::Remote),
    };
    let node = Node::start(parts).await.unwrap();
    let state = node.state();
    assert_eq!(state.ready().await, Ok(()));

    store.is_away.store(true, Ordering::Relaxed);
    let is_named = |said: &std::result::Result<(), String>| {
        said.as_ref().is_err_and(|why| why.contains("the bucket does not serve") && why.contains("switched off"))
    };
    eventually("it says that the bucket is away, and what it said", &state, is_named).await;

    store.is_away.store(false, Ordering::Relaxed);
    eventually("it is ready again", &state, std::result::Result::is_ok).await;
    assert!(node.stop().await);
}
