//! PUTs within a budget: the distance of cuts for each PUT that a cut costs.
//!
//! A cut's own PUTs are known beforehand. What else this process writes to the bucket (tables, objects of inline runs, second tries) is
//! what was counted beyond these lately; it comes out of the same budget.

use std::time::Duration;

use tokio::time::Instant;

/// What was longer ago counts for nothing, more or less.
const MEMORY: Duration = Duration::from_secs(10);
/// Before, a few requests would look like many a second.
const SECONDS_MIN: f64 = 2.0;

#[derive(Debug)]
pub(super) struct PutBudget {
    per_second_max: f64,
    /// When the last cut was, and how many PUTs had been made by then.
    last: Option<(Instant, u64)>,
    /// PUTs of that cut, which are under way.
    due: u32,
    /// Sums over the memory.
    planned: f64,
    made: f64,
    seconds: f64,
}

impl PutBudget {
    pub fn new(per_second_max: f64) -> Self {
        Self { per_second_max, last: None, due: 0, planned: 0.0, made: 0.0, seconds: 0.0 }
    }

    pub fn cut(&mut self, puts: u32, made_total: u64, now: Instant) {
        let due = std::mem::replace(&mut self.due, puts);
        let Some((at, made_before)) = self.last.replace((now, made_total)) else { return };
        let passed = now.saturating_duration_since(at).as_secs_f64();
        let kept = (-passed / MEMORY.as_secs_f64()).exp();
        self.planned = self.planned * kept + f64::from(due);
        self.made = self.made * kept + made_total.saturating_sub(made_before) as f64;
        self.seconds = self.seconds * kept + passed;
    }

    pub fn per_put(&self) -> Duration {
        Duration::from_secs_f64((self.per_second_max - self.others_per_second()).recip())
    }

    /// At most half of the budget, so that records go on; less than none when cuts share their commits.
    fn others_per_second(&self) -> f64 {
        if self.seconds < SECONDS_MIN {
            return 0.0;
        }
        let half = self.per_second_max / 2.0;
        ((self.made - self.planned) / self.seconds).clamp(-half, half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PUTs a second when cuts are as far apart as it says, for a minute; each cut is `puts` PUTs, and so many others a second are made.
    fn settled(budget: &mut PutBudget, puts: u32, others_per_second: f64) -> f64 {
        let begin = Instant::now();
        let (mut passed, mut own) = (Duration::ZERO, 0);
        let mut counted_from = None;
        let made = |own: u32, passed: Duration| u64::from(own) + (others_per_second * passed.as_secs_f64()) as u64;
        while passed < Duration::from_secs(90) {
            budget.cut(puts, made(own, passed), begin + passed);
            own += puts;
            passed += budget.per_put() * puts;
            if counted_from.is_none() && passed > Duration::from_secs(30) {
                counted_from = Some((passed, made(own, passed)));
            }
        }
        let (from, before) = counted_from.unwrap();
        (made(own, passed) - before) as f64 / (passed - from).as_secs_f64()
    }

    #[test]
    fn begins_with_the_whole_budget() {
        assert_eq!(PutBudget::new(4.0).per_put(), Duration::from_millis(250));
    }

    #[test]
    fn keeps_to_it_with_what_else_is_written() {
        for (max, puts, others) in [(4.0, 1, 0.0), (4.0, 1, 0.5), (4.0, 2, 1.0), (20.0, 2, 5.0)] {
            let seen = settled(&mut PutBudget::new(max), puts, others);
            assert!((seen - max).abs() < max * 0.05, "{seen} a second of {max}, {others} of them others");
        }
    }

    #[test]
    fn leaves_half_of_it_to_records() {
        let mut budget = PutBudget::new(4.0);
        settled(&mut budget, 1, 10.0);
        assert_eq!(budget.per_put(), Duration::from_millis(500));
    }

    #[test]
    fn commits_that_are_shared_leave_more() {
        let mut budget = PutBudget::new(4.0);
        let begin = Instant::now();
        // Each cut was reckoned as two and was one.
        for cut in 0..200u64 {
            budget.cut(2, cut, begin + Duration::from_millis(500) * u32::try_from(cut).unwrap());
        }
        let per_put = budget.per_put();
        assert!(per_put < Duration::from_millis(180), "{per_put:?}");
    }

    #[test]
    fn a_pause_is_not_a_debt() {
        let mut budget = PutBudget::new(4.0);
        settled(&mut budget, 1, 1.0);
        let (at, total) = budget.last.unwrap();
        budget.cut(1, total, at + Duration::from_secs(3_600));
        assert!((budget.per_put().as_secs_f64() - 0.25).abs() < 0.001);
    }
}
