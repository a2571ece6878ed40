//! A bucket in memory that takes the time of an object store: for measurements on a machine that has none.
//!
//! Latencies are drawn from lognormal distributions under a seed ([`latency`]); above a ceiling of PUTs a second it answers 503
//! SlowDown. Everything that asks takes it for a bucket behind a network. Figures taken on it are in `docs/benchmarks.md`.

mod ceiling;
mod latency;
mod store;
mod url;

pub(crate) use store::ModelledStore;
pub use url::{ModelUrl, ModelUrlError};
