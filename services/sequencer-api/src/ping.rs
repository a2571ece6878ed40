//! Whether a holder is there and well: what rivals ask before they claim.

use async_trait::async_trait;
use eagre_model::ShardId;

/// What a process says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PingAnswer {
    /// Number of the claim that it holds; 0 when it holds none.
    pub claim: u64,
    /// The claim's nonce: tells this holder from another process at the same address. 0 when it holds none.
    pub nonce: u128,
    /// Whether it reaches the bucket and its flushes end. A holder that is not well may be replaced.
    pub healthy: bool,
}

/// The answering side: a node that holds, or may come to hold, the claim of a shard.
#[async_trait]
pub trait Pinged: Send + Sync {
    /// Answers within about a second, whatever the state of the bucket.
    async fn ping(&self) -> PingAnswer;
}

/// The asking side. Over gRPC: [`crate::remote::GrpcPeers`]; tests have one that knows its nodes.
#[async_trait]
pub trait Peers: Send + Sync {
    /// Asks whoever listens at `address`; `None` when there is no answer. The caller bounds the time.
    async fn ping(&self, address: &str, shard: ShardId) -> Option<PingAnswer>;
}
