//! Who may send a request now: as many as the limit allows, the most urgent first.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    limit::Limit,
    telemetry,
    traffic::Traffic,
    verdict::{Trouble, Verdict},
};

/// Commits are few, and nothing may hold them up: so many go beyond the limit.
const COMMIT_RESERVE: u32 = 8;
/// So many may wait; callers bound the bytes that theirs hold.
const WAITING_MAX: usize = 4_096;

/// The requests under way and those that wait for their turn.
#[derive(Debug)]
pub(crate) struct Lanes {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: Limit,
    in_flight: u32,
    background_in_flight: u32,
    waiting: [VecDeque<oneshot::Sender<Permit>>; Traffic::ALL.len()],
}

/// One request may be under way as long as this lives.
#[derive(Debug)]
pub(crate) struct Permit {
    lanes: Arc<Lanes>,
    traffic: Traffic,
}

impl Lanes {
    pub(crate) fn new() -> Arc<Self> {
        let state = State { limit: Limit::new(), in_flight: 0, background_in_flight: 0, waiting: Default::default() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Waits for the turn of a request. Whoever goes away meanwhile loses it.
    pub(crate) async fn admit(self: &Arc<Self>, traffic: Traffic) -> Result<Permit, Trouble> {
        let turn = {
            let mut state = self.state();
            if state.is_first(traffic) && state.has_room(traffic) {
                return Ok(state.take(self, traffic));
            }
            if state.waiting.iter().map(VecDeque::len).sum::<usize>() >= WAITING_MAX {
                state.waiting.iter_mut().for_each(|lane| lane.retain(|turn| !turn.is_closed()));
                if state.waiting.iter().map(VecDeque::len).sum::<usize>() >= WAITING_MAX {
                    return Err(Trouble::Crowded);
                }
            }
            let (granted, turn) = oneshot::channel();
            state.waiting[traffic as usize].push_back(granted);
            turn
        };
        turn.await.map_err(|_| Trouble::NoTurn)
    }

    /// A permit for a request that is not needed: only while nobody waits and the store shows no sign of congestion.
    pub(crate) fn admit_extra(self: &Arc<Self>, traffic: Traffic, now: Duration) -> Option<Permit> {
        let mut state = self.state();
        let is_free = Traffic::ALL.iter().all(|lane| state.waiting[*lane as usize].is_empty());
        (is_free && state.has_room(traffic) && !state.limit.is_tender(now)).then(|| state.take(self, traffic))
    }

    /// A request ended: the limit follows how.
    pub(crate) fn learn(self: &Arc<Self>, verdict: Option<Verdict>, now: Duration) {
        let mut state = self.state();
        let in_flight = state.in_flight;
        match verdict {
            Some(Verdict::Throttled | Verdict::TimedOut) => {
                state.limit.congested(now, in_flight);
            }
            None | Some(Verdict::Definite) => state.limit.went_well(in_flight),
            Some(Verdict::Failed) => {}
        }
        telemetry::limit(state.limit.now());
        drop(state);
        self.grant();
    }

    /// Hands out what is free.
    fn grant(self: &Arc<Self>) {
        loop {
            let (granted, permit) = {
                let mut state = self.state();
                let Some((granted, traffic)) = state.next() else { return };
                (granted, state.take(self, traffic))
            };
            // Whoever went away meanwhile gives its permit back at once, outside of the lock.
            let _ = granted.send(permit);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Nobody of the same class or a more urgent one waits.
    fn is_first(&self, traffic: Traffic) -> bool {
        self.waiting[..=traffic as usize].iter().all(|lane| lane.iter().all(oneshot::Sender::is_closed))
    }

    fn has_room(&self, traffic: Traffic) -> bool {
        let limit = self.limit.now();
        match traffic {
            Traffic::Commit => self.in_flight < limit + COMMIT_RESERVE,
            Traffic::Data | Traffic::Tail => self.in_flight < limit,
            Traffic::Background => self.in_flight < limit && self.background_in_flight < (limit / 2).max(1),
        }
    }

    fn take(&mut self, lanes: &Arc<Lanes>, traffic: Traffic) -> Permit {
        self.in_flight += 1;
        self.background_in_flight += u32::from(traffic == Traffic::Background);
        telemetry::in_flight(self.in_flight);
        Permit { lanes: Arc::clone(lanes), traffic }
    }

    /// The most urgent one that waits, if there is room for it.
    fn next(&mut self) -> Option<(oneshot::Sender<Permit>, Traffic)> {
        for traffic in Traffic::ALL {
            while let Some(granted) = self.waiting[traffic as usize].pop_front() {
                if granted.is_closed() {
                    continue;
                }
                if self.has_room(traffic) {
                    return Some((granted, traffic));
                }
                self.waiting[traffic as usize].push_front(granted);
                break;
            }
        }
        None
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.lanes.state();
        state.in_flight -= 1;
        state.background_in_flight -= u32::from(self.traffic == Traffic::Background);
        telemetry::in_flight(state.in_flight);
        drop(state);
        self.lanes.grant();
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, poll};

    use super::*;

    /// Lanes whose limit is down to its floor of 2.
    fn narrow() -> Arc<Lanes> {
        let lanes = Lanes::new();
        for n in 0..20 {
            lanes.learn(Some(Verdict::Throttled), Duration::from_secs(n));
        }
        lanes
    }

    #[tokio::test]
    async fn the_urgent_go_first_and_commits_do_not_wait() {
        let lanes = narrow();
        let held = [lanes.admit(Traffic::Data).await.unwrap(), lanes.admit(Traffic::Data).await.unwrap()];
        let mut commit = std::pin::pin!(lanes.admit(Traffic::Commit));
        assert!(commit.as_mut().now_or_never().unwrap().is_ok(), "beyond the limit");
        let mut background = std::pin::pin!(lanes.admit(Traffic::Background));
        let mut tail = std::pin::pin!(lanes.admit(Traffic::Tail));
        let mut data = std::pin::pin!(lanes.admit(Traffic::Data));
        assert!(poll!(background.as_mut()).is_pending());
        assert!(poll!(tail.as_mut()).is_pending());
        assert!(poll!(data.as_mut()).is_pending());
        let [one, other] = held;
        drop(one);
        let data = data.now_or_never().unwrap().unwrap();
        assert!(poll!(tail.as_mut()).is_pending());
        drop(other);
        let tail = tail.now_or_never().unwrap().unwrap();
        drop((data, tail));
        assert!(background.now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn who_goes_away_takes_no_place() {
        let lanes = narrow();
        let held = [lanes.admit(Traffic::Data).await.unwrap(), lanes.admit(Traffic::Data).await.unwrap()];
        let mut impatient = Box::pin(lanes.admit(Traffic::Data));
        assert!(poll!(impatient.as_mut()).is_pending());
        let mut granted_and_gone = Box::pin(lanes.admit(Traffic::Data));
        assert!(poll!(granted_and_gone.as_mut()).is_pending());
        drop(impatient);
        drop(held);
        drop(granted_and_gone);
        assert_eq!(lanes.state().in_flight, 0);
        assert!(lanes.admit(Traffic::Background).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn the_crowd_is_bounded() {
        let lanes = narrow();
        let _held = [lanes.admit(Traffic::Data).await.unwrap(), lanes.admit(Traffic::Data).await.unwrap()];
        let mut waiting = Vec::new();
        for _ in 0..WAITING_MAX {
            let mut wait = Box::pin(lanes.admit(Traffic::Data));
            assert!(poll!(wait.as_mut()).is_pending());
            waiting.push(wait);
        }
        assert_eq!(lanes.admit(Traffic::Data).await.unwrap_err(), Trouble::Crowded);
        drop(waiting);
        let mut next = Box::pin(lanes.admit(Traffic::Data));
        assert!(poll!(next.as_mut()).is_pending(), "those that went away do not count");
    }

    #[tokio::test]
    async fn extra_requests_go_only_while_all_is_well() {
        let lanes = Lanes::new();
        let now = Duration::from_secs(1);
        assert!(lanes.admit_extra(Traffic::Data, now).is_some());
        lanes.learn(Some(Verdict::Throttled), now);
        assert!(lanes.admit_extra(Traffic::Data, now).is_none());
        assert!(lanes.admit_extra(Traffic::Data, 2 * now + now).is_some());
    }
}
