//! What all hosts of one simulation share.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use eagre_env::{Env, HostIdentity, PlantedBug, SeededRandomness};
use eagre_sequencer::ExpirySettings;
use eagre_verify::{History, Moment, Partition};

use crate::{
    bucket::SimBucket,
    network::{Links, TurmoilNetwork},
    points::Points,
    scenario::Inline,
    time::{SimClock, VirtualTime, nanos},
    trace::Trace,
};

/// The stages of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Topics are made.
    Setup,
    /// Clients work, and things break.
    Chaos,
    /// Everything is whole again; clients finish what they have begun.
    Quiet,
    /// The log is read to its end; readers stop there.
    Done,
}

/// How often a node looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);

/// Shared by all hosts and by whoever drives them.
pub(crate) struct World {
    pub seed: u64,
    pub time: Arc<VirtualTime>,
    pub trace: Trace,
    pub bucket: SimBucket,
    pub links: Links,
    pub points: Points,
    pub planted: Option<PlantedBug>,
    pub inline: Inline,
    pub expiry: ExpirySettings,
    history: Mutex<History>,
    complaints: Mutex<Vec<String>>,
    ends: Mutex<BTreeMap<Partition, i64>>,
    stopping: Mutex<BTreeSet<String>>,
    phase: AtomicU8,
}

impl World {
    pub fn new(
        seed: u64,
        bucket: SimBucket,
        time: Arc<VirtualTime>,
        trace: Trace,
        planted: Option<PlantedBug>,
        (inline, expiry): (Inline, ExpirySettings),
    ) -> Self {
        Self {
            seed,
            time,
            bucket,
            links: Links::default(),
            points: Points::new(trace.clone()),
            trace,
            planted,
            inline,
            expiry,
            history: Mutex::default(),
            complaints: Mutex::default(),
            ends: Mutex::default(),
            stopping: Mutex::default(),
            phase: AtomicU8::new(Phase::Setup as u8),
        }
    }

    /// Whether producers are forgotten while the simulation lasts.
    pub fn producers_expire(&self) -> bool {
        self.expiry != ExpirySettings::default()
    }

    /// Now, as the history writes it.
    pub fn moment(&self) -> Moment {
        Moment(nanos(self.time.now()))
    }

    /// The history, to be written.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client was answered in a way that no correct service answers.
    pub fn complain(&self, what: String) {
        self.trace.note("world", format_args!("complaint: {what}"));
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// All complaints.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The log reached so far when everything had come to rest.
    pub fn set_end(&self, partition: Partition, end: i64) {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, end);
    }

    /// Whether a reader has come as far as all logs reached when everything had come to rest.
    pub fn has_read_all(&self, next: &BTreeMap<Partition, i64>) -> bool {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.iter().all(|(partition, end)| next.get(partition).is_some_and(|next| next >= end))
    }

    /// Asks a node to stop well.
    pub fn stop(&self, host: &str) {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned());
    }

    /// Whoever was asked to stop and has not seen it goes on.
    pub fn forget_stops(&self) {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns when a node is asked to stop.
    pub async fn until_stopped(&self, host: &str) {
        while !self.stopping.lock().unwrap_or_else(PoisonError::into_inner).remove(host) {
            tokio::time::sleep(LOOK).await;
        }
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Setup,
            1 => Phase::Chaos,
            2 => Phase::Quiet,
            _ => Phase::Done,
        }
    }

    pub fn enter(&self, phase: Phase) {
        self.trace.note("world", format_args!("{phase:?}"));
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Random numbers of one role, independent of how many others draw.
    pub fn random(&self, role: &str, instance: u64) -> SeededRandomness {
        let mut hasher = std::hash::DefaultHasher::new();
        (self.seed, role, instance).hash(&mut hasher);
        SeededRandomness::new(hasher.finish())
    }

    /// The environment of a host that starts for the n-th time.
    pub fn env(&self, host: &str, clock: &SimClock, boot: u64) -> Env {
        // An empty machine name: no neighbour can tell that a process is dead, so leases always run out in full.
        let process = u32::try_from(boot).unwrap_or(u32::MAX);
        let identity = HostIdentity { machine: String::new(), process, started: boot };
        Env::new(
            Arc::new(clock.clone()),
            Arc::new(self.random(host, boot)),
            Arc::new(TurmoilNetwork::new(host, &self.links)),
            identity,
        )
        .with_fail_points(self.points.on_host(host))
        .with_planted_bug(self.planted)
    }
}
