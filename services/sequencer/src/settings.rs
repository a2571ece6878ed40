//! Settings of a sequencer.

use std::time::Duration;

use eagre_metadata::StoreSettings;
use eagre_model::ShardId;

use crate::{expiry::ExpirySettings, spill::SpillSettings};

/// What a sequencer may hold in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequencerMemory {
    /// Bytes of commits that are queued, judged or being flushed. When the bucket hangs, no more than this piles up.
    pub queued_bytes_max: usize,
    /// How many producers, each in a partition, are kept in memory.
    pub producers_max: usize,
}

impl Default for SequencerMemory {
    fn default() -> Self {
        Self { queued_bytes_max: 16 << 20, producers_max: 65_536 }
    }
}

/// Settings of a [`SequencerNode`](crate::SequencerNode).
#[derive(Debug, Clone)]
pub struct SequencerSettings {
    /// The shard to hold.
    pub shard: ShardId,
    /// Where this process answers pings, as rivals reach it: `http://host:port`. Stands in its claim.
    pub address: String,
    /// R: how long the holder may flush and answer after it last proved its claim. The same in every process.
    pub authority: Duration,
    /// What it may hold.
    pub memory: SequencerMemory,
    /// How long a stop waits for the last commits, and then for the store to close.
    pub stop_limit: Duration,
    /// When inline runs become objects.
    pub spill: SpillSettings,
    /// When producers are forgotten.
    pub expiry: ExpirySettings,
    /// Of the metadata store.
    pub store: StoreSettings,
}

impl SequencerSettings {
    /// The usual settings.
    pub fn new(address: impl Into<String>, store: StoreSettings) -> Self {
        Self {
            shard: ShardId::FIRST,
            address: address.into(),
            authority: Duration::from_secs(1),
            memory: SequencerMemory::default(),
            stop_limit: Duration::from_secs(5),
            spill: SpillSettings::default(),
            expiry: ExpirySettings::default(),
            store,
        }
    }
}
