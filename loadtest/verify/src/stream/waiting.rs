//! Acks that wait for the record to be read, and reads that wait for the ack.

use std::collections::VecDeque;

/// Records that follow each other in sequence and in offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Sequence of the first.
    pub first: u64,
    /// Never 0 where it waits.
    pub count: u64,
    /// Of the first.
    pub offset: i64,
}

/// Runs of one lane in the order of their sequences, apart from each other.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    runs: VecDeque<Run>,
}

impl Run {
    /// One above its last sequence.
    pub fn end(&self) -> u64 {
        self.first + self.count
    }

    /// The offset of one of its records.
    pub fn offset_of(&self, sequence: u64) -> i64 {
        self.offset.saturating_add_unsigned(sequence - self.first)
    }

    /// The part of it that lies in `from..to`, which must not be empty.
    pub fn part(&self, from: u64, to: u64) -> Self {
        Self { first: from, count: to - from, offset: self.offset_of(from) }
    }

    /// Whether the other goes on where this one ends.
    fn continues(&self, next: &Self) -> bool {
        self.end() == next.first && self.offset_of(self.end()) == next.offset
    }
}

impl Waiting {
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// In the order of their sequences.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.runs.iter()
    }

    /// Adds a run of which no sequence waits already.
    pub fn push(&mut self, run: Run) {
        match self.runs.back_mut() {
            Some(back) if back.continues(&run) => back.count += run.count,
            Some(back) if back.first > run.first => {
                let at = self.runs.partition_point(|other| other.first < run.first);
                self.runs.insert(at, run);
            }
            _ => self.runs.push_back(run),
        }
    }

    /// The oldest by sequence.
    pub fn pop_front(&mut self) -> Option<Run> {
        self.runs.pop_front()
    }

    /// Takes one record out; its offset.
    #[inline]
    pub fn take_one(&mut self, sequence: u64) -> Option<i64> {
        let front = self.runs.front_mut()?;
        if front.first == sequence {
            let offset = front.offset;
            front.first += 1;
            front.offset += 1;
            front.count -= 1;
            if front.count == 0 {
                self.runs.pop_front();
            }
            return Some(offset);
        }
        if sequence < front.first {
            return None;
        }
        let mut offset = None;
        self.take(sequence, sequence + 1, |run| offset = Some(run.offset));
        offset
    }

    /// Takes all that lies in `from..to` out, and hands it over in order.
    pub fn take(&mut self, from: u64, to: u64, mut each: impl FnMut(Run)) {
        let mut at = self.runs.partition_point(|run| run.end() <= from);
        while let Some(run) = self.runs.get(at).copied().filter(|run| run.first < to) {
            let (start, end) = (run.first.max(from), run.end().min(to));
            each(run.part(start, end));
            let left = (run.first < start).then(|| run.part(run.first, start));
            let right = (end < run.end()).then(|| run.part(end, run.end()));
            match (left, right) {
                (None, None) => {
                    self.runs.remove(at);
                }
                (Some(rest), None) | (None, Some(rest)) => {
                    self.runs[at] = rest;
                    at += 1;
                }
                (Some(left), Some(right)) => {
                    self.runs[at] = left;
                    self.runs.insert(at + 1, right);
                    at += 2;
                }
            }
        }
    }

    /// What lies in `from..to`, in order.
    pub fn within(&self, from: u64, to: u64) -> impl Iterator<Item = Run> + '_ {
        let at = self.runs.partition_point(|run| run.end() <= from);
        self.runs
            .range(at..)
            .take_while(move |run| run.first < to)
            .map(move |run| run.part(run.first.max(from), run.end().min(to)))
    }

    pub fn heap_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<Run>()
    }
}
