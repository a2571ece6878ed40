//! Wakes producers on time. tokio's timers count whole milliseconds, which is as much as a schedule may be late; a thread that
//! waits on a condition variable is woken within a tenth of that.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    future::poll_fn,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};

use futures::task::AtomicWaker;

use crate::clock::RunClock;

/// The thread. It ends when this is dropped.
pub struct Metronome {
    shared: Arc<Shared>,
    clock: RunClock,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    alarms: BinaryHeap<Reverse<(u64, usize)>>,
    /// By number.
    states: Vec<Arc<State>>,
    over: bool,
}

#[derive(Default)]
struct State {
    /// When to ring.
    at_ns: AtomicU64,
    /// The earliest entry in the queue.
    queued_ns: AtomicU64,
    rung: AtomicBool,
    waker: AtomicWaker,
}

/// One sleeper's alarm. It has one time; setting it again moves it.
pub struct Alarm {
    shared: Arc<Shared>,
    state: Arc<State>,
    number: usize,
    clock: RunClock,
}

/// Who waits longer is woken in between.
const FARTHEST_NS: u64 = 10_000_000_000;

impl Metronome {
    /// Starts the thread.
    pub fn start(clock: RunClock) -> Self {
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new() });
        thread::spawn({
            let shared = shared.clone();
            move || shared.ring(clock)
        });
        Self { shared, clock }
    }

    /// An alarm that is not set.
    pub fn alarm(&self) -> Alarm {
        let state = Arc::new(State {
            at_ns: u64::MAX.into(),
            queued_ns: u64::MAX.into(),
            rung: false.into(),
            waker: AtomicWaker::new(),
        });
        let mut queue = self.shared.lock();
        queue.states.push(state.clone());
        Alarm { shared: self.shared.clone(), state, number: queue.states.len() - 1, clock: self.clock }
    }

    /// The clock that it goes by.
    pub fn clock(&self) -> RunClock {
        self.clock
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_one();
    }
}

impl Alarm {
    /// Waits until the clock says `at_ns`. May return early, and at once when it was due before. Cancel-safe.
    pub async fn until(&mut self, at_ns: u64) {
        // Entries that were overtaken stay in the queue until their time: far ones would pile up.
        let at_ns = at_ns.min(self.clock.now_ns() + FARTHEST_NS);
        self.state.rung.store(false, Ordering::Release);
        self.state.at_ns.store(at_ns, Ordering::Release);
        if at_ns < self.state.queued_ns.load(Ordering::Acquire) {
            self.state.queued_ns.store(at_ns, Ordering::Release);
            let mut queue = self.shared.lock();
            let is_next = queue.alarms.peek().is_none_or(|Reverse((next_ns, _))| at_ns < *next_ns);
            queue.alarms.push(Reverse((at_ns, self.number)));
            drop(queue);
            if is_next {
                self.shared.changed.notify_one();
            }
        }
        poll_fn(|context| {
            self.state.waker.register(context.waker());
            if self.state.rung.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, clock: RunClock) {
        let mut queue = self.lock();
        while !queue.over {
            let now_ns = clock.now_ns();
            let wait = match queue.alarms.peek() {
                Some(Reverse((at_ns, _))) if *at_ns <= now_ns => {
                    if let Some(Reverse((at_ns, number))) = queue.alarms.pop() {
                        queue.fire(at_ns, number, now_ns);
                    }
                    continue;
                }
                Some(Reverse((at_ns, _))) => Duration::from_nanos(at_ns - now_ns),
                None => Duration::from_secs(3_600),
            };
            queue = self.changed.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Queue {
    fn fire(&mut self, entry_ns: u64, number: usize, now_ns: u64) {
        let state = &self.states[number];
        if state.queued_ns.load(Ordering::Acquire) == entry_ns {
            state.queued_ns.store(u64::MAX, Ordering::Release);
        }
        let at_ns = state.at_ns.load(Ordering::Acquire);
        if at_ns <= now_ns {
            state.rung.store(true, Ordering::Release);
            state.waker.wake();
        } else if at_ns < state.queued_ns.load(Ordering::Acquire) && at_ns != u64::MAX {
            // It was set to a later time after this entry had been queued.
            state.queued_ns.store(at_ns, Ordering::Release);
            self.alarms.push(Reverse((at_ns, number)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn alarms_ring_in_time_and_in_order() {
        let clock = RunClock::start();
        let metronome = Metronome::start(clock);
        let now_ns = clock.now_ns();
        let sleepers = (0..50u64).map(|place| {
            let mut alarm = metronome.alarm();
            async move {
                let at_ns = now_ns + place % 7 * 3_000_000;
                alarm.until(at_ns).await;
                assert!(clock.now_ns() >= at_ns);
            }
        });
        futures::future::join_all(sleepers).await;
    }

    #[tokio::test]
    async fn an_alarm_that_is_moved_rings_at_its_new_time() {
        let clock = RunClock::start();
        let metronome = Metronome::start(clock);
        let mut alarm = metronome.alarm();
        for (first_ms, then_ms) in [(2, 6), (1_000_000, 3)] {
            let now_ns = clock.now_ns();
            let first = alarm.until(now_ns + first_ms * 1_000_000);
            assert!(futures::FutureExt::now_or_never(first).is_none());
            alarm.until(now_ns + then_ms * 1_000_000).await;
            assert!(clock.now_ns() >= now_ns + then_ms * 1_000_000);
        }
    }
}
