//! How the store is: what a ping tells rivals.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use eagre_env::Env;

/// A flush that takes longer makes the holder unwell.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// When the flush under way began, if there is one.
#[derive(Debug, Default)]
pub struct Health {
    flush_began: Mutex<Option<Duration>>,
}

impl Health {
    /// A flush begins.
    pub fn flush_begins(&self, env: &Env) {
        *self.flush_began.lock().unwrap_or_else(PoisonError::into_inner) = Some(env.clock.monotonic());
    }

    /// It has ended, one way or the other.
    pub fn flush_ended(&self) {
        *self.flush_began.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether flushes end.
    pub fn is_well(&self, env: &Env) -> bool {
        let began = *self.flush_began.lock().unwrap_or_else(PoisonError::into_inner);
        began.is_none_or(|began| env.clock.monotonic().saturating_sub(began) < FLUSH_MAX)
    }
}
