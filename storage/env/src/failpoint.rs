//! Named crash points before and after every step that matters: PUT, flush, commit, ack.

use async_trait::async_trait;

/// Decides what happens at a named point. The simulation crashes the host there; a real process has none.
#[async_trait]
pub trait FailPoints: Send + Sync {
    /// Returns to go on; never returns when the host is to die here.
    async fn pass(&self, name: &'static str);
}
