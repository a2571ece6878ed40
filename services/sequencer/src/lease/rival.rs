//! How a process comes to hold a shard.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use eagre_env::Env;
use eagre_sequencer_api::Peers;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{debug, info};

use super::{
    claim::{Claim, ClaimFormatError},
    register::{Created, Found, Register, RegisterError},
};

/// A holder that gives no healthy answer for so long is replaced.
pub const SILENCE: Duration = Duration::from_millis(1_500);
const PING_INTERVAL: Duration = Duration::from_millis(250);
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// How many claims of dead processes are looked through for the last one that might live.
const DEAD_CLAIMS_MAX: usize = 64;

/// What it takes to claim.
#[derive(Clone)]
pub struct Rival {
    /// Clock, randomness, host, fail points.
    pub env: Env,
    /// The claims.
    pub register: Register,
    /// Asks holders how they are.
    pub peers: Arc<dyn Peers>,
    /// Where this process answers pings.
    pub address: String,
    /// R: how long a holder may have authority after its last proof.
    pub reach: Duration,
}

/// Why the shard was not claimed.
#[derive(Debug, thiserror::Error)]
pub enum RivalError {
    /// Another process holds it and is well.
    #[error("held by the process at {address}")]
    Held {
        /// Where that process answers.
        address: String,
        /// Its claim.
        claim: u64,
    },
    /// A newer version of Eagre was here.
    #[error("the shard was claimed by a newer version: {0}")]
    Newer(ClaimFormatError),
    /// The claims could not be read or written.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

impl Rival {
    /// Claims the shard unless its holder is well. The claim is not to be used before [`Self::await_predecessors`].
    /// `known` is a claim seen before: then the newest one is found by GETs instead of a LIST.
    pub async fn claim(&self, known: Option<u64>) -> Result<Claim, RivalError> {
        let (mut newest, stepped_down) = match known {
            None => {
                let listed = self.register.list().await?;
                (listed.newest.unwrap_or(0), listed.stepped_down)
            }
            Some(known) => {
                let newest = self.newest_from(known).await?;
                let is_over = newest > 0 && self.register.has_stepped_down(newest).await?;
                (newest, is_over.then_some(newest).into_iter().collect())
            }
        };
        loop {
            if newest > 0 && !stepped_down.contains(&newest) {
                self.expect_silence(newest).await?;
            }
            let claim = Claim {
                shard: self.register.shard(),
                number: newest + 1,
                nonce: self.env.random.next_u128().max(1),
                address: self.address.clone(),
                host: self.env.host.clone(),
            };
            match self.register.create(&self.env, &claim).await? {
                Created::Ours => {
                    info!(claim = claim.number, "claimed the shard");
                    return Ok(claim);
                }
                Created::Rival => newest += 1,
            }
        }
    }

    async fn newest_from(&self, known: u64) -> Result<u64, RegisterError> {
        let mut newest = known;
        while self.register.read(newest + 1).await? != Found::Absent {
            newest += 1;
        }
        Ok(newest)
    }

    /// Returns when the holder of a claim is known dead or was silent for long; fails when it is well.
    async fn expect_silence(&self, number: u64) -> Result<(), RivalError> {
        let holder = match self.register.read(number).await? {
            // Claims are never deleted; a LIST may be ahead of a GET.
            Found::Absent => None,
            Found::Present(Ok(holder)) => Some(holder),
            Found::Present(Err(error @ ClaimFormatError::Newer(_))) => return Err(RivalError::Newer(error)),
            Found::Present(Err(ClaimFormatError::Malformed(_))) => None,
        };
        if holder.as_ref().is_some_and(|holder| self.env.host.is_known_dead(&holder.host)) {
            debug!(claim = number, "the holder is dead");
            return Ok(());
        }
        let given_up_at = Instant::now() + SILENCE;
        while Instant::now() < given_up_at {
            let next_at = (Instant::now() + PING_INTERVAL).min(given_up_at);
            if let Some(holder) = &holder
                && self.is_well(holder, given_up_at).await
            {
                return Err(RivalError::Held { address: holder.address.clone(), claim: number });
            }
            sleep_until(next_at).await;
        }
        info!(claim = number, "the holder gives no healthy answer");
        Ok(())
    }

    async fn is_well(&self, holder: &Claim, given_up_at: Instant) -> bool {
        let until = given_up_at.min(Instant::now() + PING_TIMEOUT);
        let answer = timeout_at(until, self.peers.ping(&holder.address, holder.shard)).await;
        answer.ok().flatten().is_some_and(|answer| answer.healthy && answer.nonce == holder.nonce)
    }

    /// Returns when nobody can have authority under an earlier claim: all are known to be over, or 1.25 R have passed
    /// since our claim was there for everyone to see. Called right after [`Self::claim`].
    pub async fn await_predecessors(&self, claim: &Claim) {
        let claimed_at = self.env.clock.monotonic();
        let wait = self.reach + self.reach / 4;
        let mut dead = BTreeSet::new();
        loop {
            match self.are_over(claim.number - 1, &mut dead).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => debug!(%error, "what became of earlier holders is not known"),
            }
            let waited = self.env.clock.monotonic().saturating_sub(claimed_at);
            match wait.checked_sub(waited) {
                None | Some(Duration::ZERO) => return,
                Some(rest) => sleep(rest.min(self.reach / 8)).await,
            }
        }
    }

    /// Whether nobody uses claim `last` or one before it. A marker vouches for all before it, since its holder waited for
    /// them; a dead process vouches only for itself, since it may have died while it waited.
    async fn are_over(&self, last: u64, dead: &mut BTreeSet<u64>) -> Result<bool, RegisterError> {
        for (looked_at, number) in (1..=last).rev().enumerate() {
            if looked_at == DEAD_CLAIMS_MAX {
                return Ok(false);
            }
            if dead.contains(&number) {
                continue;
            }
            if self.register.has_stepped_down(number).await? {
                return Ok(true);
            }
            match self.register.read(number).await? {
                Found::Present(Ok(holder)) if self.env.host.is_known_dead(&holder.host) => dead.insert(number),
                _ => return Ok(false),
            };
        }
        Ok(true)
    }
}
