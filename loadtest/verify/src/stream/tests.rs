//! Logs that are right, and logs with one thing wrong.

mod bounds;
mod kinds;
mod later;
mod parts;
mod random;
mod right;

use super::*;

/// Records of a log, in the order of their offsets.
type Slots = Vec<Record>;

/// An ack: producer, first sequence, records, base offset.
type Ack = (u32, u64, u64, i64);

/// When the judge hears of acks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acks {
    BeforeReads,
    AfterReads,
    InBetween,
}

const ORDERS: [Acks; 3] = [Acks::BeforeReads, Acks::AfterReads, Acks::InBetween];

/// What happened to a log, to be told to a judge in more than one order.
#[derive(Debug, Clone)]
struct Story {
    acks: Vec<Ack>,
    failed: Vec<(u32, u64, u64)>,
    unknown: Vec<(u32, u64, u64)>,
    readers: Vec<Reading>,
    gaps: bool,
}

/// What one reader got.
#[derive(Debug, Clone)]
struct Reading {
    start: Start,
    steps: Vec<Step>,
    complete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Read(i64, Record),
    Reposition(i64),
}

fn sound(producer: u32, sequence: u64) -> Record {
    Record::Sound { producer, sequence }
}

fn place() -> Place {
    Place { topic: "rides".to_owned(), partition: 3 }
}

/// Producers 1 and 2 in turn, batches of 5, 20 batches: offsets 0 to 99.
fn two_producers() -> (Slots, Vec<Ack>) {
    let batch = |at: u64| (u32::try_from(at % 2).unwrap() + 1, at / 2 * 5, 5, i64::try_from(at * 5).unwrap());
    let acks: Vec<Ack> = (0..20).map(batch).collect();
    let records = |ack: &Ack| (ack.1..ack.1 + ack.2).map(|sequence| sound(ack.0, sequence)).collect::<Vec<_>>();
    (acks.iter().flat_map(records).collect(), acks)
}

fn steps(slots: &[Record]) -> Vec<Step> {
    (0..).zip(slots).map(|(offset, record)| Step::Read(offset, *record)).collect()
}

impl Reading {
    fn whole(slots: &[Record]) -> Self {
        Self { start: Start::Earliest, steps: steps(slots), complete: true }
    }
}

impl Story {
    /// One reader reads it all.
    fn of(slots: &[Record], acks: Vec<Ack>) -> Self {
        Self { acks, failed: Vec::new(), unknown: Vec::new(), readers: vec![Reading::whole(slots)], gaps: false }
    }

    fn and_read(mut self, steps: Vec<Step>) -> Self {
        self.readers.push(Reading { start: Start::Earliest, steps, complete: true });
        self
    }

    fn tell(&self, order: Acks, pending_max: usize) -> PartitionJudge {
        let settings = Settings { pending_max, gaps: self.gaps, ..Settings::default() };
        let mut judge = PartitionJudge::new(place(), settings);
        self.tell_to(&mut judge, order);
        judge
    }

    fn tell_to(&self, judge: &mut PartitionJudge, order: Acks) {
        let ack = |judge: &mut PartitionJudge, ack: &Ack| judge.acked(ack.0, ack.1, ack.2, ack.3, 1_500_000_000);
        let mut waiting = self.acks.iter();
        if order == Acks::BeforeReads {
            waiting.by_ref().for_each(|next| ack(judge, next));
        }
        let names = (0..).map(|number| format!("reader {number}"));
        let ids: Vec<_> = names.zip(&self.readers).map(|(name, reading)| judge.reader(&name, reading.start)).collect();
        let longest = self.readers.iter().map(|reading| reading.steps.len()).max().unwrap_or(0);
        for at in 0..longest {
            for (id, reading) in ids.iter().zip(&self.readers) {
                match reading.steps.get(at) {
                    Some(Step::Read(offset, record)) => judge.read(*id, *offset, *record, 2_000_000_000),
                    Some(Step::Reposition(offset)) => judge.reposition(*id, *offset),
                    None => {}
                }
            }
            if order == Acks::InBetween && at % 7 == 0 {
                waiting.by_ref().take(2).for_each(|next| ack(judge, next));
            }
        }
        waiting.for_each(|next| ack(judge, next));
        self.failed.iter().for_each(|failed| judge.failed(failed.0, failed.1, failed.2));
        self.unknown.iter().for_each(|unknown| judge.unknown(unknown.0, unknown.1, unknown.2));
        for (id, reading) in ids.iter().zip(&self.readers) {
            judge.leave(*id, reading.complete);
        }
    }

    /// Whatever the order in which the judge hears of it, and however little it may keep, it finds just this.
    #[track_caller]
    fn shows(&self, kind: Kind, count: u64) {
        for order in ORDERS {
            for pending_max in [65_536, 3, 0] {
                let verdict = self.tell(order, pending_max).finish();
                let found: Vec<_> = verdict.findings.keys().collect();
                assert_eq!(found, [&kind], "{order:?}, {pending_max} wait: {verdict:#?}");
                let found = &verdict.findings[&kind];
                let in_sums = kind == Kind::WrongOffset && pending_max < 65_536;
                assert!(found.count == count || in_sums, "{order:?}, {pending_max} wait: {verdict:#?}");
                assert!(found.examples[0].starts_with("rides/3: "), "{found:?}");
            }
        }
    }

    #[track_caller]
    fn is_right(&self) -> Verdict {
        for order in ORDERS {
            for pending_max in [3, 0] {
                let verdict = self.tell(order, pending_max).finish();
                assert!(verdict.is_clean(), "{order:?}, {pending_max} wait: {verdict:#?}");
                assert!(verdict.unchecked.is_empty(), "{order:?}, {pending_max} wait: {verdict:#?}");
            }
        }
        let verdict = self.tell(Acks::BeforeReads, 65_536).finish();
        assert!(verdict.is_clean() && verdict.unchecked.is_empty(), "{verdict:#?}");
        verdict
    }
}
