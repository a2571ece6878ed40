//! What all parts of a run share.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use eagre_report::Event;
use eagre_verify::stream::{PartitionJudge, Place, Settings};
use eagre_workload::Scenario;
use tokio::{sync::watch, time::Instant};

use crate::{
    clock::{RunClock, nanos},
    run::{metronome::Metronome, recorder::Recorder},
};

/// One run.
pub struct Shared {
    /// Stands in every record.
    pub run: u32,
    /// When the first stage begins, by the run's clock.
    pub start_ns: u64,
    /// What is asked for.
    pub scenario: Scenario,
    /// Names of the topics; everything else knows them by their place here.
    pub topics: Vec<String>,
    /// Of each log.
    pub judges: Judges,
    /// What is measured.
    pub recorder: Recorder,
    /// Wakes producers.
    pub metronome: Metronome,
    /// How far the run is.
    pub phase: watch::Sender<Phase>,
    /// What happened.
    pub events: Events,
    /// A producer had no place for records until nobody waited for it any longer.
    pub left_behind: AtomicBool,
}

/// How far a run is.
#[derive(Debug, Clone)]
pub struct Phase {
    /// Records that are due later are not sent.
    pub stop_ns: u64,
    /// What is unanswered by then is of unknown outcome.
    pub give_up_ns: u64,
    /// Consumers go on until they have read so much.
    pub finish: Option<Arc<Finish>>,
    /// When it was interrupted.
    pub hurried_ns: Option<u64>,
}

/// An interrupted run waits so long for answers and consumers.
pub const HURRY: Duration = Duration::from_secs(5);

impl Phase {
    /// Ends the run early: no more records, and soon no more waiting.
    pub fn hurry(&mut self, now_ns: u64) {
        self.stop_ns = self.stop_ns.min(now_ns);
        self.give_up_ns = self.give_up_ns.min(now_ns + nanos(HURRY));
        self.hurried_ns.get_or_insert(now_ns);
    }
}

/// What consumers read up to.
#[derive(Debug)]
pub struct Finish {
    /// One above the last offset, of each log.
    pub ends: Vec<i64>,
    /// When they were told.
    pub since_ns: u64,
    /// Whoever gets nothing for so long does not wait any longer: what it has not read is missing.
    pub patience_ns: u64,
}

impl Shared {
    /// The clock of the run.
    pub fn clock(&self) -> RunClock {
        self.metronome.clock()
    }

    /// Now.
    pub fn now_ns(&self) -> u64 {
        self.clock().now_ns()
    }

    /// A moment of the schedule as one that a timer can wait for.
    pub fn instant(&self, after_start: Duration) -> Instant {
        let wait_ns = (self.start_ns + nanos(after_start)).saturating_sub(self.now_ns());
        Instant::now() + Duration::from_nanos(wait_ns)
    }

    /// Seconds since the first stage began; negative before it.
    pub fn seconds(&self, at_ns: u64) -> f64 {
        (at_ns as f64 - self.start_ns as f64) / 1e9
    }

    /// Writes down that something happened which may happen all the time; of many in one second the first.
    pub fn one_of_many(&self, kind: &str, text: &str) {
        let second = self.now_ns() / 1_000_000_000;
        if self.events.last_of_many_s.swap(second, Ordering::Relaxed) != second {
            self.events.add_one_of_many(self.seconds(self.now_ns()), kind, text);
        }
    }

    /// See [`Self::one_of_many`].
    pub fn lost_connection(&self, text: &str) {
        self.one_of_many("lost_connection", text);
    }

    /// Writes down that something happened now.
    pub fn event(&self, kind: &str, text: impl Into<String>) {
        self.events.add(Event { at: self.seconds(self.now_ns()), kind: kind.to_owned(), text: text.into() });
    }
}

/// A place in a log of the run: topic by number, and partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogId {
    /// Place in [`Shared::topics`].
    pub topic: u32,
    /// In the topic.
    pub partition: u32,
}

/// A judge for each log.
pub struct Judges {
    partitions: u32,
    judges: Vec<Mutex<PartitionJudge>>,
}

impl Judges {
    /// Of topics that have as many partitions each.
    pub fn new(topics: &[String], partitions: u32, settings: &Settings) -> Self {
        let judges = topics.iter().flat_map(|topic| {
            (0..partitions).map(move |partition| {
                let place = Place { topic: topic.clone(), partition };
                Mutex::new(PartitionJudge::new(place, settings.clone()))
            })
        });
        Self { partitions, judges: judges.collect() }
    }

    /// Judges that were made before, of topics that have as many partitions each.
    pub fn of_records(judges: Vec<PartitionJudge>, partitions: u32) -> Self {
        Self { partitions, judges: judges.into_iter().map(Mutex::new).collect() }
    }

    /// Of one log.
    pub fn of(&self, log: LogId) -> MutexGuard<'_, PartitionJudge> {
        lock(&self.judges[self.index(log)])
    }

    /// The place of a log among all.
    pub fn index(&self, log: LogId) -> usize {
        log.topic as usize * self.partitions as usize + log.partition as usize
    }

    /// All logs, in order.
    pub fn logs(&self) -> impl Iterator<Item = LogId> + use<> {
        let (partitions, count) = (self.partitions, self.judges.len());
        (0u32..).take(count).map(move |index| LogId { topic: index / partitions, partition: index % partitions })
    }
}

/// So many events are kept; a run of a week in which connections break all the time has more.
const EVENTS_MAX: usize = 2_000;

/// What happened, in the order of time.
#[derive(Default)]
pub struct Events {
    last_of_many_s: AtomicU64,
    kept: Mutex<(Vec<Event>, u64)>,
}

impl Events {
    /// One more.
    pub fn add(&self, event: Event) {
        self.add_below(event, EVENTS_MAX);
    }

    /// One more of those that may fill the list: they leave room for what is rare.
    fn add_one_of_many(&self, at: f64, kind: &str, text: &str) {
        self.add_below(Event { at, kind: kind.to_owned(), text: text.to_owned() }, EVENTS_MAX / 2);
    }

    fn add_below(&self, event: Event, most: usize) {
        let mut kept = lock(&self.kept);
        if kept.0.len() < most {
            kept.0.push(event);
        } else {
            kept.1 += 1;
        }
    }

    /// All that were kept, and how many were not.
    pub fn all(&self) -> (Vec<Event>, u64) {
        let (mut events, left_out) = lock(&self.kept).clone();
        events.sort_by(|a, b| a.at.total_cmp(&b.at));
        (events, left_out)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
