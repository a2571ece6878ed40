//! Sums over what stands in each block of offsets, to compare what different readers got.

/// Offsets that share a sum.
pub(super) const BLOCK_OFFSETS: i64 = 65_536;
/// Blocks that one partition keeps the sums of: 2^36 offsets, 16 MiB.
const BLOCKS_MAX: usize = 1 << 20;
/// Points inside of blocks where a reader stopped, of which the sums are kept.
const STOPS_MAX: usize = 64;

/// What was read first: the sum of each whole block, and of the beginnings of blocks in which readers stopped.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Number of the block and its sum, in order.
    whole: Vec<(i64, u64)>,
    /// An offset inside of a block and the sum from the block's beginning to it, in order.
    stops: Vec<(i64, u64)>,
    /// Blocks and beginnings that were compared.
    pub compared: u64,
    /// Whole blocks that there was no room for.
    pub left_out: u64,
}

/// One reader's way through the blocks.
#[derive(Debug)]
pub(super) struct Passing {
    /// One above the offset that was added last.
    pub next: i64,
    /// Of all since the block began.
    sum: u64,
    /// Whether it has been added since the block began, without exception.
    whole: bool,
    /// Where the sum has to be looked at: the end of the block, or a reader's stop before it.
    stop: i64,
}

/// Two readers differ somewhere in these offsets, half open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Differ(pub i64, pub i64);

impl Passing {
    /// Begins at an offset.
    pub fn new(offset: i64, blocks: &Blocks) -> Self {
        let stop = blocks.next_stop(offset);
        Self { next: offset, sum: 0, whole: offset.rem_euclid(BLOCK_OFFSETS) == 0, stop }
    }

    /// Adds the next record. Offsets between the last one and this are allowed to be empty.
    #[inline]
    pub fn add(&mut self, offset: i64, mixed: u64, blocks: &mut Blocks) -> Option<Differ> {
        let differ = if offset >= self.stop { self.close(offset, blocks) } else { None };
        self.sum = self.sum.wrapping_add(mixed);
        self.next = offset + 1;
        differ
    }

    /// What the reader got in this block cannot be compared: it has not got all of it, or damaged bytes.
    pub fn spoil(&mut self) {
        self.whole = false;
    }

    /// Goes on at a higher offset; what lies between was left out.
    pub fn jump(&mut self, offset: i64, blocks: &Blocks) {
        if offset.div_euclid(BLOCK_OFFSETS) == self.next.div_euclid(BLOCK_OFFSETS) {
            self.whole = false;
        } else {
            *self = Self::new(offset, blocks);
        }
    }

    /// The reader goes no further for now: compares what it has, or leaves it for others to compare.
    pub fn settle(&mut self, blocks: &mut Blocks) -> Option<Differ> {
        if self.next >= self.stop {
            return self.close(self.next, blocks);
        }
        if !self.whole || self.next.rem_euclid(BLOCK_OFFSETS) == 0 {
            return None;
        }
        match blocks.stops.binary_search_by_key(&self.next, |(offset, _)| *offset) {
            Ok(_) if !blocks.compare(self.next, self.sum) => {
                self.whole = false;
                Some(Differ(self.next.div_euclid(BLOCK_OFFSETS) * BLOCK_OFFSETS, self.next))
            }
            Err(at) if blocks.stops.len() < STOPS_MAX => {
                blocks.stops.insert(at, (self.next, self.sum));
                None
            }
            _ => None,
        }
    }

    /// Compares what it has and leaves nothing behind.
    pub fn settle_quietly(&mut self, blocks: &mut Blocks) -> Option<Differ> {
        (self.next >= self.stop).then(|| self.close(self.next, blocks)).flatten()
    }

    /// Whether another way through the same block has come to the same sum; `None` where that cannot be said.
    pub fn agrees(&self, other: &Self) -> Option<bool> {
        let same_place = self.next == other.next && self.next.rem_euclid(BLOCK_OFFSETS) != 0;
        (same_place && self.whole && other.whole).then_some(self.sum == other.sum)
    }

    /// Looks for the next stop again: another reader has stopped in between.
    pub fn look(&mut self, blocks: &Blocks) {
        let inside = self.next.rem_euclid(BLOCK_OFFSETS) != 0;
        self.stop = self.stop.min(blocks.next_stop(self.next - i64::from(inside)));
    }

    /// Passes every stop up to `offset`.
    #[cold]
    fn close(&mut self, offset: i64, blocks: &mut Blocks) -> Option<Differ> {
        let mut differ = None;
        while offset >= self.stop {
            let stop = self.stop;
            let block = (stop - 1).div_euclid(BLOCK_OFFSETS);
            if self.whole && !blocks.compare(stop, self.sum) {
                differ = differ.or(Some(Differ(block * BLOCK_OFFSETS, stop)));
                // Said once for the block.
                self.whole = false;
            }
            if stop.rem_euclid(BLOCK_OFFSETS) == 0 {
                // Blocks without any record are passed over.
                *self = Self::new(offset.div_euclid(BLOCK_OFFSETS) * BLOCK_OFFSETS, blocks);
            } else {
                self.stop = blocks.next_stop(stop);
            }
        }
        differ
    }
}

impl Blocks {
    /// Of sums that were kept.
    pub fn from_parts(whole: Vec<(i64, u64)>, stops: Vec<(i64, u64)>) -> Self {
        Self { whole, stops, ..Self::default() }
    }

    /// Number of the block and its sum, in order.
    pub fn whole(&self) -> &[(i64, u64)] {
        &self.whole
    }

    /// Offsets inside of blocks, with the sums of what stands before them.
    pub fn stops(&self) -> &[(i64, u64)] {
        &self.stops
    }

    pub fn heap_bytes(&self) -> usize {
        (self.whole.capacity() + self.stops.capacity()) * size_of::<(i64, u64)>()
    }

    /// The first offset above `offset` where sums are to be compared.
    fn next_stop(&self, offset: i64) -> i64 {
        let end = offset.div_euclid(BLOCK_OFFSETS).saturating_add(1).saturating_mul(BLOCK_OFFSETS);
        let after = self.stops.partition_point(|(stop, _)| *stop <= offset);
        self.stops.get(after).map_or(end, |(stop, _)| end.min(*stop))
    }

    /// Whether the sum at a stop is the one that was there first.
    fn compare(&mut self, stop: i64, sum: u64) -> bool {
        let known = if stop.rem_euclid(BLOCK_OFFSETS) == 0 {
            let block = stop.div_euclid(BLOCK_OFFSETS) - 1;
            match self.whole.binary_search_by_key(&block, |(number, _)| *number) {
                Ok(at) => Some(self.whole[at].1),
                Err(at) => {
                    if self.whole.len() < BLOCKS_MAX {
                        self.whole.insert(at, (block, sum));
                    } else {
                        self.left_out += 1;
                    }
                    None
                }
            }
        } else {
            self.stops.binary_search_by_key(&stop, |(offset, _)| *offset).ok().map(|at| self.stops[at].1)
        };
        self.compared += u64::from(known.is_some());
        known.is_none_or(|known| known == sum)
    }
}
