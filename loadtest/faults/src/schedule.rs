//! How often a fault is committed: seldom enough that a run goes on, often enough that it is found.

/// The first batch that it befalls, counted from 1: the stream is warm then.
pub(crate) const FIRST_BATCH: u64 = 5;
/// Every so many batches after it.
pub(crate) const EVERY_BATCHES: u64 = 40;
/// Of one partition; what is remembered of a partition is bounded by this.
pub(crate) const TIMES_MAX: u32 = 8;

/// Counts the batches of one partition and says which of them are due.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    batches: u64,
    next: u64,
    times_left: u32,
}

impl Schedule {
    pub fn new() -> Self {
        Self { batches: 0, next: FIRST_BATCH, times_left: TIMES_MAX }
    }

    /// One more batch: whether it is due. It and all after it stay due until [`Schedule::commit`].
    pub fn count(&mut self) -> bool {
        self.batches += 1;
        self.is_due()
    }

    /// Takes back the last `batches` counts.
    pub fn uncount(&mut self, batches: u64) {
        self.batches = self.batches.saturating_sub(batches);
    }

    fn is_due(&self) -> bool {
        self.times_left > 0 && self.batches >= self.next
    }

    /// The fault has been committed.
    pub fn commit(&mut self) {
        self.times_left = self.times_left.saturating_sub(1);
        self.next = self.batches + EVERY_BATCHES;
    }

    /// It will not be committed any more.
    pub fn is_over(&self) -> bool {
        self.times_left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifth_is_due_and_then_every_fortieth_until_it_is_enough() {
        let mut schedule = Schedule::new();
        let mut due = Vec::new();
        for batch in 1..1_000 {
            if schedule.count() {
                schedule.commit();
                due.push(batch);
            }
        }
        assert_eq!(due, [5, 45, 85, 125, 165, 205, 245, 285]);
        assert!(schedule.is_over());
    }

    #[test]
    fn what_is_not_committed_stays_due() {
        let mut schedule = Schedule::new();
        assert_eq!(
            (0..7).map(|_| schedule.count()).collect::<Vec<_>>(),
            [false, false, false, false, true, true, true]
        );
        schedule.uncount(3);
        assert_eq!((0..2).map(|_| schedule.count()).collect::<Vec<_>>(), [true, true]);
    }
}
