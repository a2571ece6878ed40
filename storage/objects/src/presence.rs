//! Whether a bucket serves, as its last answers say.

use std::sync::{Arc, Mutex, PoisonError};

/// What is known of a bucket without asking it. Shared by all that look. A folder and memory are never known to be away.
#[derive(Debug, Clone, Default)]
pub struct Presence(Arc<Mutex<Option<String>>>);

impl Presence {
    /// What the bucket said last before it was known to be away: gone for 2 s and five failures. `None`: it serves, as far as is
    /// known. Only an answer ends it, so whoever waits for that has to see to it that something is asked.
    pub fn absence(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, absence: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = absence;
    }
}
