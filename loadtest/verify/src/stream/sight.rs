//! What one record says of its lane, in the eyes of one reader.

use super::{
    Kind, Record,
    findings::seconds,
    folded::{mix, scramble},
    intervals::{Full, Intervals},
    judge::NUMBER_MAX,
    lane::{Lane, View},
    reader::{Came, Reader, Surroundings},
};

/// A sound record that a reader got.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    pub sequence: u64,
    pub offset: i64,
    pub at_ns: u64,
}

/// Judges the record's place in its lane. Whether the reader has it for the first time.
#[inline]
pub(super) fn observe(
    reader: &mut Reader,
    at: usize,
    lane: &mut Lane,
    came: Came,
    sighting: Sighting,
    judge: &mut Surroundings<'_>,
) -> bool {
    let from_start = reader.from_start;
    let view = reader.view(at);
    let sequence = sighting.sequence;
    if came == Came::New && view.from.is_some() && sequence == view.seen.end() && lane.keeps(sequence + 1) {
        view.top = sequence + 1;
        return judge.budget.insert(&mut view.seen, sequence, sequence + 1).is_ok();
    }
    if sequence >= NUMBER_MAX {
        let producer = lane.producer;
        judge
            .findings
            .note(Kind::NeverSent, 1, || format!("{sighting} is of producer {producer}, which never sent it"));
        return false;
    }
    match came {
        Came::New | Came::Late => {
            view.from.get_or_insert(if from_start { 0 } else { sequence });
            in_order(reader, at, lane, sighting, judge)
        }
        Came::Again => {
            view.from = Some(view.from.map_or(sequence, |from| from.min(sequence)));
            read_again(reader, at, lane, sighting, judge)
        }
        Came::Unasked => false,
    }
}

/// A reader got damaged bytes, or another run's record. What it adds to the sums.
#[cold]
pub(super) fn not_sound(
    reader: &mut Reader,
    came: Came,
    (offset, at_ns): (i64, u64),
    record: Record,
    damaged: &mut Intervals,
    judge: &mut Surroundings<'_>,
) -> u64 {
    let after = seconds(at_ns);
    let name = &reader.name;
    match record {
        Record::Corrupt(how) => {
            judge.findings.note(Kind::Corrupted, 1, || {
                format!("{name} got bytes at offset {offset} that nobody sent, after {after}: {how}")
            });
            judge.cover(damaged, offset, offset + 1);
            reader.spoil(came);
        }
        Record::Foreign => judge
            .findings
            .note(Kind::Foreign, 1, || format!("{name} got a record of another run at offset {offset}, after {after}")),
        Record::Sound { .. } => {}
    }
    match (came, record) {
        (Came::New | Came::Late, Record::Corrupt(_)) => reader.damaged += 1,
        (Came::Again, Record::Corrupt(_)) => reader.damaged_again += 1,
        _ => {}
    }
    scramble(mix(offset, u32::MAX, u64::MAX))
}

fn in_order(reader: &mut Reader, at: usize, lane: &mut Lane, sighting: Sighting, judge: &mut Surroundings<'_>) -> bool {
    let Sighting { sequence, .. } = sighting;
    let kept = lane.keeps(sequence);
    let view = reader.view(at);
    let added = if kept { judge.budget.insert(&mut view.seen, sequence, sequence + 1) } else { Err(Full) };
    let (late, top) = (sequence < view.top, view.top);
    view.top = top.max(sequence + 1);
    let (name, producer) = (&reader.name, lane.producer);
    match added {
        Ok(0) => {
            judge.findings.note(Kind::Duplicated, 1, || {
                format!("{name} got {sighting} of producer {producer} a second time, at a further offset")
            });
            return false;
        }
        Err(Full) if kept => lane.give_up(sequence),
        Ok(_) | Err(Full) => {}
    }
    // What was given up may land whenever it likes.
    if late && !lane.unknown.contains(sequence) {
        judge.findings.note(Kind::Reordered, 1, || {
            let repeated = if added == Err(Full) { " late or a second time," } else { "" };
            format!("{name} got {sighting} of producer {producer}{repeated} after record {} of it", top - 1)
        });
    }
    true
}

/// The reader had been past this offset. It must get the lane's records again in the same order.
fn read_again(
    reader: &mut Reader,
    at: usize,
    lane: &mut Lane,
    sighting: Sighting,
    judge: &mut Surroundings<'_>,
) -> bool {
    let Sighting { sequence, .. } = sighting;
    let pass = reader.pass;
    let view = reader.view(at);
    // One of unknown outcome stands where it landed, wherever that was, and so it does when it is read again.
    if lane.unknown.contains(sequence) {
        return insert_again(view, lane, sequence, judge);
    }
    if view.pass != pass {
        (view.pass, view.again) = (pass, (sequence, sequence));
    }
    let (first, next) = view.again;
    let is_ahead = sequence > next;
    let passed_over: u64 = if is_ahead {
        let seen = view.seen.within(next, sequence);
        seen.flat_map(|(from, to)| lane.unknown.missing(from, to)).map(|(from, to)| to - from).sum()
    } else {
        0
    };
    let before = sequence < next;
    view.again = (first.min(sequence), next.max(sequence + 1));
    let new = insert_again(view, lane, sequence, judge);
    // A record that came damaged is missing here, but has been found already.
    let excused = passed_over.min(reader.damaged_again);
    reader.damaged_again -= excused;
    let (name, producer) = (&reader.name, lane.producer);
    judge.findings.note(Kind::Skipped, passed_over - excused, || {
        format!(
            "{name} read again and got {sighting} of producer {producer} next after record {}",
            next.saturating_sub(1)
        )
    });
    if before {
        let kind = if sequence >= first { Kind::Duplicated } else { Kind::Reordered };
        judge.findings.note(kind, 1, || {
            format!("{name} read again and got {sighting} of producer {producer} after record {}", next - 1)
        });
    }
    new
}

fn insert_again(view: &mut View, lane: &mut Lane, sequence: u64, judge: &mut Surroundings<'_>) -> bool {
    if !lane.keeps(sequence) {
        return false;
    }
    match judge.budget.insert(&mut view.seen, sequence, sequence + 1) {
        Ok(added) => {
            view.top = view.top.max(sequence + 1);
            added > 0
        }
        Err(Full) => {
            lane.give_up(sequence);
            true
        }
    }
}

impl std::fmt::Display for Sighting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "record {} (offset {}, after {})", self.sequence, self.offset, seconds(self.at_ns))
    }
}
