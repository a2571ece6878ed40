//! How the store is: what a ping tells rivals.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eagre_env::Env;

/// A flush that takes longer makes the holder unwell.
pub const FLUSH_MAX: Duration = Duration::from_secs(5);

/// When the flushes under way began.
#[derive(Debug, Default)]
pub struct Health(Mutex<Flushes>);

#[derive(Debug, Default)]
struct Flushes {
    next: u64,
    began: BTreeMap<u64, Duration>,
}

/// A flush under way, until it is dropped.
#[derive(Debug)]
pub struct Flushing {
    health: Arc<Health>,
    number: u64,
}

impl Health {
    /// A flush begins.
    pub fn flush_begins(self: &Arc<Self>, env: &Env) -> Flushing {
        let mut flushes = self.flushes();
        let number = flushes.next;
        flushes.next += 1;
        flushes.began.insert(number, env.clock.monotonic());
        Flushing { health: self.clone(), number }
    }

    /// Whether flushes end.
    pub fn is_well(&self, env: &Env) -> bool {
        let began = self.flushes().began.first_key_value().map(|(_, began)| *began);
        began.is_none_or(|began| env.clock.monotonic().saturating_sub(began) < FLUSH_MAX)
    }

    fn flushes(&self) -> MutexGuard<'_, Flushes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flushing {
    fn drop(&mut self) {
        self.health.flushes().began.remove(&self.number);
    }
}
