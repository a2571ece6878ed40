//! Compares the offset that an ack says with the one at which the record is read, whichever comes first.

use super::{
    Kind,
    findings::seconds,
    folded::{Compared, Folded},
    intervals::Full,
    lane::Lane,
    reader::Surroundings,
    sight::Sighting,
    waiting::Run,
};

/// Bounds what waits in all lanes.
#[derive(Debug)]
pub(super) struct Pending {
    /// Stretches.
    pub waiting: usize,
    /// Of them.
    pub max: usize,
}

/// A record was read that its reader had not seen: its ack is here, or will come, or another reader was first.
#[inline]
pub(super) fn meet_ack(
    lane: &mut Lane,
    sighting: Sighting,
    name: &str,
    pending: &mut Pending,
    judge: &mut Surroundings<'_>,
) {
    let Sighting { sequence, offset, .. } = sighting;
    let before = lane.acks.len();
    if let Some(acked_offset) = lane.acks.take_one(sequence) {
        pending.waiting = pending.waiting + lane.acks.len() - before;
        judge.findings.verdict.counts.offsets_compared += 1;
        if acked_offset != offset {
            let producer = lane.producer;
            judge.findings.note(Kind::WrongOffset, 1, || {
                format!(
                    "record {sequence} of producer {producer} was acknowledged at offset {acked_offset}; \
                         {name} got it at offset {offset}, after {}",
                    seconds(sighting.at_ns)
                )
            });
        }
        lane.remember_met(Run { first: sequence, count: 1, offset: acked_offset });
        return;
    }
    meet_later(lane, Run { first: sequence, count: 1, offset }, pending, judge);
}

/// The ack is among the folded ones, or is not here.
fn meet_later(lane: &mut Lane, read: Run, pending: &mut Pending, judge: &mut Surroundings<'_>) {
    let sequence = read.first;
    let awaited = lane.folded_acks.as_ref().is_some_and(|folded| folded.awaits(sequence));
    if let Some(folded) = lane.folded_acks.as_mut().filter(|_| awaited) {
        let compared = folded.meet(lane.producer, sequence, read.offset, judge.budget);
        report(lane.producer, compared, judge);
        return;
    }
    let known = lane.settled(sequence) || !lane.keeps(sequence);
    let read_before = lane.reads.within(sequence, sequence + 1).next().is_some();
    let folded = lane.folded_reads.as_ref().is_some_and(|folded| folded.awaits(sequence));
    if !known && !read_before && !folded {
        let before = lane.waiting();
        lane.reads.push(read);
        pending.waiting = pending.waiting + lane.waiting() - before;
        fold_oldest(lane, pending, judge);
    }
}

/// An ack of records that none has been heard of: those that have been read are compared, the others wait.
pub(super) fn meet_reads(lane: &mut Lane, ack: Run, at_ns: u64, pending: &mut Pending, judge: &mut Surroundings<'_>) {
    let before = lane.waiting();
    let mut met: Vec<Run> = Vec::new();
    lane.reads.take(ack.first, ack.end(), |read| met.push(read));
    let mut left = vec![(ack.first, ack.end())];
    for read in &met {
        let said = ack.part(read.first, read.end());
        judge.findings.verdict.counts.offsets_compared += read.count;
        if said.offset != read.offset {
            let (producer, after) = (lane.producer, seconds(at_ns));
            judge.findings.note(Kind::WrongOffset, read.count, || {
                let Run { first, offset, .. } = read;
                format!(
                    "record {first} of producer {producer} had been read at offset {offset}; \
                         it was acknowledged at offset {}, after {after}",
                    said.offset
                )
            });
        }
        lane.remember_met(said);
        cut(&mut left, read.first, read.end());
    }
    if let Some(folded) = &mut lane.folded_reads {
        for (from, to) in folded.awaited(ack.first, ack.end()) {
            for sequence in from..to {
                let compared = folded.meet(lane.producer, sequence, ack.offset_of(sequence), judge.budget);
                report(lane.producer, compared, judge);
            }
            cut(&mut left, from, to);
        }
    }
    for (from, to) in left {
        lane.acks.push(ack.part(from, to));
    }
    pending.waiting = pending.waiting + lane.waiting() - before;
    fold_oldest(lane, pending, judge);
}

/// Reads of these will never be acknowledged.
pub(super) fn forget_reads(lane: &mut Lane, from: u64, to: u64, pending: &mut Pending) {
    let before = lane.waiting();
    lane.reads.take(from, to, |_| {});
    pending.waiting = pending.waiting + lane.waiting() - before;
}

/// Makes room: the lane's oldest go into sums.
fn fold_oldest(lane: &mut Lane, pending: &mut Pending, judge: &mut Surroundings<'_>) {
    while pending.waiting > pending.max {
        let acks = lane.acks.len() >= lane.reads.len();
        let (side, folded) =
            if acks { (&mut lane.acks, &mut lane.folded_acks) } else { (&mut lane.reads, &mut lane.folded_reads) };
        let Some(run) = side.pop_front() else {
            return;
        };
        pending.waiting -= 1;
        if folded.get_or_insert_with(Box::<Folded>::default).fold(lane.producer, run, judge.budget) == Err(Full) {
            // Counted at the end among those whose offsets were not compared.
            lane.give_up(run.first);
        }
    }
}

fn report(producer: u32, compared: Option<Compared>, judge: &mut Surroundings<'_>) {
    let Some(Compared { range: (from, to), records, equal }) = compared else {
        return;
    };
    judge.findings.verdict.counts.offsets_by_digest += records;
    if !equal {
        judge.findings.note(Kind::WrongOffset, 1, || {
            format!(
                "at least one of {records} records of producer {producer} from {from} to {} was not read at the \
                     offset of its ack; they had waited too long to be compared one by one",
                to - 1
            )
        });
    }
}

/// Takes `from..to` out of stretches.
fn cut(stretches: &mut Vec<(u64, u64)>, from: u64, to: u64) {
    let rest = |&(start, end): &(u64, u64)| [(start, from.min(end)), (to.max(start), end)];
    *stretches = stretches.iter().flat_map(rest).filter(|(start, end)| start < end).collect();
}
