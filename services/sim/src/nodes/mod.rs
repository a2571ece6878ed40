//! The hosts that run the service.

mod following;
mod pair;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use eagre_cache::{CacheSettings, PageCaches};
use eagre_env::Env;
use eagre_objects::{Bucket, BucketKind as Kind};
use eagre_runtime::{Node, NodeParts, NodeSettings};
use tokio::time::sleep;
use turmoil::Sim;

use crate::{bucket::BucketKind, scenario::Shape, time::SimClock, world::World};

/// Where every node serves gRPC.
pub(crate) const GRPC_PORT: u16 = 8070;

/// Whoever looks after the processes starts one that failed to start again after this pause.
const RESTART_PAUSE: Duration = Duration::from_millis(200);
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Small, so that reads go to the bucket too.
const CACHE_BYTES: usize = 256 << 10;

/// Adds a node to the simulation.
pub(crate) fn register(sim: &mut Sim<'_>, world: &Arc<World>, shape: Shape, node: usize, clock: SimClock) {
    let name = shape.nodes()[node];
    let boots = Arc::new(AtomicU64::new(0));
    let world = Arc::clone(world);
    sim.host(name, move || {
        let (world, clock, boots) = (Arc::clone(&world), clock.clone(), Arc::clone(&boots));
        async move {
            // The first node is the first to claim.
            if node > 0 && boots.load(Ordering::Relaxed) == 0 {
                sleep(RESTART_PAUSE).await;
            }
            loop {
                let boot = boots.fetch_add(1, Ordering::Relaxed) + 1;
                let env = world.env(name, &clock, boot);
                if let Err(error) = serve(&world, env, name, shape).await {
                    world.trace.note(name, format_args!("does not start: {error}"));
                }
                sleep(RESTART_PAUSE).await;
            }
        }
    });
}

/// Serves until it is asked to stop, or fails to start.
async fn serve(world: &World, env: Env, name: &str, shape: Shape) -> Result<(), String> {
    let kind = match world.bucket.kind() {
        BucketKind::Remote => Kind::Remote,
        BucketKind::Folder { .. } => Kind::Folder,
    };
    let grpc = env.network.listen(&format!("0.0.0.0:{GRPC_PORT}")).await.map_err(|error| error.to_string())?;
    let bucket = Bucket::from_store(&env, world.bucket.on_host(name), kind).await.map_err(|error| error.to_string())?;
    let caches = PageCaches::plain(&CacheSettings { written_bytes: CACHE_BYTES, pages_bytes: CACHE_BYTES, disk: None });
    let advertised = format!("http://{name}:{GRPC_PORT}");
    let mut settings = NodeSettings::for_bucket(kind);
    settings.gateway.inline_bytes_max = world.inline.object_bytes_max;
    settings.spill = world.inline.spill;
    settings.expiry = world.expiry;
    let stop_limit = STOP_LIMIT;
    let parts = NodeParts { env, bucket, caches, grpc, advertised, background: None, stop_limit, settings };
    let stopped = world.until_stopped(name);
    let told = |what: &str| world.trace.note(name, format_args!("{what}"));
    match shape.nodes().iter().find(|other| **other != name) {
        Some(other) => pair::serve(parts, other, told, stopped).await,
        None => {
            let node = Node::start(parts).await.map_err(|error| error.to_string())?;
            told("serves");
            stopped.await;
            let answered = node.stop().await;
            told(if answered { "stopped, and has answered all" } else { "stopped, and has not answered all" });
            Ok(())
        }
    }
}
