//! When records are due. A schedule never waits for the service (open loop): a record that goes out late still counts from
//! its place here, so a stall shows in every record that it delayed.
//!
//! The rates of all stages, joined, make one cumulative rate; its inverse says when a record is due. Even arrivals are the
//! inverse of 0, 1, 2, …; Poisson arrivals are the inverse of points whose distances are exponential.

mod arrivals;
mod shape;

use std::{sync::Arc, time::Duration};

pub use arrivals::{Arrival, Arrivals};
pub(crate) use shape::Shape;

use crate::Input;

/// When records are due, over all producers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Schedule {
    plan: Arc<Plan>,
}

/// Something to mark on a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageMark {
    /// Since the first stage began.
    pub at: Duration,
    /// `step to 10 MiB/s`.
    pub name: String,
}

/// As fast as it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpaced {
    /// No more than so many, over all producers.
    pub max_records: Option<u64>,
}

impl Schedule {
    /// Of all stages.
    pub fn duration(&self) -> Duration {
        self.plan.duration
    }

    /// Where stages begin, and what happens within them, in the order of time. The first is at 0.
    pub fn stages(&self) -> &[StageMark] {
        &self.plan.marks
    }

    /// Records due from 0 to `at` over all producers; with Poisson arrivals the expected number, without pace 0.
    pub fn offered(&self, at: Duration) -> f64 {
        match &self.plan.pacing {
            Pacing::Paced { pieces, .. } => {
                // The first piece begins at 0.
                let index = pieces.partition_point(|piece| piece.start <= at).saturating_sub(1);
                pieces[index].offered(at)
            }
            Pacing::Replay { input, speed } => input.count_until(|at_ns| replayed(at_ns, *speed) <= nanos(at)) as f64,
            Pacing::Unpaced(_) => 0.0,
        }
    }

    /// Some: the records have no times, and go as fast as answers come.
    pub fn unpaced(&self) -> Option<Unpaced> {
        match &self.plan.pacing {
            Pacing::Unpaced(unpaced) => Some(*unpaced),
            _ => None,
        }
    }

    /// The share of `producer` (from 0) of `producers`. All shares together are the schedule; the same seed draws the same.
    pub fn arrivals(&self, producer: u32, producers: u32, seed: u64) -> Arrivals {
        Arrivals::new(Arc::clone(&self.plan), producer, producers, seed)
    }

    /// Pieces with their lengths, one after the other; none is of length 0, and together they have records.
    pub(crate) fn paced(pieces: Vec<(Shape, Duration)>, poisson: bool, marks: Vec<StageMark>) -> Self {
        let (mut start, mut start_records) = (Duration::ZERO, 0.0);
        let pieces: Vec<Piece> = pieces
            .into_iter()
            .map(|(shape, length)| {
                let length_s = length.as_secs_f64();
                let records = shape.due(length_s, length_s);
                let piece = Piece { start, length_s, start_records, records, shape };
                start += length;
                start_records += records;
                piece
            })
            .collect();
        assert!(!pieces.is_empty(), "a schedule has at least one stage");
        Self { plan: Arc::new(Plan { duration: start, marks, pacing: Pacing::Paced { pieces, poisson } }) }
    }

    /// Rows of the input at their own times, `speed` times as fast.
    pub(crate) fn replay(input: Arc<Input>, speed: f64, marks: Vec<StageMark>) -> Self {
        let duration = Duration::from_nanos(replayed_ns(&input, input.rows() - 1, speed));
        Self { plan: Arc::new(Plan { duration, marks, pacing: Pacing::Replay { input, speed } }) }
    }

    pub(crate) fn without_pace(duration: Duration, unpaced: Unpaced, marks: Vec<StageMark>) -> Self {
        Self { plan: Arc::new(Plan { duration, marks, pacing: Pacing::Unpaced(unpaced) }) }
    }
}

#[derive(Debug)]
struct Plan {
    duration: Duration,
    marks: Vec<StageMark>,
    pacing: Pacing,
}

#[derive(Debug)]
enum Pacing {
    Paced { pieces: Vec<Piece>, poisson: bool },
    Replay { input: Arc<Input>, speed: f64 },
    Unpaced(Unpaced),
}

/// A shape at its place.
#[derive(Debug, Clone, Copy)]
struct Piece {
    start: Duration,
    length_s: f64,
    /// Due before it.
    start_records: f64,
    /// Due within it.
    records: f64,
    shape: Shape,
}

impl Piece {
    fn end_records(&self) -> f64 {
        self.start_records + self.records
    }

    fn offered(&self, at: Duration) -> f64 {
        let within = at.saturating_sub(self.start).as_secs_f64().min(self.length_s);
        self.start_records + self.shape.due(within, self.length_s)
    }

    /// Nanoseconds since the schedule began.
    fn at_ns(&self, due: f64) -> u64 {
        let within_s = self.shape.at(due - self.start_records, self.length_s);
        nanos(self.start) + (within_s * 1e9).round() as u64
    }
}

fn replayed_ns(input: &Input, row: usize, speed: f64) -> u64 {
    replayed(input.at_ns(row), speed)
}

fn replayed(at_ns: u64, speed: f64) -> u64 {
    (at_ns as f64 / speed).round() as u64
}

/// A schedule is at most a year long.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
