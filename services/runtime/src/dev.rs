//! A node of a real process: all roles over one bucket, with metrics and an HTTP port.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::Router;
use eagre_cache::PageCaches;
use eagre_env::{Env, Listener};
use eagre_objects::{Bucket, BucketUrl};
use eagre_transport::{Acceptor, ConnectionBounds, Port};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    runtime::{Handle, Runtime},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    debug,
    http::{self, Observed},
    memory::MemoryPlan,
    node::{Node, NodeParts, NodeSettings, StartError},
    state::NodeState,
    telemetry::{self, Build, ProcessMetrics},
};

/// A stop waits for requests, for connections and for the store, each for at most so long.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// How often the metrics' histograms are put in order; without it they grow while nobody reads them.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What a user may choose.
#[derive(Debug, Clone)]
pub struct DevSettings {
    /// Where everything is kept.
    pub bucket: BucketUrl,
    /// Where gRPC is served; port 0 takes a free one.
    pub grpc: String,
    /// Where metrics and health are served; port 0 takes a free one.
    pub http: String,
    /// How much memory the process may take, divided.
    pub memory: MemoryPlan,
    /// Which build this is.
    pub build: Build,
    /// Who may connect, to each of the two ports.
    pub connections: ConnectionBounds,
    /// Serve `/debug/pprof/profile` and `/debug/tasks` on the HTTP port, which has to be of the loopback then.
    pub debug_endpoints: bool,
    /// 99 of 100 requests are to be acknowledged within this time; `None`: what fits the bucket.
    pub target_p99: Option<Duration>,
    /// So many PUTs may be made a second, as far as waiting for more records decides it.
    pub max_put_per_second: Option<f64>,
    /// Producers that did not write to a partition for so long are forgotten there.
    pub producer_id_expiration: Duration,
}

/// Why a process cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// A port is taken or cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The flag that names it.
        flag: &'static str,
        /// As given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// A profile shows what the process does; only this machine may ask for it.
    #[error("--debug-endpoints is for this machine alone, and --http {address} can be reached from others")]
    DebugNotLoopback {
        /// As bound.
        address: SocketAddr,
    },
    /// The bucket cannot be used.
    #[error(transparent)]
    Bucket(#[from] eagre_objects::OpenError),
    /// The shard cannot be had.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system gives no threads or no memory for the caches.
    #[error("cannot start: {0}")]
    Resources(String),
}

/// A running process.
pub struct Dev {
    /// Where gRPC is served.
    pub grpc: SocketAddr,
    /// Where metrics and health are served.
    pub http: SocketAddr,
    node: Node,
    http_server: JoinHandle<()>,
    stop_http: CancellationToken,
    background: Background,
    upkeep: JoinHandle<()>,
}

impl Dev {
    /// Binds the ports, opens the bucket and starts the node; returns when it can serve.
    ///
    /// # Errors
    ///
    /// See [`DevError`]; nothing runs then.
    pub async fn start(env: Env, settings: DevSettings) -> Result<Self, DevError> {
        let prometheus = telemetry::install().map_err(|error| DevError::Resources(error.to_string()))?;
        let grpc_listener = listen(&env, "--grpc", &settings.grpc).await?;
        let http_listener = listen(&env, "--http", &settings.http).await?;
        let (grpc, http) = (grpc_listener.local_addr(), http_listener.local_addr());
        if settings.debug_endpoints && !http.ip().is_loopback() {
            return Err(DevError::DebugNotLoopback { address: http });
        }
        let more = if settings.debug_endpoints { debug::routes() } else { Router::new() };
        let peers = settings.memory.peers();
        let process = ProcessMetrics::start(settings.build, settings.memory.limit_bytes());
        let observer = Arc::new(Observer {
            state: OnceLock::new(),
            api: OnceLock::new(),
            process,
            prometheus: prometheus.clone(),
        });
        let http_acceptor = Acceptor::new(http_listener, Port::Http, settings.connections, peers.clone());
        let stop_http = CancellationToken::new();
        // It answers while the node starts: a supervisor must not take a slow start for a hang.
        let stop_unless_started = stop_http.clone().drop_guard();
        let http_server = tokio::spawn(http::serve(http_acceptor, observer.clone(), more, stop_http.clone()));
        let bucket = Bucket::open(&env, &settings.bucket).await?;
        let caches = PageCaches::open(&settings.memory.caches()).await;
        let caches = caches.map_err(|error| DevError::Resources(error.to_string()))?;
        let background = Background::start().map_err(|error| DevError::Resources(error.to_string()))?;
        let memory = settings.memory;
        let mut node_settings = NodeSettings::within(bucket.kind(), memory);
        node_settings.expiry.after = settings.producer_id_expiration;
        let (target, puts) = (settings.target_p99, settings.max_put_per_second);
        node_settings.gateway = node_settings.gateway.with_wishes(target, puts);
        node_settings.server.connections = settings.connections;
        node_settings.server.peers = peers;
        let parts = NodeParts {
            env,
            bucket,
            caches,
            grpc: grpc_listener,
            advertised: format!("http://{grpc}"),
            background: Some(background.handle()),
            stop_limit: STOP_LIMIT,
            settings: node_settings,
        };
        let node = Node::start(parts).await?;
        observer.state.get_or_init(|| node.state());
        observer.api.get_or_init(|| http::api(node.api(), memory.json()));
        let upkeep = tokio::spawn(upkeep(prometheus));
        let stop_http = stop_unless_started.disarm();
        Ok(Self { grpc, http, node, http_server, stop_http, background, upkeep })
    }

    /// Returns when it cannot serve any more though nobody stopped it: a bug ended its gateway.
    pub async fn failed(&self) {
        self.node.failed().await;
    }

    /// Stops well and bounded; returns whether every request that was taken was answered.
    pub async fn stop(self) -> bool {
        let answered = self.node.stop().await;
        self.stop_http.cancel();
        if timeout(STOP_LIMIT, self.http_server).await.is_err() {
            tracing::warn!("http connections left open at the end");
        }
        self.upkeep.abort();
        drop(self.background);
        answered
    }
}

async fn listen(env: &Env, flag: &'static str, address: &str) -> Result<Box<dyn Listener>, DevError> {
    let bound = env.network.listen(address).await;
    bound.map_err(|source| DevError::Listen { flag, address: address.to_owned(), source })
}

/// One thread for compaction, so that it never delays a commit. When it is dropped, wherever that is, the thread is not
/// waited for: what compaction is in the middle of is not referred to yet and is done again.
struct Background(Option<Runtime>);

impl Background {
    fn start() -> io::Result<Self> {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        threads.worker_threads(1).thread_name("compaction").enable_all().build().map(|runtime| Self(Some(runtime)))
    }

    fn handle(&self) -> Handle {
        self.0.as_ref().expect("it is there until it is dropped").handle().clone()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn upkeep(prometheus: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        prometheus.run_upkeep();
    }
}

struct Observer {
    /// Empty until the node has started.
    state: OnceLock<NodeState>,
    /// The same.
    api: OnceLock<Router>,
    process: ProcessMetrics,
    prometheus: PrometheusHandle,
}

#[tonic::async_trait]
impl Observed for Observer {
    fn render_metrics(&self) -> String {
        if let Some(state) = self.state.get() {
            state.update_metrics();
        }
        self.process.update();
        self.prometheus.render()
    }

    async fn ready(&self) -> Result<(), String> {
        self.state.get().ok_or("starting")?.ready().await
    }

    fn api(&self) -> Option<Router> {
        self.api.get().cloned()
    }
}
