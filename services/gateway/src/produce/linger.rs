//! How long records may be gathered. Two wishes decide: acknowledgements within a [target](target), and no more [PUTs](puts)
//! than they may cost. Both follow what has happened with this bucket and not a model of it. Where they disagree the PUTs win.

mod puts;
mod target;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use self::{puts::PutBudget, target::Target};
use crate::{GatewaySettings, metrics};

/// What bounds the distance of cuts by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Of large objects.
    pub longest: Duration,
    /// For each PUT that the cut before cost.
    pub per_put: Duration,
}

/// Told of each cut and each answer; says how far apart cuts are to be.
pub(super) struct Linger {
    usual: Duration,
    /// Of the bucket, by this process.
    puts_made: Box<dyn Fn() -> u64 + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    target: Option<Target>,
    puts: Option<PutBudget>,
}

impl Linger {
    pub fn new(settings: &GatewaySettings, puts_made: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        let shortest = settings.cut_interval_min;
        let usual = settings.cut_interval_max;
        let target = settings.target_p99.map(|target| Target::new(target, shortest, usual));
        let puts = settings.puts_per_second_max.map(PutBudget::new);
        Self { usual, puts_made: Box::new(puts_made), state: Mutex::new(State { target, puts }) }
    }

    pub fn bounds(&self) -> Bounds {
        self.state().bounds(self.usual)
    }

    /// An object was cut that costs so many PUTs.
    pub fn cut(&self, puts: u32, now: Instant) {
        let mut state = self.state();
        if let Some(budget) = &mut state.puts {
            budget.cut(puts, (self.puts_made)(), now);
        }
        metrics::cut_interval_max(state.bounds(self.usual));
    }

    /// An object that was uploaded is committed.
    pub fn answered(&self, cut_at: Instant, now: Instant) {
        if let Some(target) = &mut self.state().target {
            target.answered(now.saturating_duration_since(cut_at), now);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn bounds(&self, usual: Duration) -> Bounds {
        Bounds {
            longest: self.target.as_ref().map_or(usual, Target::longest),
            per_put: self.puts.as_ref().map_or(Duration::ZERO, PutBudget::per_put),
        }
    }
}
