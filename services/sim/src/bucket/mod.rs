//! A bucket that all hosts of a simulation share, with seeded faults and latencies, behind [`ObjectStore`].
//!
//! A request is submitted, waits its time on the host that made it, and takes effect at a moment of its own: so a PUT may
//! be applied without an answer, or after its caller has given up or died. Every request stands in the trace.

mod contents;
mod faults;
mod host;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use eagre_env::{Randomness, SeededRandomness};
use object_store::{ObjectStore, path::Path};

use crate::{time::VirtualTime, trace::Trace};
use contents::{Arrival, Contents, Durability};
pub use faults::{Faults, Latency};
use host::HostBucket;

/// What kind of store the bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketKind {
    /// An object store: what is applied is durable; conditional updates and attributes work.
    Remote,
    /// A folder on the disk of one machine: neither conditional updates nor attributes, as with `LocalFileSystem`.
    Folder {
        /// A change is synced before it is answered. Without it a crash of the machine loses or tears what was answered.
        fsync: bool,
    },
}

/// The bucket as the world sees it. Cheap to clone.
#[derive(Clone)]
pub struct SimBucket {
    shared: Arc<Shared>,
}

struct Shared {
    kind: BucketKind,
    latency: Latency,
    time: Arc<VirtualTime>,
    trace: Trace,
    random: SeededRandomness,
    contents: Mutex<Contents>,
    weather: Mutex<Weather>,
}

/// What the world has ordered for now.
#[derive(Default)]
struct Weather {
    faults: Faults,
    gone_for: BTreeSet<String>,
    hanging: bool,
    data_writes_held: bool,
}

impl SimBucket {
    /// An empty bucket without faults.
    pub fn new(kind: BucketKind, time: Arc<VirtualTime>, trace: Trace, seed: u64) -> Self {
        let latency = match kind {
            BucketKind::Remote => Latency::Remote,
            BucketKind::Folder { .. } => Latency::Disk,
        };
        let shared = Shared {
            kind,
            latency,
            time,
            trace,
            random: SeededRandomness::new(seed),
            contents: Mutex::default(),
            weather: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// What kind of store it is.
    pub fn kind(&self) -> BucketKind {
        self.shared.kind
    }

    /// The bucket as one host reaches it.
    pub fn on_host(&self, host: &str) -> Arc<dyn ObjectStore> {
        Arc::new(HostBucket::new(Arc::clone(&self.shared), host))
    }

    /// Sets the rates of faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.weather().faults = faults;
    }

    /// Takes the bucket away from a host: its requests fail, or hang until it is back.
    pub fn take_away(&self, host: &str, hanging: bool) {
        let mut weather = self.shared.weather();
        weather.hanging = hanging;
        weather.gone_for.insert(host.to_owned());
    }

    /// Gives it back to all.
    pub fn give_back(&self) {
        self.shared.weather().gone_for.clear();
    }

    /// PUTs of record data wait until they are released.
    pub fn hold_data_writes(&self, held: bool) {
        self.shared.weather().data_writes_held = held;
    }

    /// The machine under a folder loses power. Nothing happens to an object store.
    pub fn power_loss(&self) {
        if let BucketKind::Folder { fsync } = self.shared.kind {
            self.settle(self.shared.time.now());
            // SlateDB 0.18 panics over a torn table, and a panic ends the simulation; tables are lost whole.
            let may_tear = |key: &Path| !fsync && is_record_data(key);
            for (key, fate) in self.shared.contents().lose_unsynced(&self.shared.random, may_tear) {
                self.shared.trace.note("bucket", format_args!("power loss: {key} {fate}"));
            }
        }
    }

    /// Applies whatever is due.
    pub fn settle(&self, now: Duration) {
        self.shared.advance(now);
    }

    /// An object as it is now, without a request.
    pub fn peek(&self, key: &str) -> Option<Bytes> {
        self.shared.contents().objects.get(&Path::from(key)).map(|entry| entry.bytes.clone())
    }

    /// Keys that begin with the prefix, without a request.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let contents = self.shared.contents();
        contents.objects.keys().map(ToString::to_string).filter(|key| key.starts_with(prefix)).collect()
    }
}

impl std::fmt::Debug for SimBucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimBucket").field("kind", &self.shared.kind).finish_non_exhaustive()
    }
}

impl Shared {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, now: Duration) {
        let arrivals = self.contents().advance(now);
        for Arrival { at, key, applied, .. } in arrivals.into_iter().filter(|arrival| arrival.late) {
            self.trace.note("bucket", format_args!("late change of {key} due at {at:?}: {applied:?}"));
        }
    }

    /// How durable a change is when it is applied: in a folder with fsync it is visible first, and answered when it is
    /// synced.
    fn draw_durability(&self) -> Durability {
        match self.kind {
            BucketKind::Remote => Durability::AtOnce,
            BucketKind::Folder { fsync: false } => Durability::Never,
            BucketKind::Folder { fsync: true } => {
                let us = if self.random.below(8) == 0 { 1 + self.random.below(60_000) } else { 400 };
                Durability::Synced { after: Duration::from_micros(us) }
            }
        }
    }

    fn chance(&self, permille: u64) -> bool {
        permille > 0 && self.random.below(1_000) < permille
    }
}

/// Whether a key is that of record data, whose readers check what they get.
fn is_record_data(key: &Path) -> bool {
    key.parts().next().is_some_and(|first| first.as_ref() == "wal")
}
