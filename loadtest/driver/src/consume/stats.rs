//! What is known of a consumer while it runs.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

/// One consumer's, shared with whoever looks.
#[derive(Debug)]
pub struct ConsumerStats {
    /// Place of its kind in the scenario; `None` for the reading at the end.
    pub kind: Option<usize>,
    /// It began to read; one that was to come later may never have.
    pub came: AtomicBool,
    /// Records that it got.
    pub records: AtomicU64,
    /// Values of these.
    pub bytes: AtomicU64,
    /// How often it went away and came again, or lost its connection.
    pub restarts: AtomicU64,
    /// The highest lag seen.
    pub max_lag: AtomicU64,
    /// Its next offset in each log; -1 before it has one, and after it has gone.
    pub positions: Vec<AtomicI64>,
    /// From opening to the first record and to the end of the backlog, in nanoseconds, where it found one.
    times: Mutex<(Option<u64>, Option<u64>)>,
}

impl ConsumerStats {
    /// Of a consumer of so many logs.
    pub fn new(kind: Option<usize>, logs: usize) -> Self {
        Self {
            kind,
            came: AtomicBool::new(false),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            max_lag: AtomicU64::new(0),
            positions: (0..logs).map(|_| AtomicI64::new(-1)).collect(),
            times: Mutex::default(),
        }
    }

    /// Records that it has not read, of those below the ends. `None` when it is not there.
    pub fn lag(&self, ends: &[i64]) -> Option<u64> {
        let mut lag = 0;
        for (position, end) in self.positions.iter().zip(ends) {
            match position.load(Ordering::Relaxed) {
                -1 => return None,
                position => lag += u64::try_from(end - position).unwrap_or(0),
            }
        }
        self.max_lag.fetch_max(lag, Ordering::Relaxed);
        Some(lag)
    }

    /// It is gone.
    pub fn left(&self) {
        self.positions.iter().for_each(|position| position.store(-1, Ordering::Relaxed));
    }

    /// The first record of a backlog came after so long.
    pub fn first_record(&self, after_ns: u64) {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).0.get_or_insert(after_ns);
    }

    /// The end of the backlog was reached after so long.
    pub fn caught_up(&self, after_ns: u64) {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).1.get_or_insert(after_ns);
    }

    /// Nanoseconds from opening to the first record, and to the end of the backlog.
    pub fn times(&self) -> (Option<u64>, Option<u64>) {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
