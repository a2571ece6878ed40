//! Pauses between attempts: they double, with jitter, so that nodes that failed together do not come back together.

use std::time::Duration;

use eagre_env::Env;

/// Doubling pauses.
#[derive(Debug)]
pub struct Pause {
    env: Env,
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pause {
    /// Pauses from `first` to `longest`.
    pub fn new(env: Env, first: Duration, longest: Duration) -> Self {
        Self { env, first, longest, next: first }
    }

    /// Half to the whole of the present pause; the next one is twice as long.
    pub async fn wait(&mut self) {
        let half_ms = u64::try_from(self.next.as_millis() / 2).unwrap_or(u64::MAX);
        let jitter_ms = self.env.random.below(half_ms.saturating_add(1));
        self.next = (self.next * 2).min(self.longest);
        tokio::time::sleep(Duration::from_millis(half_ms + jitter_ms)).await;
    }

    /// After a success: begins again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}
