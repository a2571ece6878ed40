//! Acknowledgements within a target: the longest distance of cuts that still keeps 99 of 100 within it.
//!
//! A record waits for its cut, evenly between nothing and that distance, and then as long as its object takes to be uploaded and
//! committed. How long that was for the last objects is known; so is, for any distance, which part of their records
//! would have been late.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// What follows from the answers of so many objects, not older than [`ANSWER_AGE_MAX`].
const ANSWERS_MAX: usize = 256;
const ANSWER_AGE_MAX: Duration = Duration::from_secs(120);
/// With fewer, one slow one would be more than its share.
const ANSWERS_MIN: usize = 64;
/// One of a hundred may be late.
const LATE_MAX: f64 = 0.01;
/// What is aimed at: the rest is for the way to the client, and its own waiting.
const AIM: f64 = 0.85;
/// A longer distance makes larger objects, which take longer: it grows by this part of the way for each answer, so that these
/// are known by then.
const GROWTH_DIVISOR: u32 = 32;
/// Halvings until the distance is known to a millisecond.
const HALVINGS: u32 = 14;

#[derive(Debug)]
pub(super) struct Target {
    aim: Duration,
    shortest: Duration,
    usual: Duration,
    longest: Duration,
    /// From the cut to the answer, the oldest first.
    answers: VecDeque<(Instant, Duration)>,
}

impl Target {
    /// `usual`: as long as nothing is known, and where the target cannot be kept whatever the distance is.
    pub fn new(target: Duration, shortest: Duration, usual: Duration) -> Self {
        Self { aim: target.mul_f64(AIM), shortest, usual, longest: usual, answers: VecDeque::new() }
    }

    pub fn longest(&self) -> Duration {
        self.longest
    }

    pub fn answered(&mut self, took: Duration, now: Instant) {
        self.answers.push_back((now, took));
        let is_old = |at: Instant| now.saturating_duration_since(at) > ANSWER_AGE_MAX;
        while self.answers.len() > ANSWERS_MAX || self.answers.front().is_some_and(|(at, _)| is_old(*at)) {
            self.answers.pop_front();
        }
        let allowed = if self.answers.len() < ANSWERS_MIN { None } else { self.allowed() };
        let allowed = allowed.unwrap_or(self.usual);
        self.longest = match allowed.checked_sub(self.longest) {
            Some(more) => self.longest + more / GROWTH_DIVISOR,
            None => allowed,
        };
    }

    /// `None`: it is missed even with the shortest.
    fn allowed(&self) -> Option<Duration> {
        if self.late_share(self.shortest) > LATE_MAX {
            return None;
        }
        let (mut kept, mut missed) = (self.shortest, self.aim.max(self.shortest));
        for _ in 0..HALVINGS {
            let middle = (kept + missed) / 2;
            if self.late_share(middle) > LATE_MAX { missed = middle } else { kept = middle }
        }
        Some(kept)
    }

    /// Which part of the records would be late.
    fn late_share(&self, interval: Duration) -> f64 {
        let late = |took: &Duration| match self.aim.checked_sub(*took) {
            Some(room) => 1.0 - room.as_secs_f64() / interval.as_secs_f64(),
            None => 1.0,
        };
        let late: f64 = self.answers.iter().map(|(_, took)| late(took).max(0.0)).sum();
        late / self.answers.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn target(answers: impl IntoIterator<Item = u64>) -> Target {
        let mut target = Target::new(ms(1_000), ms(100), ms(140));
        let begin = Instant::now();
        for (at, took) in answers.into_iter().enumerate() {
            target.answered(ms(took), begin + ms(100 * at as u64));
        }
        target
    }

    #[test]
    fn waits_as_usual_until_enough_is_known() {
        assert_eq!(target([50; ANSWERS_MIN - 1]).longest(), ms(140));
        assert!(target([50; ANSWERS_MIN]).longest() > ms(140));
    }

    #[test]
    fn uses_what_the_target_leaves() {
        // 850 ms are aimed at; a hundredth of the records of 808 ms come in its first 8.
        let longest = target([50; 1_000]).longest().as_millis();
        assert!((800..=810).contains(&longest), "{longest} ms");
    }

    #[test]
    fn grows_slowly_and_shrinks_at_once() {
        let mut target = target([50; ANSWERS_MIN]);
        let first = target.longest();
        assert!(first < ms(170), "{first:?} is a leap");
        let now = Instant::now() + ms(6_400);
        for _ in 0..ANSWERS_MAX {
            target.answered(ms(700), now);
        }
        let longest = target.longest().as_millis();
        assert!((140..=155).contains(&longest), "{longest} ms");
    }

    #[test]
    fn few_slow_ones_are_borne_and_more_are_not() {
        let with_slow = |every: usize| target((0..1_024).map(|at| if at % every == 0 { 900 } else { 50 }));
        let kept = with_slow(200).longest();
        assert!(kept > ms(500), "{kept:?}");
        assert_eq!(with_slow(20).longest(), ms(140), "one of twenty is late in any case: nothing is won by more cuts");
    }

    #[test]
    fn forgets_what_is_old() {
        let mut target = target([900; ANSWERS_MAX]);
        let later = Instant::now() + ANSWER_AGE_MAX * 2;
        for at in 0..ANSWERS_MIN as u64 + 64 {
            target.answered(ms(50), later + ms(at));
        }
        assert!(target.longest() > ms(300), "{:?}", target.longest());
    }

    #[test]
    fn a_target_below_everything_changes_nothing() {
        let mut target = Target::new(ms(20), ms(100), ms(140));
        for at in 0..300 {
            target.answered(ms(5), Instant::now() + ms(at));
        }
        assert_eq!(target.longest(), ms(140));
    }
}
