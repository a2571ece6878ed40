//! How long one request may take, and how often the client below repeats it.
//!
//! `object_store`'s own defaults (10 tries within 3 minutes) are made for batch jobs: an acknowledgement waits for what they
//! do. And a create that it repeats after a lost answer comes back as "exists already" without a word of the first try. So it
//! repeats nothing; [`resilient`](crate::resilient) does, and knows what a request is for.

use object_store::{ClientConfigKey, RetryConfig};

/// What a client may be told of its own times; the user's variables, where there are any, come later and win.
///
/// A request includes its body: 8 MiB pass within its time at 4 Mbit/s.
pub(super) const TIMES: [(ClientConfigKey, &str); 2] =
    [(ClientConfigKey::ConnectTimeout, "3 seconds"), (ClientConfigKey::Timeout, "20 seconds")];

/// No failed request is repeated.
pub(super) fn repetitions() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}
