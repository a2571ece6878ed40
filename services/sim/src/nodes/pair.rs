//! One of two nodes over one bucket: a gateway that follows whoever serves the shard, and a candidate for it.
//!
//! The service runs as one process for now; this wiring shows that two share a bucket safely, which is what the lease and
//! the fence are for.

use std::{sync::Arc, time::Duration};

use eagre_gateway::Gateway;
use eagre_log::{ReaderSettings, RunReader};
use eagre_metadata::StoreSettings;
use eagre_runtime::NodeParts;
use eagre_sequencer::{SequencerNode, SequencerSettings};
use eagre_sequencer_api::{
    remote::{GrpcPeers, RemoteSequencer},
    server::SequencerServer,
};
use eagre_transport::{ChannelSettings, ServerSettings};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{GRPC_PORT, following::Following};

/// A candidate that found the shard held tries again after this pause.
const CANDIDACY_PAUSE: Duration = Duration::from_millis(400);

/// Serves until `stopped`, and whenever the shard can be had, holds it. `told` hears of every change.
pub(super) async fn serve(
    parts: NodeParts,
    other: &str,
    told: impl Fn(&str),
    stopped: impl Future<Output = ()>,
) -> Result<(), String> {
    let NodeParts { env, bucket, caches, grpc, advertised, stop_limit, settings: given, .. } = parts;
    let peers = Arc::new(GrpcPeers::new(env.network.clone()));
    let usual = SequencerSettings::new(advertised, StoreSettings::for_object_store());
    let settings = SequencerSettings { stop_limit, spill: given.spill, expiry: given.expiry, ..usual };
    let shard = settings.shard;
    let own = SequencerNode::new(env.clone(), bucket.clone(), peers, settings);
    let quick = ChannelSettings {
        connect_timeout: Duration::from_secs(1),
        keepalive_interval: Duration::from_secs(1),
        keepalive_timeout: Duration::from_secs(1),
        ..ChannelSettings::default()
    };
    let channel = eagre_transport::channel(env.network.clone(), &format!("http://{other}:{GRPC_PORT}"), &quick);
    let remote = RemoteSequencer::new(channel.map_err(|error| error.to_string())?, shard);
    let following = Arc::new(Following::new(own.clone(), Arc::new(remote)));
    let reader = RunReader::new(&env, bucket.clone(), caches, &ReaderSettings::default());
    let gateway = Gateway::start(env, bucket, reader, following, given.gateway).map_err(|error| error.to_string())?;
    let internal = SequencerServer::new(own.clone(), own.clone(), shard);
    let routes = gateway.routes().add_service(gateway.admit_internal(internal.into_service()));
    let (stop_serving, until_stopped) = oneshot::channel::<()>();
    let serving = eagre_transport::serve(grpc, routes, ServerSettings::default(), async {
        // A sender that is gone says the same.
        let _ = until_stopped.await;
    });
    let server = tokio::spawn(serving);
    let candidacy = async {
        while let Err(error) = own.start().await {
            told(&error.to_string());
            sleep(CANDIDACY_PAUSE).await;
        }
        // From here on the node claims again by itself when it is deposed.
        told("holds the shard");
        std::future::pending().await
    };
    tokio::select! {
        biased;
        () = stopped => {}
        () = candidacy => {}
    }
    gateway.drain(stop_limit).await;
    let _ = stop_serving.send(());
    let abort = server.abort_handle();
    if timeout(stop_limit, server).await.is_err() {
        abort.abort();
    }
    own.stop().await;
    told("stopped");
    Ok(())
}
