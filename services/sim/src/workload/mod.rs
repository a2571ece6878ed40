//! What the clients of a simulation do, and how they write it down.

pub(crate) mod asker;
pub(crate) mod auditor;
pub(crate) mod churner;
pub(crate) mod drainer;
pub(crate) mod follower;
pub(crate) mod gateway;
pub(crate) mod prober;
pub(crate) mod prober_turns;
pub(crate) mod producer;
pub(crate) mod scatterer;
pub(crate) mod setup;
pub(crate) mod streamer;
pub(crate) mod tailer;
mod times;

use std::sync::Arc;

use eagre_client::Client;
use eagre_verify::{Partition, Process, Value};

use crate::{nodes::GRPC_PORT, time::SimClock, world::World};

/// The topics of every simulation: name, and how many partitions it is created with.
pub(crate) const TOPICS: [(&str, Option<u32>); 2] = [("orders", Some(3)), ("clicks", None)];
/// How many partitions the topics have; an elastic one begins with four.
const PARTITIONS: [u32; 2] = [3, 4];

/// All partitions, as the history numbers them.
pub(crate) fn partitions() -> Vec<Partition> {
    let of_topic = |(topic, count): (u32, &u32)| (0..*count).map(move |partition| Partition { topic, partition });
    (0..).zip(&PARTITIONS).flat_map(of_topic).collect()
}

/// Name of a partition's topic.
pub(crate) fn topic_name(partition: Partition) -> &'static str {
    TOPICS[partition.topic as usize].0
}

/// One client, that is one process of the history on a host of its own.
#[derive(Clone)]
pub(crate) struct Role {
    pub world: Arc<World>,
    pub process: Process,
    pub host: String,
    /// Hosts of the gateways.
    pub gateways: Vec<String>,
}

impl Role {
    /// A client of the client crate, over all gateways; each process begins with another one.
    pub fn client(&self) -> Client {
        let env = self.world.env(&self.host, &SimClock::new(Arc::clone(&self.world.time)), 0);
        let (first, count) = (self.process.0 as usize, self.gateways.len());
        let endpoint = |n: usize| format!("http://{}:{GRPC_PORT}", self.gateways[(first + n) % count]);
        let builder = Client::builder(endpoint(0)).endpoints((1..count).map(endpoint));
        builder.env(env).build().expect("the endpoints are well formed")
    }
}

/// Values that no other process of the simulation gives out.
pub(crate) struct Values {
    next: u64,
}

impl Values {
    pub fn of(process: Process) -> Self {
        Self { next: u64::from(process.0) * 1_000_000 }
    }

    pub fn next(&mut self) -> Value {
        self.next += 1;
        Value(self.next)
    }
}
