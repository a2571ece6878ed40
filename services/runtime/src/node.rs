//! One gateway and one sequencer behind a gRPC port.

use std::{sync::Arc, time::Duration};

use eagre_cache::PageCaches;
use eagre_env::{Env, Listener};
use eagre_gateway::{Gateway, GatewaySettings};
use eagre_log::RunReader;
use eagre_metadata::StoreSettings;
use eagre_objects::{Bucket, BucketKind};
use eagre_sequencer::{ExpirySettings, SequencerNode, SequencerSettings, SpillSettings};
use eagre_sequencer_api::{remote::GrpcPeers, server::SequencerServer};
use eagre_transport::ServerSettings;
use tokio::{runtime::Handle, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_reflection::server::{
    Builder,
    v1::{ServerReflection, ServerReflectionServer},
    v1alpha::{ServerReflection as OldReflection, ServerReflectionServer as OldReflectionServer},
};

use crate::{health, memory::MemoryPlan, state::NodeState};

pub use eagre_sequencer::StartError;

/// How a node's parts behave.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// Of the gateway.
    pub gateway: GatewaySettings,
    /// When what the sequencer was given inside of commits becomes an object.
    pub spill: SpillSettings,
    /// When producers are forgotten.
    pub expiry: ExpirySettings,
    /// Of the gRPC port.
    pub server: ServerSettings,
    /// How the process' memory is divided.
    pub memory: MemoryPlan,
}

impl NodeSettings {
    /// What fits a bucket of this kind, with the usual limit of memory.
    pub fn for_bucket(kind: BucketKind) -> Self {
        Self::within(kind, MemoryPlan::default())
    }

    /// What fits a bucket of this kind and a limit of memory.
    pub fn within(kind: BucketKind, memory: MemoryPlan) -> Self {
        let mut gateway = GatewaySettings::for_bucket(kind);
        memory.bound_gateway(&mut gateway);
        let mut server = ServerSettings::default();
        memory.bound_server(&mut server);
        Self { gateway, spill: memory.spill(), expiry: ExpirySettings::default(), server, memory }
    }
}

/// What a node is made of.
pub struct NodeParts {
    /// The world.
    pub env: Env,
    /// Where everything is kept.
    pub bucket: Bucket,
    /// Pages near the node.
    pub caches: PageCaches,
    /// Where gRPC is served.
    pub grpc: Box<dyn Listener>,
    /// How rivals reach that port: `http://host:port`.
    pub advertised: String,
    /// Where compaction of the metadata runs; `None`: on the present runtime.
    pub background: Option<Handle>,
    /// A stop waits for requests, for connections and for the store, each for at most so long.
    pub stop_limit: Duration,
    /// How they behave.
    pub settings: NodeSettings,
}

/// A running node.
pub struct Node {
    gateway: Arc<Gateway>,
    sequencer: Arc<SequencerNode>,
    state: NodeState,
    stop_limit: Duration,
    stop_serving: CancellationToken,
    server: JoinHandle<()>,
}

impl Node {
    /// Serves the port, claims the shard and opens it; returns when the node can serve.
    ///
    /// # Errors
    ///
    /// Another living process holds the bucket, or the bucket cannot be read; nothing runs then.
    pub async fn start(parts: NodeParts) -> Result<Self, StartError> {
        let NodeParts { env, bucket, caches, grpc, advertised, background, stop_limit, settings } = parts;
        let peers = Arc::new(GrpcPeers::new(env.network.clone()));
        let NodeSettings { gateway, spill, expiry, server, memory } = settings;
        let store = StoreSettings { memory: memory.store(), ..store(&bucket, background) };
        let usual = SequencerSettings::new(advertised, store);
        let settings = SequencerSettings { stop_limit, spill, expiry, memory: memory.sequencer(), ..usual };
        let shard = settings.shard;
        let presence = bucket.presence().clone();
        let sequencer = SequencerNode::new(env.clone(), bucket.clone(), peers, settings);
        let reader = RunReader::new(&env, bucket.clone(), caches, &memory.reader());
        let gateway = Gateway::start(env, bucket, reader, sequencer.clone(), gateway)
            .map_err(|error| StartError::Unreadable(error.to_string()))?;
        let internal = SequencerServer::new(sequencer.clone(), sequencer.clone(), shard);
        let (gateway, stop_serving) = (Arc::new(gateway), CancellationToken::new());
        let state = NodeState::new(gateway.clone(), sequencer.clone(), presence);
        let (reflection, old_reflection) = reflection();
        let routes = gateway
            .routes()
            .add_service(gateway.admit_internal(internal.into_service()))
            .add_service(gateway.admit_names(health::service(state.clone(), stop_serving.clone())))
            .add_service(gateway.admit_names(reflection))
            .add_service(gateway.admit_names(old_reflection));
        let stopped = stop_serving.clone().cancelled_owned();
        // Rivals ask a node how it is from the moment of its claim on, so it serves before it claims.
        let server = tokio::spawn(eagre_transport::serve(grpc, routes, server, stopped));
        let node = Self { gateway, sequencer, state, stop_limit, stop_serving, server };
        if let Err(error) = node.sequencer.start().await {
            node.stop().await;
            return Err(error);
        }
        node.gateway.ready().await;
        Ok(node)
    }

    /// What the HTTP port asks; outlives the node.
    pub fn state(&self) -> NodeState {
        self.state.clone()
    }

    /// The public gRPC services, to be called in this process.
    pub fn api(&self) -> Routes {
        self.gateway.routes()
    }

    /// Returns when the node cannot serve any more though nobody stopped it: a bug ended its gateway.
    pub async fn failed(&self) {
        self.gateway.failed().await;
    }

    /// Stops well: answers what it has taken, ends the connections, closes the store and says that its claim is over.
    /// Returns whether every request that it had taken was answered in time.
    pub async fn stop(self) -> bool {
        let answered = self.gateway.drain(self.stop_limit).await;
        self.stop_serving.cancel();
        let abort = self.server.abort_handle();
        if timeout(self.stop_limit, self.server).await.is_err() {
            abort.abort();
        }
        self.sequencer.stop().await;
        answered
    }
}

/// What lets `grpcurl` and others explore the API without its files, in both versions that they ask for.
fn reflection() -> (ServerReflectionServer<impl ServerReflection>, OldReflectionServer<impl OldReflection>) {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(eagre_proto::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // What the details of a failed call are made of.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let built = "the descriptors are well formed";
    (builder().build_v1().expect(built), builder().build_v1alpha().expect(built))
}

fn store(bucket: &Bucket, background: Option<Handle>) -> StoreSettings {
    let settings = match bucket.kind() {
        BucketKind::Folder | BucketKind::Memory => StoreSettings::for_folder(),
        BucketKind::Remote if bucket.has_conditional_overwrite() => StoreSettings::for_object_store(),
        BucketKind::Remote => StoreSettings::for_object_store().without_conditional_overwrite(),
    };
    match background {
        Some(background) => settings.with_background(background),
        None => settings,
    }
}
