//! Whether a node could acknowledge a record at this moment.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use eagre_gateway::Gateway;
use eagre_objects::Presence;
use eagre_sequencer::SequencerNode;
use tokio::time::Instant;

/// An answer of the bucket is good for so long. Whoever asks more often, costs no more requests: a GET in five seconds at most
/// where nothing else is going on.
const PROOF_MAX_AGE: Duration = Duration::from_secs(5);

/// How a node is.
#[derive(Clone)]
pub struct NodeState {
    gateway: Arc<Gateway>,
    sequencer: Arc<SequencerNode>,
    presence: Presence,
    /// When the bucket last confirmed that this node holds its shard.
    proved_at: Arc<Mutex<Option<Instant>>>,
}

impl NodeState {
    pub(crate) fn new(gateway: Arc<Gateway>, sequencer: Arc<SequencerNode>, presence: Presence) -> Self {
        Self { gateway, sequencer, presence, proved_at: Arc::default() }
    }

    /// Whether a record that came now could be acknowledged soon: the shard is held, the gateway has joined it, and the bucket
    /// answers. `Err` says what it waits for, in a sentence.
    ///
    /// Where the last answer of the bucket is old, or it is known to be away, it is asked: else an idle node would not notice
    /// that the bucket went, or that it is back.
    pub async fn ready(&self) -> Result<(), String> {
        self.sequencer.check().map_err(|error| error.to_string())?;
        let was_away = self.presence.absence().is_some();
        let proved = if was_away || !self.is_proved() { self.prove().await } else { Ok(()) };
        if let Some(why) = self.presence.absence() {
            return Err(format!("the bucket does not serve, and records wait until it does: {why}"));
        }
        proved?;
        if !self.gateway.is_ready() {
            return Err("the gateway has not joined the sequencer, or is going away".into());
        }
        Ok(())
    }

    /// Brings the gauges up to date.
    pub fn update_metrics(&self) {
        self.gateway.update_metrics();
    }

    fn is_proved(&self) -> bool {
        let proved_at = *self.proved_at.lock().unwrap_or_else(PoisonError::into_inner);
        proved_at.is_some_and(|at| at.elapsed() < PROOF_MAX_AGE)
    }

    async fn prove(&self) -> Result<(), String> {
        let began = Instant::now();
        self.sequencer.prove().await.map_err(|error| error.to_string())?;
        *self.proved_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(began);
        Ok(())
    }
}
