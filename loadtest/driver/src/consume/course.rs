//! A consumer's course, whatever protocol it speaks: when it ends, what follows an end, how long a slow one rests.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use eagre_workload::Consumers;
use tokio::{sync::watch, time::Instant};

use super::{Consumer, reading::Reading, stats::ConsumerStats};
use crate::run::shared::{LogId, Phase, Shared};

/// Pause before a stream that broke is opened again.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a consumer that goes away and comes again is away.
const AWAY: Duration = Duration::from_millis(500);
/// A consumer that waits for the last records looks so often whether it still should.
const LOOK: Duration = Duration::from_millis(200);

/// Why a consumer does not read on.
#[derive(Debug)]
pub enum Ended {
    /// There is nothing left to read.
    Complete,
    /// Not everything came in time.
    Incomplete,
    /// Its time is over.
    Leaves,
    /// It goes away for a while.
    Restarts,
    /// What it read from broke.
    Lost(String),
}

/// What follows an end.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing. False: it was to read more than it got.
    Over(bool),
    /// It begins again where it was, after a pause.
    Again(Duration),
}

/// See the module.
pub struct Course {
    /// Where it is in each log.
    pub reading: Reading,
    /// How far the run is.
    pub phase: watch::Receiver<Phase>,
    shared: Arc<Shared>,
    number: u32,
    kind: Consumers,
    stats: Arc<ConsumerStats>,
    leaves_at: Option<Instant>,
    restarts_at: Option<Instant>,
    /// What it read from broke, and nothing has come since.
    is_lost: bool,
}

impl Course {
    /// Of a consumer that begins at the given offsets, or at the first record of each log.
    pub fn new(shared: Arc<Shared>, consumer: Consumer, begins: Option<&[i64]>) -> Self {
        let Consumer { number, name, kind, stats } = consumer;
        let reading = Reading::new(shared.clone(), number, &name, &kind, begins, stats.clone());
        let leaves_at = kind.leave.map(|leave| shared.instant(leave));
        let phase = shared.phase.subscribe();
        Self { reading, phase, shared, number, kind, stats, leaves_at, restarts_at: None, is_lost: false }
    }

    /// Where there is something left to read: place, log and next offset. A log that has gone is not among those of a reading that
    /// knows where it ends.
    pub fn open_places(&self) -> Vec<(usize, LogId, i64)> {
        let finish = self.phase.borrow().finish.clone();
        let places =
            self.reading.next_offsets().enumerate().map(|(place, (log, next_offset))| (place, log, next_offset));
        let is_open = |place: usize, next_offset: i64| match &finish {
            Some(finish) => finish.ends.get(place).is_none_or(|end| next_offset < *end),
            None => true,
        };
        places.filter(|(place, _, next_offset)| is_open(*place, *next_offset)).collect()
    }

    /// It is about to read at the places of its reading.
    pub fn begins(&mut self) {
        self.restarts_at = self.kind.restart_every.map(|every| Instant::now() + every);
    }

    /// Why it does not read on, if so.
    pub fn over(&mut self) -> Option<Ended> {
        let finish = self.phase.borrow_and_update().finish.clone();
        match finish {
            Some(finish) if self.reading.is_finished(&finish) => Some(Ended::Complete),
            Some(finish) => self.reading.is_in_vain(&finish).then_some(Ended::Incomplete),
            None if is_past(self.leaves_at) => Some(Ended::Leaves),
            None => is_past(self.restarts_at).then_some(Ended::Restarts),
        }
    }

    /// When to ask [`Self::over`] again though nothing has come.
    pub fn looks_at(&self) -> Instant {
        let is_finishing = self.phase.borrow().finish.is_some();
        let latest = Instant::now() + LOOK;
        let planned = [self.leaves_at, self.restarts_at].into_iter().flatten().min();
        planned.filter(|at| !is_finishing && *at < latest).unwrap_or(latest)
    }

    /// Records came.
    pub fn got(&mut self) {
        if std::mem::take(&mut self.is_lost) {
            self.stats.restarts.fetch_add(1, Ordering::Relaxed);
            self.shared.recorder.count(self.number, self.shared.now_ns(), |counts| counts.reconnects += 1);
        }
    }

    /// What it reads from broke; it may mend by itself.
    pub fn lost(&mut self, why: &str) {
        self.is_lost = true;
        self.shared.lost_connection(&format!("a consumer: {why}"));
    }

    /// Tells of an end, and says what follows.
    pub fn after(&mut self, ended: Ended) -> Next {
        match ended {
            Ended::Complete => {
                self.reading.leave(true);
                Next::Over(true)
            }
            Ended::Incomplete => {
                self.reading.give_up();
                Next::Over(false)
            }
            Ended::Leaves => {
                self.shared.event("leave", "a consumer goes");
                self.reading.leave(false);
                Next::Over(true)
            }
            Ended::Restarts => {
                self.restarts_at = None;
                self.stats.restarts.fetch_add(1, Ordering::Relaxed);
                self.reading.reopened();
                Next::Again(AWAY)
            }
            Ended::Lost(why) => {
                self.lost(&why);
                self.reading.reopened();
                Next::Again(PAUSE)
            }
        }
    }

    /// Until when a slow consumer rests after so many bytes, unless all others have finished meanwhile.
    pub fn rests_until(&self, bytes: u64) -> Option<Instant> {
        let max_bytes_per_s = self.kind.max_bytes_per_s?;
        Some(Instant::now() + Duration::from_secs_f64(bytes as f64 / max_bytes_per_s as f64))
    }

    /// Whether everybody reads to the end.
    pub fn is_finishing(&self) -> bool {
        self.phase.borrow().finish.is_some()
    }
}

fn is_past(at: Option<Instant>) -> bool {
    at.is_some_and(|at| Instant::now() >= at)
}

/// How long to wait before asking again where the logs end, which a consumer from the end has to know; `None`: the run is over.
pub fn asks_again(phase: &watch::Receiver<Phase>) -> Option<Duration> {
    phase.borrow().finish.is_none().then_some(PAUSE)
}
