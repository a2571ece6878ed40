//! A node for examples and tests of clients.

use std::time::Duration;

use eagre_cache::PageCaches;
use eagre_env::Env;
use eagre_objects::{Bucket, BucketKind, BucketUrl};

use crate::{
    dev::DevError,
    memory::MemoryPlan,
    node::{Node, NodeParts, NodeSettings},
};

/// A stop waits for requests, for connections and for the store, each for at most so long.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A node over a bucket in memory of its own, on a free port that only this machine reaches.
pub struct InMemory {
    endpoint: String,
    node: Node,
}

impl InMemory {
    /// Returns when it can serve. Called within a tokio runtime.
    ///
    /// # Errors
    /// The system gives no port or no memory.
    pub async fn start() -> Result<Self, DevError> {
        let env = Env::system();
        let grpc = env.network.listen("127.0.0.1:0").await.map_err(|error| DevError::Resources(error.to_string()))?;
        let caches = PageCaches::open(&MemoryPlan::default().caches()).await;
        let endpoint = format!("http://{}", grpc.local_addr());
        let parts = NodeParts {
            bucket: Bucket::open(&env, &BucketUrl::Memory).await?,
            caches: caches.map_err(|error| DevError::Resources(error.to_string()))?,
            grpc,
            advertised: endpoint.clone(),
            background: None,
            stop_limit: STOP_LIMIT,
            env,
            settings: NodeSettings::for_bucket(BucketKind::Memory),
        };
        Ok(Self { endpoint, node: Node::start(parts).await? })
    }

    /// For clients.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Stops well; whatever was written is gone then.
    pub async fn stop(self) {
        self.node.stop().await;
    }
}
