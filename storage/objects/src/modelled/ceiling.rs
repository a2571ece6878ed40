//! How many PUTs a second the modelled store takes.

use std::time::Duration;

/// Takes so many a second, and as many at once as come in a quarter of one.
#[derive(Debug)]
pub(super) struct Ceiling {
    per_second: f64,
    room: f64,
    at: Duration,
}

impl Ceiling {
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, room: Self::at_once(per_second), at: Duration::ZERO }
    }

    /// Whether one more is taken now.
    pub(super) fn takes(&mut self, now: Duration) -> bool {
        let earned = now.saturating_sub(self.at).as_secs_f64() * self.per_second;
        (self.room, self.at) = ((self.room + earned).min(Self::at_once(self.per_second)), now.max(self.at));
        let is_taken = self.room >= 1.0;
        if is_taken {
            self.room -= 1.0;
        }
        is_taken
    }

    fn at_once(per_second: f64) -> f64 {
        (per_second / 4.0).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_so_many_a_second() {
        let mut ceiling = Ceiling::new(100);
        let taken = (0..10_000).filter(|ms| ceiling.takes(Duration::from_millis(*ms))).count();
        assert!((1_000..=1_026).contains(&taken), "{taken} in ten seconds");
    }
}
