//! What became of the records that were sent.

use super::{
    Kind, PartitionJudge,
    compare::{forget_reads, meet_reads},
    findings::{records, seconds},
    intervals::Intervals,
    judge::NUMBER_MAX,
    lane::Lane,
    reader::Surroundings,
    waiting::Run,
};

impl PartitionJudge {
    /// Records `first..first + count` of `producer` are acknowledged at `base_offset` and the offsets after it,
    /// `at_ns` nanoseconds after the run began. A negative `base_offset` is an ack that says no offset. Once for
    /// each batch, however often it was sent.
    pub fn acked(&mut self, producer: u32, first: u64, count: u64, base_offset: i64, at_ns: u64) {
        let Some((at, end)) = self.sent(producer, first, count) else {
            return;
        };
        let has_offset = base_offset.cast_unsigned() <= NUMBER_MAX;
        if has_offset {
            self.end = self.end.max(base_offset.checked_add_unsigned(count));
        }
        let lane = &mut self.lanes[at];
        let mut judge =
            Surroundings { blocks: &mut self.blocks, budget: &mut self.budget, findings: &mut self.findings };
        let ack = Run { first, count, offset: base_offset };
        let in_order = first >= lane.acked.end() && lane.acks.iter().next_back().is_none_or(|run| run.end() <= first);
        let fresh = if in_order { vec![(first, end)] } else { acked_before(lane, ack, has_offset, at_ns, &mut judge) };
        for (from, to) in fresh {
            judge.findings.verdict.counts.acked += to - from;
            lane.keep(judge.budget, |lane| &mut lane.acked, from, to);
            if has_offset {
                meet_reads(lane, ack.part(from, to), at_ns, &mut self.pending, &mut judge);
            } else {
                forget_reads(lane, from, to, &mut self.pending);
            }
        }
    }

    /// These records are definitely not in the log and never will be.
    pub fn failed(&mut self, producer: u32, first: u64, count: u64) {
        if let Some((at, end)) = self.sent(producer, first, count) {
            let lane = &mut self.lanes[at];
            let added = lane.keep(&mut self.budget, |lane| &mut lane.failed, first, end);
            self.findings.verdict.counts.failed += added;
            forget_reads(lane, first, end, &mut self.pending);
        }
    }

    /// Nobody knows whether these records are in the log.
    pub fn unknown(&mut self, producer: u32, first: u64, count: u64) {
        if let Some((at, end)) = self.sent(producer, first, count) {
            let lane = &mut self.lanes[at];
            lane.keep(&mut self.budget, |lane| &mut lane.unknown, first, end);
            forget_reads(lane, first, end, &mut self.pending);
        }
    }

    /// The lane, and one above the last sequence.
    fn sent(&mut self, producer: u32, first: u64, count: u64) -> Option<(usize, u64)> {
        let end = first.checked_add(count).filter(|end| *end <= NUMBER_MAX && count > 0)?;
        let at = self.index.get_or_add(producer, &mut self.lanes);
        if at.is_none() {
            self.findings.unchecked("there are more producers than are kept");
        }
        Some((at?, end))
    }
}

/// Compares an ack with earlier ones of the same records; what it acknowledges for the first time.
#[cold]
fn acked_before(lane: &Lane, ack: Run, has_offset: bool, at_ns: u64, judge: &mut Surroundings<'_>) -> Vec<(u64, u64)> {
    let mut known = Intervals::default();
    let met = lane.met.filter(|met| met.first < ack.end() && ack.first < met.end());
    let met = met.map(|met| met.part(met.first.max(ack.first), met.end().min(ack.end())));
    for earlier in lane.acks.within(ack.first, ack.end()).chain(met) {
        known.insert(earlier.first, earlier.end());
        let said = ack.part(earlier.first, earlier.end());
        if has_offset && said.offset != earlier.offset {
            let (producer, after) = (lane.producer, seconds(at_ns));
            judge.findings.note(Kind::Duplicated, earlier.count, || {
                let (records, first, second) = (records(said.first, said.end()), earlier.offset, said.offset);
                format!(
                    "{records} of producer {producer}: acknowledged at offset {first} and again at offset {second}, \
                         after {after}"
                )
            });
        }
    }
    for (from, to) in lane.acked.within(ack.first, ack.end()) {
        if known.insert(from, to) > 0 && has_offset {
            let sentence = "some records were acknowledged again long after they had been read; \
                            the offsets of the later acks were not compared";
            judge.findings.unchecked(sentence);
        }
    }
    known.missing(ack.first, ack.end()).collect()
}
