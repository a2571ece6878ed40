//! Sets of numbers that come in long stretches.

/// A set of numbers. Its memory grows with the number of its stretches, not of its members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Intervals {
    /// In order, apart from each other and below `last`.
    older: Vec<(u64, u64)>,
    /// The highest stretch, half open; empty only where the set is. It is apart so that a set of one stretch needs no
    /// allocation and growing at the end is one comparison.
    last: (u64, u64),
}

/// Bounds the stretches that the sets of one partition hold in total.
#[derive(Debug, Default)]
pub(super) struct Budget {
    used: usize,
}

/// Stretches of one set.
pub(super) const SET_INTERVALS_MAX: usize = 10_000;
/// Stretches of all sets of a partition.
pub(super) const PARTITION_INTERVALS_MAX: usize = 200_000;

/// The set has too many stretches for another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Budget {
    /// Adds `from..to`; the number of members that are new.
    pub fn insert(&mut self, set: &mut Intervals, from: u64, to: u64) -> Result<u64, Full> {
        if from == set.last.1 && from < to && set.last.0 < from {
            set.last.1 = to;
            return Ok(to - from);
        }
        let full = set.len() >= SET_INTERVALS_MAX || self.used >= PARTITION_INTERVALS_MAX;
        if full && !set.touches(from, to) {
            return Err(Full);
        }
        let before = set.len();
        let added = set.insert(from, to);
        self.used = self.used + set.len() - before;
        Ok(added)
    }

    /// Takes `from..to` out. A split stretch may go beyond the bound by one.
    pub fn remove(&mut self, set: &mut Intervals, from: u64, to: u64) {
        let before = set.len();
        set.remove(from, to);
        self.used = self.used + set.len() - before;
    }

    /// The set is about to be dropped.
    pub fn release(&mut self, set: &Intervals) {
        self.used -= set.len();
    }

    /// The set came from elsewhere, for instance from a file.
    pub fn adopt(&mut self, set: &Intervals) {
        self.used += set.len();
    }
}

impl Intervals {
    /// Of stretches in order; `None` where they are not, or touch each other.
    pub fn from_sorted(stretches: &[(u64, u64)]) -> Option<Self> {
        let apart = stretches.windows(2).all(|pair| pair[0].1 < pair[1].0);
        if !apart || stretches.iter().any(|(from, to)| from >= to) {
            return None;
        }
        let mut older = stretches.to_vec();
        let last = older.pop().unwrap_or_default();
        Some(Self { older, last })
    }

    pub fn len(&self) -> usize {
        self.older.len() + usize::from(self.last.1 > self.last.0)
    }

    pub fn is_empty(&self) -> bool {
        self.last.1 == self.last.0
    }

    /// One above the highest member; 0 when there is none.
    pub fn end(&self) -> u64 {
        self.last.1
    }

    /// The number of members.
    pub fn total(&self) -> u64 {
        self.iter().map(|(from, to)| to - from).sum()
    }

    /// The stretches in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.older.iter().copied().chain((!self.is_empty()).then_some(self.last))
    }

    #[inline]
    pub fn contains(&self, member: u64) -> bool {
        if member >= self.last.0 {
            return member < self.last.1;
        }
        let after = self.older.partition_point(|(from, _)| *from <= member);
        after > 0 && member < self.older[after - 1].1
    }

    /// Adds `from..to`; the number of members that are new.
    pub fn insert(&mut self, from: u64, to: u64) -> u64 {
        if from >= to {
            return 0;
        }
        if self.is_empty() {
            self.last = (from, to);
            return to - from;
        }
        if from >= self.last.0 && from <= self.last.1 {
            let added = to.saturating_sub(self.last.1);
            self.last.1 = self.last.1.max(to);
            return added;
        }
        if from > self.last.1 {
            self.older.push(self.last);
            self.last = (from, to);
            return to - from;
        }
        self.older.push(self.last);
        let first = self.older.partition_point(|(_, end)| *end < from);
        let after = self.older.partition_point(|(start, _)| *start <= to);
        let merged = self.older[first..after].iter().fold((from, to), |(a, b), (c, d)| (a.min(*c), b.max(*d)));
        let held: u64 = self.older[first..after].iter().map(|(a, b)| b - a).sum();
        self.older.splice(first..after, [merged]);
        self.last = self.older.pop().unwrap_or_default();
        merged.1 - merged.0 - held
    }

    /// Takes `from..to` out.
    pub fn remove(&mut self, from: u64, to: u64) {
        if from >= to || self.is_empty() || from >= self.last.1 {
            return;
        }
        self.older.push(self.last);
        let first = self.older.partition_point(|(_, end)| *end <= from);
        let after = self.older.partition_point(|(start, _)| *start < to);
        if first < after {
            let (left, right) = ((self.older[first].0, from), (to, self.older[after - 1].1));
            self.older.splice(first..after, [left, right].into_iter().filter(|(a, b)| a < b));
        }
        self.last = self.older.pop().unwrap_or_default();
    }

    /// The members among `from..to`.
    pub fn within(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let first = self.older.partition_point(|(_, end)| *end <= from);
        let rest = self.older[first..].iter().copied().chain((!self.is_empty()).then_some(self.last));
        rest.take_while(move |(start, _)| *start < to)
            .map(move |(start, end)| (start.max(from), end.min(to)))
            .filter(|(start, end)| start < end)
    }

    /// The numbers among `from..to` that are not members.
    pub fn missing(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut next = from;
        let ends = self.within(from, to).chain((from < to).then_some((to, to)));
        ends.filter_map(move |(start, end)| {
            let hole = (next, start);
            next = end;
            (hole.0 < hole.1).then_some(hole)
        })
    }

    /// The number of members among `from..to`.
    pub fn count_within(&self, from: u64, to: u64) -> u64 {
        self.within(from, to).map(|(start, end)| end - start).sum()
    }

    /// The members that the other has too.
    pub fn and(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (from, to) in self.iter() {
            for (start, end) in other.within(from, to) {
                both.insert(start, end);
            }
        }
        both
    }

    /// The members that the other has not.
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = Self::default();
        for (from, to) in self.iter() {
            for (start, end) in other.missing(from, to) {
                rest.insert(start, end);
            }
        }
        rest
    }

    pub fn heap_bytes(&self) -> usize {
        self.older.capacity() * size_of::<(u64, u64)>()
    }

    /// Whether adding `from..to` makes no further stretch.
    fn touches(&self, from: u64, to: u64) -> bool {
        from >= to || self.iter().any(|(start, end)| from <= end && start <= to)
    }
}
