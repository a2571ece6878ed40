//! The deterministic simulation: gateways, sequencers, clients and a faulty bucket in one process under one seed.

mod bucket;
mod network;
mod time;
mod trace;

pub use bucket::{BucketKind, Faults, Latency, SimBucket};
pub use network::TurmoilNetwork;
pub use time::{EPOCH_MS, SimClock, VirtualTime};
pub use trace::{Fingerprint, Trace};
