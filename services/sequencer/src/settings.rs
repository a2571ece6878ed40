//! Settings of a sequencer.

use std::time::Duration;

use eagre_metadata::StoreSettings;
use eagre_model::ShardId;

use crate::{expiry::ExpirySettings, spill::SpillSettings};

/// Settings of a [`SequencerNode`](crate::SequencerNode).
#[derive(Debug, Clone)]
pub struct SequencerSettings {
    /// The shard to hold.
    pub shard: ShardId,
    /// Where this process answers pings, as rivals reach it: `http://host:port`. Stands in its claim.
    pub address: String,
    /// R: how long the holder may flush and answer after it last proved its claim. The same in every process.
    pub authority: Duration,
    /// How many producers, each in a partition, are kept in memory.
    pub producers_max: usize,
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
            producers_max: 65_536,
            stop_limit: Duration::from_secs(5),
            spill: SpillSettings::default(),
            expiry: ExpirySettings::default(),
            store,
        }
    }
}
