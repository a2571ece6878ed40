//! A bucket behind a network misbehaves; this layer stands between it and everything that uses it.
//!
//! **Who retries what.** This layer repairs what passes quickly: a few tries per request, within a deadline, and at most one
//! retry for ten successes over all ([`Budget`](budget)). Whoever asks knows how long it may wait, and persists as long: uploads
//! seconds, SlateDB for ever, the proof of a claim within its reach. Since all retries of this layer come from one budget, and
//! there are none while the bucket is away, the two do not multiply.
//!
//! | what | where |
//! |---|---|
//! | which requests go first | [`traffic`], [`lanes`] |
//! | what an error means | [`verdict`] |
//! | how many may be under way | [`limit`] |
//! | how long a try, a request, a pause takes | [`pace`], [`quantile`] |
//! | what may be hedged and retried | [`plan`], [`budget`] |
//! | doing it | [`engine`], [`race`], [`body`] |
//! | own or rival | [`owner`] |
//! | is the bucket there | [`availability`] |
//!
//! A folder or memory has none of this: it would cost and could not help.

mod availability;
mod body;
mod budget;
mod engine;
mod lanes;
mod limit;
mod owner;
mod pace;
mod plan;
mod quantile;
mod race;
mod store;
pub(crate) mod telemetry;
#[cfg(test)]
mod tests;
mod traffic;
mod verdict;

pub(crate) use store::ResilientStore;
pub use verdict::SlowDown;

/// What is switched off for measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResilienceSettings {
    /// Slow requests are sent a second time.
    pub(crate) has_hedges: bool,
}

impl Default for ResilienceSettings {
    fn default() -> Self {
        Self { has_hedges: true }
    }
}
