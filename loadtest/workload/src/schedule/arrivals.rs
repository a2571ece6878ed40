//! One producer's share of a schedule.

use std::sync::Arc;

use rand::{RngExt, rngs::Xoshiro256PlusPlus};

use super::{Pacing, Piece, Plan, replayed_ns};
use crate::draws::{Purpose, draws};

/// Sums of rates end a little beside whole numbers; a record that is due at the very end belongs to what comes after it.
const SLACK_RECORDS: f64 = 1e-6;

/// A record is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its number over all producers: the `k`-th of producer `p` of `n` is `k n + p`. The row of the input that is replayed.
    pub row: u64,
    /// Nanoseconds since the first stage began, never less than that of the record before; 0 without pace.
    pub at_ns: u64,
}

/// When the records of one producer are due, in the order of time.
#[derive(Debug)]
pub struct Arrivals {
    plan: Arc<Plan>,
    row: u64,
    producers: u64,
    last_ns: u64,
    /// Index of the piece that the last record was in.
    piece: usize,
    poisson: Option<Poisson>,
}

/// A producer's own process of rate `1 / producers`, on an axis on which all producers together have one record per unit. The
/// cumulative rate maps that axis to time, whatever the rate does (a process in operational time).
#[derive(Debug)]
struct Poisson {
    draws: Xoshiro256PlusPlus,
    due: f64,
}

impl Arrivals {
    pub(super) fn new(plan: Arc<Plan>, producer: u32, producers: u32, seed: u64) -> Self {
        let poisson = match &plan.pacing {
            Pacing::Paced { poisson: true, .. } => {
                Some(Poisson { draws: draws(seed, Purpose::Arrivals, producer), due: 0.0 })
            }
            _ => None,
        };
        Self { plan, row: u64::from(producer), producers: u64::from(producers.max(1)), last_ns: 0, piece: 0, poisson }
    }

    fn paced(pieces: &[Piece], piece: &mut usize, due: f64) -> Option<u64> {
        while *piece + 1 < pieces.len() && due >= pieces[*piece].end_records() {
            *piece += 1;
        }
        let piece = &pieces[*piece];
        (due < piece.end_records() - SLACK_RECORDS).then(|| piece.at_ns(due))
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let row = self.row;
        let at_ns = match &self.plan.pacing {
            Pacing::Paced { pieces, .. } => {
                let due = match &mut self.poisson {
                    None => row as f64,
                    Some(process) => process.next(self.producers),
                };
                Self::paced(pieces, &mut self.piece, due)?
            }
            Pacing::Replay { input, speed } => {
                let row = usize::try_from(row).ok().filter(|row| *row < input.rows())?;
                replayed_ns(input, row, *speed)
            }
            Pacing::Unpaced(unpaced) if unpaced.max_records.is_some_and(|max| row >= max) => return None,
            Pacing::Unpaced(_) => 0,
        };
        self.row += self.producers;
        self.last_ns = self.last_ns.max(at_ns);
        Some(Arrival { row, at_ns: self.last_ns })
    }
}

impl Poisson {
    fn next(&mut self, producers: u64) -> f64 {
        // From (0, 1], so that the logarithm is finite.
        let uniform = 1.0 - self.draws.random::<f64>();
        self.due -= uniform.ln() * producers as f64;
        self.due
    }
}
