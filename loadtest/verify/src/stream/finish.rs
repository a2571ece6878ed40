//! The end: judges what only shows when all readers have left.

use super::{
    Kind, PartitionJudge, Verdict,
    findings::{Findings, offsets, records},
    intervals::{Intervals, SET_INTERVALS_MAX},
    lane::{Lane, Left},
};

/// What is summed over lanes.
#[derive(Debug, Default)]
struct Sums {
    /// Acknowledged and never passed by any reader.
    unread: u64,
    /// Acknowledged and seen.
    confirmed: u64,
    /// Missed by readers that had left before another one saw it.
    skipped_later: u64,
    /// Offsets of acks that nobody could confirm.
    claimed: Intervals,
}

/// A lane's sets without what it gave up on.
struct Sets {
    acked: Intervals,
    failed: Intervals,
    unknown: Intervals,
    left: Left,
}

impl PartitionJudge {
    /// Judges what is left. Readers that have not left leave now, as incomplete ones. The caller has told the outcome
    /// of every record by now, if only as unknown: others that were read were never sent. A second call says the same
    /// again.
    pub fn finish(&mut self) -> Verdict {
        if !self.finished {
            self.finished = true;
            let mut readers: Vec<_> = self.readers.iter_mut().filter_map(Option::take).collect();
            for reader in &mut readers {
                self.fold_seen(reader);
            }
            for mut reader in readers {
                self.judge_views(&mut reader, false);
            }
            let sums = self.judge_lanes();
            self.judge_jumps(&sums);
            self.say_unchecked(&sums);
        }
        self.findings.verdict.clone()
    }

    fn judge_lanes(&mut self) -> Sums {
        let Self { lanes, findings, damaged, excused, .. } = self;
        let mut sums = Sums::default();
        for lane in lanes {
            if let Some(limit) = lane.limit {
                findings.unchecked(&format!(
                    "producer {} has more than {SET_INTERVALS_MAX} stretches, or all producers together too many; \
                     from record {limit} on only order was checked, and offsets where the ack came first",
                    lane.producer
                ));
            }
            let sets = Sets::of(lane);
            judge_lost(lane, &sets, damaged, excused, &mut sums, findings);
            judge_others(lane.producer, &sets, excused, &mut sums, findings);
            let seen = &sets.left.seen;
            let unknown = sets.unknown.minus(&sets.acked).minus(&sets.failed);
            let visible = unknown.and(seen).total();
            findings.verdict.counts.unknown_visible += visible;
            findings.verdict.counts.unknown_absent += unknown.total() - visible;
            sums.confirmed += sets.acked.and(seen).total();
        }
        sums
    }

    /// Offsets that readers were not given: the others', or nobody's.
    fn judge_jumps(&mut self, sums: &Sums) {
        let mut by_lanes = sums.skipped_later + self.jumps.iter().map(|jump| jump.skipped).sum::<u64>();
        let mut told = Intervals::default();
        for jump in &self.jumps {
            for (from, to) in jump.jumped.and(&self.covered).iter() {
                let known = by_lanes.min(to - from);
                by_lanes -= known;
                self.findings.note(Kind::Skipped, to - from - known, || {
                    let offsets = offsets(from.cast_signed(), to.cast_signed());
                    format!("{} was not given {offsets}, where another reader got records", jump.name)
                });
            }
            for (from, to) in jump.jumped.minus(&self.covered).minus(&sums.claimed).minus(&told).iter() {
                told.insert(from, to);
                self.findings.note(Kind::Gap, to - from, || {
                    let offsets = offsets(from.cast_signed(), to.cast_signed());
                    format!(
                        "{} was given nothing at {offsets}, but higher offsets; no reader got a record there and \
                             no ack speaks of one",
                        jump.name
                    )
                });
            }
        }
    }

    fn say_unchecked(&mut self, sums: &Sums) {
        let counts = &mut self.findings.verdict.counts;
        counts.blocks_compared = self.blocks.compared;
        let compared = counts.offsets_compared + counts.offsets_by_digest;
        let mut sentences = Vec::new();
        if sums.unread > 0 {
            sentences.push(format!("no reader came as far as {} acknowledged records", sums.unread));
        }
        match self.earlier_blocks {
            Some(blocks) if blocks > self.blocks.compared => sentences.push(format!(
                "{} of {blocks} blocks of offsets were not compared with what the run had read",
                blocks - self.blocks.compared
            )),
            None if sums.confirmed > compared => sentences.push(format!(
                "the offsets of {} acknowledged records were not compared with a reader's",
                sums.confirmed - compared
            )),
            _ => {}
        }
        if self.blocks.left_out > 0 {
            sentences.push(format!("there were {} blocks of offsets more than are kept", self.blocks.left_out));
        }
        for sentence in sentences {
            self.findings.unchecked(&sentence);
        }
    }
}

impl Sets {
    fn of(lane: &mut Lane) -> Self {
        let end = lane.limit.unwrap_or(u64::MAX);
        let below = |set: &Intervals| {
            let mut set = set.clone();
            set.remove(end, u64::MAX);
            set
        };
        let left = lane.seen_by_left();
        let left = Left {
            seen: below(&left.seen),
            missed: below(&left.missed),
            jumped: below(&left.jumped),
            jumped_again: below(&left.jumped_again),
        };
        Self { acked: below(&lane.acked), failed: below(&lane.failed), unknown: below(&lane.unknown), left }
    }
}

/// Acknowledged records that nobody has seen.
fn judge_lost(
    lane: &Lane,
    sets: &Sets,
    damaged: &Intervals,
    excused: &mut u64,
    sums: &mut Sums,
    findings: &mut Findings,
) {
    let unseen = sets.acked.minus(&sets.left.seen);
    sums.unread += unseen.minus(&sets.left.missed).total();
    let mut missed = unseen.and(&sets.left.missed);
    for (from, to) in unseen.and(&sets.left.missed).iter() {
        for run in lane.acks.within(from, to) {
            let (start, end) = (run.offset.cast_unsigned(), run.offset_of(run.end()).cast_unsigned());
            sums.claimed.insert(start, end);
            for (start, end) in damaged.within(start, end) {
                let sequence = |offset: u64| run.first + offset - run.offset.cast_unsigned();
                missed.remove(sequence(start), sequence(end));
                *excused = excused.saturating_sub(end - start);
            }
        }
    }
    let skipped = missed.and(&sets.left.jumped).minus(&sets.left.jumped_again);
    for (from, to) in skipped.iter() {
        findings.note(Kind::Skipped, to - from, || {
            let (records, place) = (records(from, to), acked_where(lane, from, to));
            format!("a reader's offsets jump over {records} of producer {}, acknowledged{place}", lane.producer)
        });
    }
    for (from, to) in missed.minus(&skipped).iter() {
        // Where the ack's offset is no longer known, a damaged record may have been this one.
        let known: u64 = lane.acks.within(from, to).map(|run| run.count).sum();
        let explained = (to - from - known).min(*excused);
        *excused -= explained;
        findings.note(Kind::Lost, to - from - explained, || {
            let (records, place) = (records(from, to), acked_where(lane, from, to));
            format!("no reader got {records} of producer {}, acknowledged{place}", lane.producer)
        });
    }
}

/// Records that were seen and should not have been, or not by all.
fn judge_others(producer: u32, sets: &Sets, excused: &mut u64, sums: &mut Sums, findings: &mut Findings) {
    let seen = &sets.left.seen;
    for (from, to) in sets.left.missed.and(seen).iter() {
        sums.skipped_later += to - from;
        let explained = (to - from).min(*excused);
        *excused -= explained;
        findings.note(Kind::Skipped, to - from - explained, || {
            format!("a reader was not given {} of producer {producer}, which another reader got", records(from, to))
        });
    }
    for (from, to) in sets.failed.minus(&sets.acked).and(seen).iter() {
        findings.note(Kind::VisibleThoughFailed, to - from, || {
            format!("readers got {} of producer {producer}, which had definitely failed", records(from, to))
        });
    }
    let sent_by_nobody = seen.minus(&sets.acked).minus(&sets.failed).minus(&sets.unknown);
    for (from, to) in sent_by_nobody.iter() {
        findings.note(Kind::NeverSent, to - from, || {
            format!("readers got {} of producer {producer}, which it never sent", records(from, to))
        });
    }
}

/// ` at offset 7`, where it is still known.
fn acked_where(lane: &Lane, from: u64, to: u64) -> String {
    let runs = lane.acks.within(from, to).next();
    runs.map_or_else(String::new, |run| format!(" at {}", offsets(run.offset, run.offset_of(run.end()))))
}
