//! Named points in the code at which a host is crashed or held up.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use eagre_env::FailPoints;

use crate::trace::Trace;

/// Points of which every pass is in the trace.
const HAPPENINGS: [&str; 6] =
    ["spill.swapped", "spill.freed", "inline.read", "inline.full", "expiry.expired", "expiry.evicted"];

/// What is to happen at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtPoint {
    /// The host dies there.
    Crash {
        /// With the whole machine.
        power: bool,
    },
    /// Whoever passes waits so long, as a process that was stopped and goes on.
    Delay(Duration),
}

/// The points of all hosts.
#[derive(Clone)]
pub struct Points {
    trace: Trace,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By host: at which point, after how many passes, what.
    armed: BTreeMap<String, Vec<(&'static str, u64, AtPoint)>>,
    dying: Vec<(String, bool)>,
}

impl Points {
    /// Nothing happens at any point.
    pub fn new(trace: Trace) -> Self {
        Self { trace, state: Arc::default() }
    }

    /// Orders that something happens when this host passes the point for the n-th time from now, counted from 0.
    pub fn arm(&self, host: &str, point: &'static str, passes: u64, what: AtPoint) {
        self.state().armed.entry(host.to_owned()).or_default().push((point, passes, what));
    }

    /// Takes back all orders.
    pub fn disarm(&self) {
        self.state().armed.clear();
    }

    /// The hosts that have reached the point at which they die, and whether their machines do.
    pub(crate) fn take_dying(&self) -> Vec<(String, bool)> {
        std::mem::take(&mut self.state().dying)
    }

    /// The points as one host passes them.
    pub fn on_host(&self, host: &str) -> Arc<dyn FailPoints> {
        Arc::new(HostPoints { host: host.to_owned(), points: self.clone() })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct HostPoints {
    host: String,
    points: Points,
}

impl HostPoints {
    fn order(&self, name: &'static str) -> Option<AtPoint> {
        let mut state = self.points.state();
        let armed = state.armed.get_mut(&self.host)?;
        let mut due = None;
        armed.retain_mut(|(point, passes, what)| {
            if *point != name || due.is_some() {
                return true;
            }
            if *passes == 0 {
                due = Some(*what);
                return false;
            }
            *passes -= 1;
            true
        });
        if let Some(AtPoint::Crash { power }) = due {
            armed.clear();
            state.dying.push((self.host.clone(), power));
        }
        due
    }
}

#[async_trait]
impl FailPoints for HostPoints {
    async fn pass(&self, name: &'static str) {
        if HAPPENINGS.contains(&name) {
            self.points.trace.note(&self.host, format_args!("passes {name}"));
        }
        let Some(order) = self.order(name) else { return };
        self.points.trace.note(&self.host, format_args!("at {name}: {order:?}"));
        match order {
            AtPoint::Crash { .. } => std::future::pending().await,
            AtPoint::Delay(time) => tokio::time::sleep(time).await,
        }
    }
}
