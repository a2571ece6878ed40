//! A reader leaves: what it has seen is kept for all, what it has missed is judged, and its memory is given back.

use super::{
    Kind, PartitionJudge, ReaderId,
    findings::{offsets, records},
    intervals::{Budget, Intervals},
    lane::{Lane, View},
    reader::{Reader, Surroundings},
};

/// Readers that are remembered because their offsets jumped.
const JUMPS_MAX: usize = 1_000;

/// A reader that has left and was not given some offsets.
#[derive(Debug)]
pub(super) struct Jump {
    pub name: String,
    pub jumped: Intervals,
    /// Records that the others had seen when it left, and it had not.
    pub skipped: u64,
}

/// Records of a producer, half open.
type Stretch = (u32, u64, u64);

impl PartitionJudge {
    /// The reader is done. `complete`: it was to have read up to the end, so whatever is known to have been sent by
    /// now has to be there; else only what lies below the last offset that it got is judged.
    pub fn leave(&mut self, reader: ReaderId, complete: bool) {
        if let Some(mut reader) = self.take_reader(reader) {
            self.fold_seen(&mut reader);
            self.judge_views(&mut reader, complete);
        }
    }

    /// Adds what the reader has seen to what is seen by anybody.
    pub(super) fn fold_seen(&mut self, reader: &mut Reader) {
        reader.settle(&mut self.surroundings());
        for other in self.readers.iter_mut().flatten() {
            other.look(&self.blocks);
        }
        let Self { lanes, budget, covered, findings, blocks, .. } = self;
        let mut judge = Surroundings { blocks, budget, findings };
        for (from, to) in reader.covered.iter() {
            judge.cover(covered, from.cast_signed(), to.cast_signed());
        }
        for (view, lane) in reader.views.iter().zip(lanes) {
            for (from, to) in view.seen.iter() {
                lane.keep(judge.budget, |lane| &mut lane.seen_by_left().seen, from, to);
            }
        }
    }

    /// Judges what the reader has not seen, and takes its memory.
    pub(super) fn judge_views(&mut self, reader: &mut Reader, complete: bool) {
        let mut skipped: Vec<Stretch> = Vec::new();
        let none = View::default();
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            let view = reader.views.get(at).unwrap_or(&none);
            judge_view(lane, view, reader.from_start, complete, &mut self.budget, &mut skipped);
            if reader.low.is_some() {
                judge_waiting_acks(lane, view, reader, complete, &mut self.budget);
            }
        }
        let total = skipped.iter().map(|(_, from, to)| to - from).sum::<u64>();
        // A record that came damaged is missing from its lane, but has been found already.
        let excused = total.min(reader.damaged);
        self.excused = self.excused.max(reader.damaged - excused);
        for (producer, from, to) in after(skipped, excused) {
            self.findings.note(Kind::Skipped, to - from, || {
                let records = records(from, to);
                format!("{} was not given {records} of producer {producer}, which another reader got", reader.name)
            });
        }
        for view in std::mem::take(&mut reader.views) {
            self.budget.release(&view.seen);
        }
        self.budget.release(&std::mem::take(&mut reader.covered));
        self.remember_jump(reader, total);
    }

    fn remember_jump(&mut self, reader: &mut Reader, skipped: u64) {
        let jumped = std::mem::take(&mut reader.jumped);
        if jumped.is_empty() {
            return;
        }
        if self.jumps.len() < JUMPS_MAX {
            self.jumps.push(Jump { name: reader.name.clone(), jumped, skipped });
            return;
        }
        self.budget.release(&jumped);
        for (from, to) in jumped.iter() {
            let (from, to) = (from.cast_signed(), to.cast_signed());
            self.findings
                .note(Kind::Gap, from.abs_diff(to), || format!("{} was not given {}", reader.name, offsets(from, to)));
        }
    }
}

impl Jump {
    pub fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.name.capacity() + self.jumped.heap_bytes()
    }
}

/// Sequences that the reader should have seen: skipped where another one has seen them, else missed for now.
fn judge_view(
    lane: &mut Lane,
    view: &View,
    from_start: bool,
    complete: bool,
    budget: &mut Budget,
    skipped: &mut Vec<Stretch>,
) {
    let (from, to) = match view.from {
        Some(from) if complete => (from, view.top.max(lane.top())),
        Some(from) => (from, view.top),
        None if complete && from_start => (0, lane.top()),
        None => return,
    };
    let to = lane.limit.map_or(to, |limit| to.min(limit));
    let mut missed = Vec::new();
    let none = Intervals::default();
    let seen = lane.left.as_ref().map_or(&none, |left| &left.seen);
    // One of unknown outcome may have landed behind where the reader left, unless that was the end.
    let landed_later = if complete { &none } else { &lane.unknown };
    let missing = view.seen.missing(from, to);
    let missing = missing.flat_map(|(start, end)| lane.failed.missing(start, end));
    for (start, end) in missing.flat_map(|(start, end)| landed_later.missing(start, end)) {
        skipped.extend(seen.within(start, end).map(|(start, end)| (lane.producer, start, end)));
        missed.extend(seen.missing(start, end));
    }
    for (start, end) in missed {
        lane.keep(budget, |lane| &mut lane.seen_by_left().missed, start, end);
    }
}

/// Acks that wait though the reader has passed their offsets: it has missed the records, even those that end a lane.
fn judge_waiting_acks(lane: &mut Lane, view: &View, reader: &Reader, complete: bool, budget: &mut Budget) {
    let low = reader.low.unwrap_or(0);
    let high = if complete { i64::MAX } else { reader.high };
    let mut missed = Vec::new();
    let mut jumped = Vec::new();
    for run in lane.acks.iter() {
        let (first, last) = (low.max(run.offset), high.min(run.offset_of(run.end())));
        if first >= last {
            continue;
        }
        let sequence = |offset: i64| run.first + offset.abs_diff(run.offset);
        for (from, to) in view.seen.missing(sequence(first), sequence(last)) {
            missed.push((from, to));
            let (start, end) = (run.offset_of(from).cast_unsigned(), run.offset_of(to).cast_unsigned());
            for (start, end) in reader.jumped.within(start, end) {
                jumped.push((sequence(start.cast_signed()), sequence(end.cast_signed())));
            }
        }
    }
    let none = Intervals::default();
    let seen = lane.left.as_ref().map_or(&none, |left| &left.seen);
    let missed: Vec<_> = missed.into_iter().flat_map(|(from, to)| seen.missing(from, to)).collect();
    for (from, to) in missed {
        lane.keep(budget, |lane| &mut lane.seen_by_left().missed, from, to);
    }
    for (from, to) in jumped {
        let twice: Vec<_> = lane.seen_by_left().jumped.within(from, to).collect();
        for (from, to) in twice {
            lane.keep(budget, |lane| &mut lane.seen_by_left().jumped_again, from, to);
        }
        lane.keep(budget, |lane| &mut lane.seen_by_left().jumped, from, to);
    }
}

/// The stretches without their first `left_out` records.
fn after(stretches: Vec<Stretch>, mut left_out: u64) -> impl Iterator<Item = Stretch> {
    stretches.into_iter().filter_map(move |(producer, from, to)| {
        let cut = left_out.min(to - from);
        left_out -= cut;
        (from + cut < to).then_some((producer, from + cut, to))
    })
}
