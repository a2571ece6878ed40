//! The hosts that run the service.

use std::sync::Arc;

use turmoil::Sim;

use crate::{scenario::Shape, time::SimClock, world::World};

/// Where every node serves gRPC.
pub(crate) const GRPC_PORT: u16 = 8070;

/// Adds a node to the simulation.
pub(crate) fn register(sim: &mut Sim<'_>, world: &Arc<World>, shape: Shape, node: usize, clock: SimClock) {
    let name = shape.nodes()[node];
    let _ = (world, clock);
    sim.host(name, || async { std::future::pending().await });
}
