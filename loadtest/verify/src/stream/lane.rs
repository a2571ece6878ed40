//! A producer's records in one partition.

use std::collections::BTreeMap;

use super::{
    folded::Folded,
    intervals::{Budget, Full, Intervals},
    waiting::{Run, Waiting},
};

/// Lanes of one partition.
pub(super) const LANES_MAX: usize = 200_000;
/// Producers below this number are found without a search.
const DENSE_PRODUCERS: usize = 16_384;

/// What became of a lane's records, and who has seen them.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub producer: u32,
    pub acked: Intervals,
    pub failed: Intervals,
    pub unknown: Intervals,
    /// Acks whose records nobody has read.
    pub acks: Waiting,
    /// Records that were read and have no outcome yet.
    pub reads: Waiting,
    pub folded_acks: Option<Box<Folded>>,
    pub folded_reads: Option<Box<Folded>>,
    /// The acks that a reader confirmed last, to tell the same ack again from another one.
    pub met: Option<Run>,
    /// From the readers that have left.
    pub left: Option<Box<Left>>,
    /// Only sequences below it are kept in sets; there were too many stretches.
    pub limit: Option<u64>,
}

/// What the readers that have left say of a lane.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Seen by at least one.
    pub seen: Intervals,
    /// Passed over by at least one, before any other had seen it.
    pub missed: Intervals,
    /// Of `missed`, by a reader whose offsets jumped over the record's, and by a second such one.
    pub jumped: Intervals,
    pub jumped_again: Intervals,
}

/// What one reader has seen of a lane.
#[derive(Debug, Default)]
pub(super) struct View {
    pub seen: Intervals,
    /// The first sequence that it has to see.
    pub from: Option<u64>,
    /// One above the highest that it saw.
    pub top: u64,
    /// The reader's repeated reading that the two below belong to.
    pub pass: u32,
    /// What it saw first and what is next in that reading.
    pub again: (u64, u64),
}

/// Finds a producer's lane.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Place of the lane plus one.
    dense: Vec<u32>,
    sparse: BTreeMap<u32, u32>,
}

impl Lane {
    pub fn new(producer: u32) -> Self {
        Self { producer, ..Self::default() }
    }

    /// Whether the set-wise rules hold for this sequence.
    #[inline]
    pub fn keeps(&self, sequence: u64) -> bool {
        self.limit.is_none_or(|limit| sequence < limit)
    }

    /// Stops keeping sequences from here on.
    pub fn give_up(&mut self, sequence: u64) {
        self.limit = Some(self.limit.map_or(sequence, |limit| limit.min(sequence)));
    }

    /// Whether the outcome is known.
    pub fn settled(&self, sequence: u64) -> bool {
        self.acked.contains(sequence) || self.unknown.contains(sequence) || self.failed.contains(sequence)
    }

    /// One above the highest sequence that is known to have been sent.
    pub fn top(&self) -> u64 {
        let seen = self.left.as_ref().map_or(0, |left| left.seen.end());
        self.acked.end().max(self.failed.end()).max(self.unknown.end()).max(seen)
    }

    /// A reader got these at their acks' offsets or was found to have got them elsewhere.
    #[inline]
    pub fn remember_met(&mut self, ack: Run) {
        match &mut self.met {
            Some(met) if met.end() == ack.first && met.offset_of(ack.first) == ack.offset => met.count += ack.count,
            met => *met = Some(ack),
        }
    }

    pub fn waiting(&self) -> usize {
        self.acks.len() + self.reads.len()
    }

    pub fn seen_by_left(&mut self) -> &mut Left {
        self.left.get_or_insert_default()
    }

    /// Adds to one of the sets, or gives up keeping sequences from `from` on.
    pub fn keep(&mut self, budget: &mut Budget, set: fn(&mut Self) -> &mut Intervals, from: u64, to: u64) -> u64 {
        let to = self.limit.map_or(to, |limit| to.min(limit));
        if from >= to {
            return 0;
        }
        match budget.insert(set(self), from, to) {
            Ok(added) => added,
            Err(Full) => {
                self.give_up(from);
                0
            }
        }
    }

    pub fn heap_bytes(&self) -> usize {
        let sets = [&self.acked, &self.failed, &self.unknown].into_iter().map(Intervals::heap_bytes).sum::<usize>();
        let folded = [&self.folded_acks, &self.folded_reads].into_iter().flatten().map(|side| side.heap_bytes());
        let left = self.left.as_ref().map_or(0, |left| {
            let sets = [&left.seen, &left.missed, &left.jumped, &left.jumped_again];
            size_of::<Left>() + sets.into_iter().map(Intervals::heap_bytes).sum::<usize>()
        });
        sets + folded.sum::<usize>() + left + self.acks.heap_bytes() + self.reads.heap_bytes()
    }
}

impl Index {
    #[inline]
    pub fn get(&self, producer: u32) -> Option<usize> {
        let slot = match self.dense.get(producer as usize) {
            Some(slot) => slot,
            None => self.sparse.get(&producer)?,
        };
        (*slot as usize).checked_sub(1)
    }

    /// The producer's lane, a new one where there is none; `None` when there are too many.
    pub fn get_or_add(&mut self, producer: u32, lanes: &mut Vec<Lane>) -> Option<usize> {
        if let Some(at) = self.get(producer) {
            return Some(at);
        }
        if lanes.len() >= LANES_MAX {
            return None;
        }
        lanes.push(Lane::new(producer));
        let slot = u32::try_from(lanes.len()).ok()?;
        if (producer as usize) < DENSE_PRODUCERS {
            let length = self.dense.len().max(producer as usize + 1);
            self.dense.resize(length, 0);
            self.dense[producer as usize] = slot;
        } else {
            self.sparse.insert(producer, slot);
        }
        Some(lanes.len() - 1)
    }

    pub fn heap_bytes(&self) -> usize {
        // A B-tree's nodes are half full at worst.
        self.dense.capacity() * size_of::<u32>() + self.sparse.len() * 4 * size_of::<u32>()
    }
}
