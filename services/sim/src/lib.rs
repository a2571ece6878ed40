//! The deterministic simulation: gateways, sequencers, clients and a faulty bucket in one process under one seed.
//!
//! A [`Scenario`] says what there is and what goes wrong; [`run`] plays it on virtual time and lets the judge of
//! `eagre-verify` read what the clients saw. The same scenario gives the same [`Trace`], to the last bucket request. See
//! `docs/testing.md`.

mod bucket;
mod counters;
mod nemesis;
mod network;
mod nodes;
mod payload;
mod points;
mod run;
mod scenario;
mod time;
mod trace;
mod workload;
mod world;

pub use bucket::{BucketKind, Faults, Latency, SimBucket};
pub use network::{Links, TurmoilNetwork};
pub use points::{AtPoint, Points};
pub use run::{Tally, Verdict, run};
pub use scenario::{Disturbance, Host, Inline, POINTS, Scenario, Shape};
pub use time::{EPOCH_MS, SimClock, VirtualTime};
pub use trace::{Fingerprint, Trace};
