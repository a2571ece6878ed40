//! What a run measures, second by second. Latencies count to the second in which a record was **intended**, so that a stall
//! stands where it began; everything else to the second in which it happened.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use hdrhistogram::Histogram;

/// Microseconds, three digits.
pub type Times = Histogram<u32>;

/// An empty distribution, which grows with what is put into it.
#[expect(clippy::expect_used, reason = "three digits are allowed")]
pub fn times() -> Times {
    Histogram::new(3).expect("three digits are allowed")
}

/// Over so many locks producers and consumers are spread.
const SHARDS: usize = 4;
/// A second stays open so long for what was intended in it.
const OPEN_SECONDS: u32 = 60;

/// Where everything is written down.
pub struct Recorder {
    start_ns: u64,
    /// First second that is measured, and the first that is not any more.
    measured: (u32, u32),
    shards: Vec<Mutex<Shard>>,
}

#[derive(Default)]
struct Shard {
    seconds: BTreeMap<u32, Second>,
    /// Seconds before this one have been taken.
    taken: u32,
    /// Of seconds that had been taken: they count to the totals.
    late: Late,
}

/// What came after its second had been taken, and belongs to the measured time.
#[derive(Default)]
pub struct Late {
    /// From the intended time to the acknowledgement.
    pub ack: Option<Times>,
    /// From the intended time to the arrival.
    pub end_to_end: Option<Times>,
    /// Records that were taken up, and their values.
    pub taken: (u64, u64),
}

/// One second.
#[derive(Clone, Default)]
pub struct Second {
    /// Of records intended in it.
    pub ack: Option<Times>,
    /// Of records intended in it, read by consumers that follow.
    pub end_to_end: Option<Times>,
    /// Of batches taken up in it.
    pub lateness: Option<Times>,
    /// What happened in it.
    pub counts: Counts,
}

/// Numbers that are added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records intended in this second that a producer took up.
    pub taken_records: u64,
    /// Values of these.
    pub taken_bytes: u64,
    /// Records acknowledged.
    pub acked_records: u64,
    /// Values of these.
    pub acked_bytes: u64,
    /// Records read by all consumers.
    pub read_records: u64,
    /// Values of these.
    pub read_bytes: u64,
    /// Batches definitely refused.
    pub refused: u64,
    /// Batches sent again.
    pub retried: u64,
    /// Answers that asked for a pause.
    pub throttled: u64,
    /// Connections opened again.
    pub reconnects: u64,
    /// Records given up, definitely not appended.
    pub failed_records: u64,
    /// Records of which nobody knows.
    pub unknown_records: u64,
}

impl Counts {
    /// Adds another one's.
    pub fn add(&mut self, other: &Counts) {
        self.taken_records += other.taken_records;
        self.taken_bytes += other.taken_bytes;
        self.acked_records += other.acked_records;
        self.acked_bytes += other.acked_bytes;
        self.read_records += other.read_records;
        self.read_bytes += other.read_bytes;
        self.refused += other.refused;
        self.retried += other.retried;
        self.throttled += other.throttled;
        self.reconnects += other.reconnects;
        self.failed_records += other.failed_records;
        self.unknown_records += other.unknown_records;
    }
}

impl Second {
    fn add(&mut self, other: Second) {
        add(&mut self.ack, other.ack);
        add(&mut self.end_to_end, other.end_to_end);
        add(&mut self.lateness, other.lateness);
        self.counts.add(&other.counts);
    }
}

/// Adds a distribution to another.
pub fn add(to: &mut Option<Times>, more: Option<Times>) {
    match (to, more) {
        // Both have three digits and grow by themselves.
        (Some(to), Some(more)) => drop(to.add(&more)),
        (to, more) => *to = to.take().or(more),
    }
}

/// A shard, locked.
pub struct Writer<'a> {
    shard: MutexGuard<'a, Shard>,
    start_ns: u64,
    measured: (u32, u32),
}

impl Recorder {
    /// Of a run that begins at `start_ns` and of which the seconds from `measured.0` to before `measured.1` are measured.
    pub fn new(start_ns: u64, measured: (u32, u32)) -> Self {
        Self { start_ns, measured, shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// For one producer or consumer. To be dropped soon.
    pub fn writer(&self, number: u32) -> Writer<'_> {
        let shard = &self.shards[number as usize % SHARDS];
        Writer { shard: lock(shard), start_ns: self.start_ns, measured: self.measured }
    }

    /// Changes the counts of the second of `now_ns`.
    pub fn count(&self, number: u32, now_ns: u64, change: impl FnOnce(&mut Counts)) {
        change(&mut self.writer(number).second(now_ns).counts);
    }

    /// Counts of a second that is still open, and acknowledgements of records intended in another one.
    pub fn look_at(&self, counts_of: u32, acks_of: u32) -> (Counts, Option<Times>) {
        let (mut counts, mut acks) = (Counts::default(), None);
        for shard in &self.shards {
            let shard = lock(shard);
            if let Some(second) = shard.seconds.get(&counts_of) {
                counts.add(&second.counts);
            }
            add(&mut acks, shard.seconds.get(&acks_of).and_then(|second| second.ack.clone()));
        }
        (counts, acks)
    }

    /// Takes out the seconds that nothing belongs to any more at `now_ns`, in order; all of them where it is `None`.
    pub fn take(&self, now_ns: Option<u64>) -> Vec<(u32, Second)> {
        let before = match now_ns {
            Some(now_ns) => second_of(self.start_ns, now_ns).saturating_sub(OPEN_SECONDS),
            None => u32::MAX,
        };
        let mut taken = BTreeMap::<u32, Second>::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.taken = before;
            let open = shard.seconds.split_off(&before);
            for (number, second) in mem::replace(&mut shard.seconds, open) {
                taken.entry(number).or_default().add(second);
            }
        }
        taken.into_iter().collect()
    }

    /// What came too late for its second.
    pub fn take_late(&self) -> Late {
        let mut all = Late::default();
        for shard in &self.shards {
            let late = mem::take(&mut lock(shard).late);
            add(&mut all.ack, late.ack);
            add(&mut all.end_to_end, late.end_to_end);
            all.taken.0 += late.taken.0;
            all.taken.1 += late.taken.1;
        }
        all
    }
}

impl Writer<'_> {
    /// The second of a moment; what is before the start counts to the first.
    pub fn second(&mut self, at_ns: u64) -> &mut Second {
        let number = second_of(self.start_ns, at_ns).max(self.shard.taken);
        self.shard.seconds.entry(number).or_default()
    }

    /// A record that was due at a time was taken up.
    pub fn taken(&mut self, due_ns: u64, bytes: u64) {
        let number = second_of(self.start_ns, due_ns);
        if number >= self.shard.taken {
            let counts = &mut self.second(due_ns).counts;
            counts.taken_records += 1;
            counts.taken_bytes += bytes;
        } else if (self.measured.0..self.measured.1).contains(&number) {
            self.shard.late.taken.0 += 1;
            self.shard.late.taken.1 += bytes;
        }
    }

    /// From the intended times of records to their acknowledgement now.
    pub fn acked(&mut self, intended_ns: &[u64], now_ns: u64) {
        self.record(intended_ns, now_ns, |second| &mut second.ack, |late| &mut late.ack);
    }

    /// From the intended times of records to their arrival now.
    pub fn arrived(&mut self, intended_ns: &[u64], now_ns: u64) {
        self.record(intended_ns, now_ns, |second| &mut second.end_to_end, |late| &mut late.end_to_end);
    }

    /// A batch was taken up so much later than it ought to have been.
    pub fn late(&mut self, late_ns: u64, now_ns: u64) {
        self.second(now_ns).lateness.get_or_insert_with(times).record(late_ns.div_ceil(1_000)).ok();
    }

    fn record(
        &mut self,
        intended_ns: &[u64],
        now_ns: u64,
        open: impl Fn(&mut Second) -> &mut Option<Times>,
        late: impl Fn(&mut Late) -> &mut Option<Times>,
    ) {
        let mut rest = intended_ns;
        while let Some(first_ns) = rest.first() {
            let number = second_of(self.start_ns, *first_ns);
            // Intended times come in order: those of one second stand together.
            let end_ns = self.start_ns + (u64::from(number) + 1) * 1_000_000_000;
            let (these, later) = rest.split_at(rest.partition_point(|at_ns| *at_ns < end_ns).max(1));
            rest = later;
            let shard = &mut *self.shard;
            let times = if number >= shard.taken {
                open(shard.seconds.entry(number).or_default())
            } else if (self.measured.0..self.measured.1).contains(&number) {
                late(&mut shard.late)
            } else {
                continue;
            };
            let times = times.get_or_insert_with(self::times);
            for at_ns in these {
                // It grows; only counts of four billion do not fit.
                times.record(now_ns.saturating_sub(*at_ns).div_ceil(1_000)).ok();
            }
        }
    }
}

fn second_of(start_ns: u64, at_ns: u64) -> u32 {
    u32::try_from(at_ns.saturating_sub(start_ns) / 1_000_000_000).unwrap_or(u32::MAX)
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_stall_stands_where_it_began() {
        let recorder = Recorder::new(100 * S, (0, 60));
        recorder.writer(0).acked(&[100 * S, 100 * S + S / 2, 101 * S, 103 * S], 105 * S);
        recorder.count(0, 105 * S, |counts| counts.acked_records += 4);
        let seconds = recorder.take(None);
        let acks: Vec<_> = seconds.iter().filter_map(|(n, s)| s.ack.as_ref().map(|times| (*n, times.len()))).collect();
        assert_eq!(acks, [(0, 2), (1, 1), (3, 1)]);
        assert_eq!(seconds[0].1.ack.as_ref().unwrap().max() / 100_000, 50, "five seconds in microseconds");
        assert_eq!((seconds[3].0, seconds[3].1.counts.acked_records), (5, 4));
    }

    #[test]
    fn a_second_is_taken_once_and_what_comes_later_is_kept() {
        let recorder = Recorder::new(0, (0, 60));
        recorder.writer(0).acked(&[0], S);
        recorder.writer(1).acked(&[1], 2 * S);
        assert!(recorder.take(Some(30 * S)).is_empty());
        let taken = recorder.take(Some(61 * S));
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].1.ack.as_ref().unwrap().len(), 2);
        recorder.writer(0).acked(&[5], 90 * S);
        assert!(recorder.take(None).is_empty());
        recorder.writer(0).taken(5, 7);
        recorder.writer(0).taken(61 * S, 7);
        let late = recorder.take_late();
        assert_eq!((late.ack.unwrap().len(), late.taken), (1, (1, 7)));
    }

    #[test]
    fn times_grow_to_hours() {
        let mut times = times();
        times.record(7_200_000_000).unwrap();
        assert!(times.max() >= 7_200_000_000);
    }
}
