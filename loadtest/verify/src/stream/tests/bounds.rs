//! Memory and speed.

use super::*;

const MIB: usize = 1 << 20;

/// Batches of producers in turn, one partition of a run.
struct Flow {
    judge: PartitionJudge,
    reader: ReaderId,
    producers: u32,
    batch: u64,
    sent: Vec<u64>,
    /// Batches sent, and those read.
    written: u64,
    read: u64,
    end: i64,
    next: i64,
}

impl Flow {
    fn new(producers: u32, batch: u64, settings: Settings) -> Self {
        let mut judge = PartitionJudge::new(place(), settings);
        let reader = judge.reader("tail", Start::Earliest);
        let sent = vec![0; producers as usize];
        Self { judge, reader, producers, batch, sent, written: 0, read: 0, end: 0, next: 0 }
    }

    fn producer_of(&self, batch: u64) -> u32 {
        u32::try_from(batch % u64::from(self.producers)).unwrap()
    }

    fn write(&mut self) {
        let producer = self.producer_of(self.written);
        let first = &mut self.sent[producer as usize];
        self.judge.acked(producer, *first, self.batch, self.end, 0);
        *first += self.batch;
        self.end += i64::try_from(self.batch).unwrap();
        self.written += 1;
    }

    fn read(&mut self) {
        let producer = self.producer_of(self.read);
        let first = self.read / u64::from(self.producers) * self.batch;
        for sequence in first..first + self.batch {
            self.judge.read(self.reader, self.next, Record::Sound { producer, sequence }, 0);
            self.next += 1;
        }
        self.read += 1;
    }

    fn finish(mut self) -> Verdict {
        while self.read < self.written {
            self.read();
        }
        self.judge.leave(self.reader, true);
        let verdict = self.judge.finish();
        assert!(verdict.is_clean() && verdict.unchecked.is_empty(), "{verdict:#?}");
        verdict
    }
}

/// One of eight partitions of an hour at 50 MiB/s of 1 KiB records; every 50th of its seconds is told.
#[test]
fn an_hour_in_flat_memory() {
    let mut flow = Flow::new(4, 64, Settings::default());
    let (per_second, behind) = (6_400 / 64, 2 * 6_400 / 64);
    let mut highest = 0;
    for second in 0..72 {
        for _ in 0..per_second {
            flow.write();
            if flow.written > behind {
                flow.read();
            }
        }
        if second == 10 {
            highest = flow.judge.heap_bytes();
        }
    }
    let bytes = flow.judge.heap_bytes();
    assert!(bytes < MIB / 16, "{bytes} bytes");
    assert!(bytes <= highest + 1_024, "{bytes} bytes after {highest}");
    flow.finish();
}

#[test]
fn ten_thousand_producers() {
    let mut flow = Flow::new(10_000, 1, Settings::default());
    let mut at_first = 0;
    for round in 0..30_u64 {
        for _ in 0..10_000 {
            flow.write();
            if flow.written > 5_000 {
                flow.read();
            }
        }
        if round == 3 {
            at_first = flow.judge.heap_bytes();
        }
    }
    let bytes = flow.judge.heap_bytes();
    assert!(bytes < 8 * MIB, "{bytes} bytes");
    assert!(bytes <= at_first + at_first / 20, "{bytes} bytes after {at_first}");
    flow.finish();
}

#[test]
fn a_reader_that_reads_nothing_for_long() {
    let settings = Settings { pending_max: 1_000, ..Settings::default() };
    let mut flow = Flow::new(4, 8, settings);
    let mut at_first = 0;
    for batch in 0..40_000 {
        flow.write();
        if batch == 10_000 {
            at_first = flow.judge.heap_bytes();
        }
    }
    let bytes = flow.judge.heap_bytes();
    assert!(bytes < MIB / 8 && bytes <= at_first + 4_096, "{bytes} bytes after {at_first}");
    assert!(flow.judge.pending.waiting <= 1_000);
    let verdict = flow.finish();
    assert_eq!(verdict.counts.offsets_compared + verdict.counts.offsets_by_digest, 320_000);
    assert!(verdict.counts.offsets_by_digest >= 300_000, "{verdict:#?}");
}

#[test]
fn one_wrong_offset_among_many_that_waited_too_long() {
    let settings = Settings { pending_max: 0, ..Settings::default() };
    let mut flow = Flow::new(2, 50_000, settings);
    for batch in 0..6 {
        flow.end += i64::from(batch == 4);
        flow.write();
        flow.end -= i64::from(batch == 4);
    }
    while flow.read < flow.written {
        flow.read();
    }
    flow.judge.leave(flow.reader, true);
    let verdict = flow.judge.finish();
    assert_eq!(verdict.findings.keys().collect::<Vec<_>>(), [&Kind::WrongOffset], "{verdict:#?}");
    let example = &verdict.findings[&Kind::WrongOffset].examples[0];
    assert!(example.contains("producer 0 from 65536 to 131071"), "{example}");
}

#[test]
fn readers_that_come_and_go() {
    let mut flow = Flow::new(4, 5, Settings::default());
    let mut at_first = 0;
    for round in 0..3_000 {
        for _ in 0..4 {
            flow.write();
            flow.read();
        }
        let name = format!("tail-{round}");
        let late = flow.judge.reader(&name, Start::Anywhere);
        flow.judge.leave(std::mem::replace(&mut flow.reader, late), false);
        if round == 500 {
            at_first = flow.judge.heap_bytes();
        }
    }
    let bytes = flow.judge.heap_bytes();
    assert!(bytes <= at_first + 3_000 * 16, "{bytes} bytes after {at_first}");
    flow.finish();
}

#[test]
fn too_many_stretches_are_told() {
    let mut judge = PartitionJudge::new(place(), Settings::default());
    let reader = judge.reader("tail", Start::Earliest);
    for pair in 0..12_000 {
        judge.acked(1, pair * 2, 1, i64::try_from(pair).unwrap(), 0);
        judge.failed(1, pair * 2 + 1, 1);
        judge.read(reader, i64::try_from(pair).unwrap(), sound(1, pair * 2), 0);
    }
    judge.leave(reader, true);
    let verdict = judge.finish();
    assert!(verdict.is_clean(), "{verdict:#?}");
    assert!(verdict.unchecked[0].contains("from record 20000 on only order was"), "{verdict:#?}");
    assert_eq!(verdict.counts.offsets_compared, 12_000);
}

/// Far below what is reached, so that a busy machine does not fail it: 5 million a second are wanted.
#[test]
fn reads_cost_little() {
    let mut flow = Flow::new(4, 100, Settings::default());
    let count = if cfg!(debug_assertions) { 2_000 } else { 50_000 };
    (0..count).for_each(|_| flow.write());
    #[expect(clippy::disallowed_methods, reason = "a stopwatch")]
    let began = std::time::Instant::now();
    (0..count).for_each(|_| flow.read());
    let (records, seconds) = (count as f64 * 100.0, began.elapsed().as_secs_f64());
    println!("{:.1} million records/s", records / seconds / 1e6);
    assert!(records / seconds > 100_000.0, "{seconds} s for {records} records");
    flow.finish();
}
