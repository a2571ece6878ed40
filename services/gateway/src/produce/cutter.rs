//! When the open object is cut. Pure: time comes in, a decision goes out.

use std::time::Duration;

use super::linger::Bounds;
use crate::{GatewaySettings, LARGE_OBJECT_BYTES};

/// What the decision looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filling {
    pub bounds: Bounds,
    /// Half of the uploads are under way.
    pub is_busy: bool,
    pub bytes: usize,
    pub partitions: usize,
    /// Small objects go inside of their commits.
    pub takes_inline: bool,
    /// `None`: there was none.
    pub last_cut: Option<LastCut>,
}

/// The cut before.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastCut {
    pub since: Duration,
    pub bytes: usize,
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
pub(crate) enum CutReason {
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

/// Timers go off at whole milliseconds, up to one too late. A wait that is due within one is over, or every interval would
/// be longer by that.
const TIMER_TICK: Duration = Duration::from_millis(1);

/// The policy: full objects at once, others as soon as the last cut is long enough ago. So an idle gateway lets nobody
/// wait, and a busy one gathers what comes within one interval. The more came within the last one, the longer is the next:
/// a busy machine has better use for its cores than twice as many cuts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cutter {
    pub bytes_max: usize,
    /// While half of the uploads are under way.
    pub bytes_busy: usize,
    pub partitions_max: usize,
    /// While objects are small.
    pub interval_min: Duration,
    /// Where they are worth their cost, while nothing else is known.
    pub interval_max: Duration,
    /// Objects up to this size go inside of their commits.
    pub inline_bytes_max: usize,
    /// While these are tiny: the sequencer puts them together anyway, and none of them is a file or a request.
    pub inline_interval_min: Duration,
}

/// What the policy comes to under a steady load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SteadyCuts {
    /// How many objects are cut in a second.
    pub per_second: f64,
    /// They go inside of their commits.
    pub are_inline: bool,
}

impl Cutter {
    /// As a gateway is set.
    pub fn of(settings: &GatewaySettings) -> Self {
        Self {
            bytes_max: settings.object_bytes_max,
            bytes_busy: settings.object_bytes_busy.min(settings.object_bytes_max),
            partitions_max: settings.object_partitions_max,
            interval_min: settings.cut_interval_min,
            interval_max: settings.cut_interval_max,
            inline_bytes_max: settings.inline_bytes_max,
            inline_interval_min: settings.inline_interval_min,
        }
    }

    /// Where the intervals come to rest while so many bytes come each second and nothing else is known.
    pub fn steady(&self, bytes_per_second: u64) -> SteadyCuts {
        let within = |interval: Duration| (bytes_per_second as f64 * interval.as_secs_f64()) as usize;
        let usual = Bounds { longest: self.interval_max, per_put: Duration::ZERO };
        let mut interval = self.inline_interval_min;
        // Each cut is as far from the one before as what that one held says.
        for _ in 0..32 {
            interval = self.interval_after(within(interval), true, usual);
        }
        let full = bytes_per_second as f64 / self.bytes_busy as f64;
        SteadyCuts {
            per_second: (1.0 / interval.as_secs_f64()).max(full),
            are_inline: within(interval) <= self.inline_bytes_max,
        }
    }

    /// Whether nothing more may be added.
    pub fn is_full(&self, bytes: usize, partitions: usize, is_busy: bool) -> Option<CutReason> {
        if bytes >= if is_busy { self.bytes_busy } else { self.bytes_max } {
            Some(CutReason::Bytes)
        } else if partitions >= self.partitions_max {
            Some(CutReason::Partitions)
        } else {
            None
        }
    }

    /// For an object that is not empty.
    pub(super) fn decide(&self, filling: Filling) -> Decision {
        if let Some(reason) = self.is_full(filling.bytes, filling.partitions, filling.is_busy) {
            return Decision::Cut(reason);
        }
        let Some(last) = filling.last_cut else { return Decision::Cut(CutReason::Age) };
        let interval = self.interval_after(last.bytes, filling.takes_inline, filling.bounds);
        let interval = interval.saturating_sub(TIMER_TICK);
        match interval.checked_sub(last.since) {
            Some(wait) if !wait.is_zero() => Decision::Wait(wait),
            Some(_) | None => Decision::Cut(CutReason::Age),
        }
    }

    /// How many PUTs an object of so many bytes costs: its own, if it does not go inside, and its commit.
    pub(super) fn puts(&self, bytes: usize, takes_inline: bool) -> u32 {
        if takes_inline && bytes <= self.inline_bytes_max { 1 } else { 2 }
    }

    fn interval_after(&self, bytes: usize, takes_inline: bool, bounds: Bounds) -> Duration {
        let paid = bounds.per_put * self.puts(bytes, takes_inline);
        paid.max(self.wished_after(bytes, takes_inline, bounds.longest))
    }

    fn wished_after(&self, bytes: usize, takes_inline: bool, longest: Duration) -> Duration {
        if takes_inline && bytes < self.inline_bytes_max {
            // Up to that of the smallest objects that are uploaded, so that there is no step between the two.
            let share = bytes as f64 / self.inline_bytes_max as f64;
            return self.inline_interval_min
                + self.interval_min.saturating_sub(self.inline_interval_min).mul_f64(share);
        }
        let share = bytes.min(LARGE_OBJECT_BYTES) as f64 / LARGE_OBJECT_BYTES as f64;
        self.interval_min + longest.saturating_sub(self.interval_min).mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decides() {
        let ms = Duration::from_millis;
        let cutter = Cutter {
            bytes_max: 1_000,
            bytes_busy: 600,
            partitions_max: 10,
            interval_min: ms(8),
            interval_max: ms(16),
            inline_bytes_max: 100,
            inline_interval_min: ms(4),
        };
        let after = |ms| Some((Duration::from_millis(ms), 0));
        let bounds = Bounds { longest: ms(16), per_put: Duration::ZERO };
        let cases = [
            ("the first record is not held back", 1, 1, None, Decision::Cut(CutReason::Age)),
            ("nor one after a pause", 1, 1, after(8), Decision::Cut(CutReason::Age)),
            ("nor one after a long pause", 1, 1, after(60_000), Decision::Cut(CutReason::Age)),
            ("soon after a cut it waits for the rest", 1, 1, after(3), Decision::Wait(ms(4))),
            ("right after a cut", 999, 9, after(0), Decision::Wait(ms(7))),
            ("a timer would be late", 1, 1, after(7), Decision::Cut(CutReason::Age)),
            ("after a large object it waits longer", 1, 1, Some((ms(7), LARGE_OBJECT_BYTES)), Decision::Wait(ms(8))),
            ("but not for ever", 1, 1, Some((ms(15), LARGE_OBJECT_BYTES * 8)), Decision::Cut(CutReason::Age)),
            ("in proportion", 1, 1, Some((ms(0), LARGE_OBJECT_BYTES / 2)), Decision::Wait(ms(11))),
            ("full of bytes", 1_000, 1, after(0), Decision::Cut(CutReason::Bytes)),
            ("full of partitions", 1, 10, after(0), Decision::Cut(CutReason::Partitions)),
            ("one large batch", 5_000, 1, None, Decision::Cut(CutReason::Bytes)),
        ];
        for (what, bytes, partitions, last_cut, expected) in cases {
            let last_cut = last_cut.map(|(since, bytes)| LastCut { since, bytes });
            let filling = Filling { bytes, partitions, takes_inline: false, last_cut, bounds, is_busy: false };
            assert_eq!(cutter.decide(filling), expected, "{what}");
        }
        let cases = [
            ("after a tiny one", 0, 0, Decision::Wait(ms(3))),
            ("a timer would be late", 3, 0, Decision::Cut(CutReason::Age)),
            ("in proportion", 0, 50, Decision::Wait(ms(5))),
            ("after a large one", 0, LARGE_OBJECT_BYTES, Decision::Wait(ms(15))),
        ];
        for (what, since_ms, last_bytes, expected) in cases {
            let last_cut = Some(LastCut { since: ms(since_ms), bytes: last_bytes });
            let filling = Filling { bytes: 1, partitions: 1, takes_inline: true, last_cut, bounds, is_busy: false };
            assert_eq!(cutter.decide(filling), expected, "inline: {what}");
        }
        let busy = Filling { bytes: 700, partitions: 1, takes_inline: false, last_cut: None, bounds, is_busy: true };
        assert_eq!(cutter.decide(busy), Decision::Cut(CutReason::Bytes));
    }

    fn of_an_object_store() -> Cutter {
        let ms = Duration::from_millis;
        Cutter {
            bytes_max: 16 << 20,
            bytes_busy: 8 << 20,
            partitions_max: 10_000,
            interval_min: ms(100),
            interval_max: ms(140),
            inline_bytes_max: 256 << 10,
            inline_interval_min: ms(40),
        }
    }

    #[test]
    fn waits_as_long_as_the_target_and_the_price_of_puts_say() {
        let ms = Duration::from_millis;
        let cutter = of_an_object_store();
        let free = Duration::ZERO;
        let cases = [
            ("as long as the target allows", LARGE_OBJECT_BYTES, false, ms(300), free, ms(300)),
            ("in proportion", LARGE_OBJECT_BYTES / 2, false, ms(300), free, ms(200)),
            ("small ones as ever", 0, false, ms(300), free, ms(100)),
            ("also where the target allows less", LARGE_OBJECT_BYTES, false, ms(60), free, ms(100)),
            ("inside of commits as ever", 0, true, ms(300), free, ms(40)),
            ("two PUTs", LARGE_OBJECT_BYTES, false, ms(300), ms(250), ms(500)),
            ("one PUT", 1_000, true, ms(300), ms(250), ms(250)),
            ("PUTs that are cheap", LARGE_OBJECT_BYTES, false, ms(300), ms(10), ms(300)),
        ];
        for (what, bytes, takes_inline, longest, per_put, expected) in cases {
            let interval = cutter.interval_after(bytes, takes_inline, Bounds { longest, per_put });
            assert_eq!(interval, expected, "{what}");
        }
    }

    #[test]
    fn comes_to_rest_where_each_cut_says_what_the_next_one_does() {
        let cutter = of_an_object_store();
        let cases = [(0, 25.0, true), (1 << 20, 19.0, true), (10 << 20, 8.67, false), (800 << 20, 100.0, false)];
        for (bytes, per_second, are_inline) in cases {
            let cuts = cutter.steady(bytes);
            assert!((cuts.per_second - per_second).abs() < 0.01, "{bytes}: {cuts:?}");
            assert_eq!(cuts.are_inline, are_inline, "{bytes}");
        }
    }
}
