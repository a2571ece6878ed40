//! How long one request may take, and how often the client below repeats it.
//!
//! `object_store`'s own defaults (10 tries within 3 minutes) are made for batch jobs: an acknowledgement waits for what they
//! do. So it repeats next to nothing, which heals a connection that the server closed while it was idle; backing off, adapting
//! and hedging are for whoever uses the store, which knows what a request is for.

use std::time::Duration;

use object_store::{BackoffConfig, ClientConfigKey, RetryConfig};

/// Repetitions of a request, the first try not counted.
const REPETITIONS_MAX: usize = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// No repetition begins later than this.
const REPEAT_FOR: Duration = Duration::from_secs(2);

/// What a client may be told of its own times; the user's variables, where there are any, come later and win.
///
/// A request includes its body: 8 MiB pass within its time at 4 Mbit/s.
pub(super) const TIMES: [(ClientConfigKey, &str); 2] =
    [(ClientConfigKey::ConnectTimeout, "3 seconds"), (ClientConfigKey::Timeout, "20 seconds")];

/// How often a failed request is repeated.
pub(super) fn repetitions() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: FIRST_PAUSE, max_backoff: PAUSE_MAX, base: 2.0 };
    RetryConfig { backoff, max_retries: REPETITIONS_MAX, retry_timeout: REPEAT_FOR }
}
