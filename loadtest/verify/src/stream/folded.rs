//! Acks or reads that have waited too long: compared in sums.

use super::{
    intervals::{Budget, Full, Intervals},
    waiting::Run,
};

/// Sequences that share a sum.
const SEGMENT_RECORDS: u64 = 65_536;

/// One side's records of a lane that are known only by their sequences and by sums over their offsets.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// Whose other side has not come yet.
    open: Intervals,
    /// In order.
    segments: Vec<Segment>,
}

#[derive(Debug)]
struct Segment {
    /// Its first sequence divided by [`SEGMENT_RECORDS`].
    index: u64,
    /// Records whose other side has not come.
    open: u64,
    /// Records whose other side has come.
    met: u64,
    /// The sum of what is here less the sum of what came: 0 once all have come, if they are equal.
    difference: u64,
}

/// A segment of which both sides are there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compared {
    /// Sequences of the segment, half open.
    pub range: (u64, u64),
    /// Records.
    pub records: u64,
    /// Whether each has the offset that the other side says.
    pub equal: bool,
}

/// A strong mix of a record's place and name: equal sums mean equal records, but for one chance in 2^64.
#[inline]
pub(super) fn mix(offset: i64, producer: u32, sequence: u64) -> u64 {
    let place = scramble(offset.cast_unsigned() ^ 0x9e37_79b9_7f4a_7c15);
    scramble(place ^ sequence.wrapping_add(u64::from(producer) << 40).rotate_left(17))
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
#[inline]
pub(super) fn scramble(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl Folded {
    /// Takes a run in.
    pub fn fold(&mut self, producer: u32, run: Run, budget: &mut Budget) -> Result<(), Full> {
        budget.insert(&mut self.open, run.first, run.end())?;
        for sequence in run.first..run.end() {
            let segment = self.segment(sequence / SEGMENT_RECORDS);
            segment.open += 1;
            segment.difference = segment.difference.wrapping_add(mix(run.offset_of(sequence), producer, sequence));
        }
        Ok(())
    }

    /// Whether the record is here and waits.
    pub fn awaits(&self, sequence: u64) -> bool {
        self.open.contains(sequence)
    }

    /// The waiting ones among `from..to`.
    pub fn awaited(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        self.open.within(from, to).collect()
    }

    /// The other side of a record that waits.
    pub fn meet(&mut self, producer: u32, sequence: u64, offset: i64, budget: &mut Budget) -> Option<Compared> {
        budget.remove(&mut self.open, sequence, sequence + 1);
        let index = sequence / SEGMENT_RECORDS;
        let segment = self.segment(index);
        segment.open -= 1;
        segment.met += 1;
        segment.difference = segment.difference.wrapping_sub(mix(offset, producer, sequence));
        if segment.open > 0 {
            return None;
        }
        let (records, equal) = (segment.met, segment.difference == 0);
        self.segments.retain(|segment| segment.index != index);
        Some(Compared { range: (index * SEGMENT_RECORDS, (index + 1) * SEGMENT_RECORDS), records, equal })
    }

    pub fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.open.heap_bytes() + self.segments.capacity() * size_of::<Segment>()
    }

    fn segment(&mut self, index: u64) -> &mut Segment {
        let at = match self.segments.binary_search_by_key(&index, |segment| segment.index) {
            Ok(at) => at,
            Err(at) => {
                self.segments.insert(at, Segment { index, open: 0, met: 0, difference: 0 });
                at
            }
        };
        &mut self.segments[at]
    }
}
