//! How many extra tries there may be: a share of the ordinary ones, and a few saved up.

/// A bucket of tokens that ordinary requests fill and extra ones empty.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In thousandths of an extra try.
    saved: u64,
    earned_by_one: u64,
    saved_max: u64,
}

impl Budget {
    /// One extra try for each `1000 / earned_permille` ordinary requests, with up to `saved_max` saved up, as at the start.
    pub(crate) fn new(earned_permille: u64, saved_max: u64) -> Self {
        Self { saved: saved_max * 1_000, earned_by_one: earned_permille, saved_max: saved_max * 1_000 }
    }

    /// An ordinary request has been made.
    pub(crate) fn earn(&mut self) {
        self.saved = (self.saved + self.earned_by_one).min(self.saved_max);
    }

    /// Takes one extra try if there is one.
    pub(crate) fn spend(&mut self) -> bool {
        let is_there = self.saved >= 1_000;
        if is_there {
            self.saved -= 1_000;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_and_what_was_saved() {
        let mut budget = Budget::new(100, 5);
        let spent = (0..1_000).filter(|_| budget.spend()).count();
        assert_eq!(spent, 5, "nothing is earned without requests");
        let spent = (0..1_000).filter(|_| {
            budget.earn();
            budget.spend()
        });
        assert_eq!(spent.count(), 100);
        (0..1_000).for_each(|_| budget.earn());
        assert_eq!((0..1_000).filter(|_| budget.spend()).count(), 5, "no more is saved");
    }
}
