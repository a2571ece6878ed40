//! The wall clock of one term: what it said at the begin, and from there on by the monotonic clock.

use std::time::Duration;

use eagre_env::Env;

/// Time within a term. A wall clock that jumps meanwhile does not make producers look old.
#[derive(Debug, Clone, Copy)]
pub struct TermClock {
    began_unix_ms: i64,
    began: Duration,
}

impl TermClock {
    /// Begins now.
    pub fn start(env: &Env) -> Self {
        Self { began_unix_ms: env.clock.unix_ms(), began: env.clock.monotonic() }
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self, env: &Env) -> i64 {
        let elapsed = env.clock.monotonic().saturating_sub(self.began);
        self.began_unix_ms.saturating_add(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
    }
}
