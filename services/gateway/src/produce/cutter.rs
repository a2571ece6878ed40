//! When the open object is cut. Pure: time comes in, a decision goes out.

use std::time::Duration;

/// What the decision looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filling {
    pub bytes: usize,
    pub partitions: usize,
    /// Since the last cut; `None`: there was none.
    pub since_last_cut: Option<Duration>,
}

/// What to do with an object that holds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Cut(CutReason),
    /// Unless it fills up before.
    Wait(Duration),
}

/// Why an object was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CutReason {
    Bytes,
    Partitions,
    Age,
    /// The gateway is going away.
    Drain,
}

impl CutReason {
    /// The label of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Partitions => "partitions",
            Self::Age => "age",
            Self::Drain => "drain",
        }
    }
}

/// The policy: full objects at once, others as soon as the last cut is long enough ago. So an idle gateway lets nobody
/// wait, and a busy one gathers what comes within one interval.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cutter {
    pub bytes_max: usize,
    pub partitions_max: usize,
    pub interval_min: Duration,
}

impl Cutter {
    /// Whether nothing more may be added.
    pub fn is_full(&self, bytes: usize, partitions: usize) -> Option<CutReason> {
        if bytes >= self.bytes_max {
            Some(CutReason::Bytes)
        } else if partitions >= self.partitions_max {
            Some(CutReason::Partitions)
        } else {
            None
        }
    }

    /// For an object that is not empty.
    pub fn decide(&self, filling: Filling) -> Decision {
        if let Some(reason) = self.is_full(filling.bytes, filling.partitions) {
            return Decision::Cut(reason);
        }
        match filling.since_last_cut {
            Some(since) if since < self.interval_min => Decision::Wait(self.interval_min - since),
            Some(_) | None => Decision::Cut(CutReason::Age),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decides() {
        let ms = Duration::from_millis;
        let cutter = Cutter { bytes_max: 1_000, partitions_max: 10, interval_min: ms(8) };
        let cases = [
            ("the first record is not held back", 1, 1, None, Decision::Cut(CutReason::Age)),
            ("nor one after a pause", 1, 1, Some(ms(8)), Decision::Cut(CutReason::Age)),
            ("nor one after a long pause", 1, 1, Some(ms(60_000)), Decision::Cut(CutReason::Age)),
            ("soon after a cut it waits for the rest", 1, 1, Some(ms(3)), Decision::Wait(ms(5))),
            ("right after a cut", 999, 9, Some(ms(0)), Decision::Wait(ms(8))),
            ("full of bytes", 1_000, 1, Some(ms(0)), Decision::Cut(CutReason::Bytes)),
            ("full of partitions", 1, 10, Some(ms(0)), Decision::Cut(CutReason::Partitions)),
            ("one large batch", 5_000, 1, None, Decision::Cut(CutReason::Bytes)),
        ];
        for (what, bytes, partitions, since_last_cut, expected) in cases {
            assert_eq!(cutter.decide(Filling { bytes, partitions, since_last_cut }), expected, "{what}");
        }
    }
}
