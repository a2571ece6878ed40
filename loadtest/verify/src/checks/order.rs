//! Readers go forward without a skip; one producer's records stand in the order in which it sent them.

use std::collections::BTreeMap;

use super::Report;
use crate::{Partition, Process, Violation, ViolationKind, log::Log};

pub(crate) fn check(partition: Partition, log: &Log<'_>, found: &mut Vec<Violation>) {
    let mut report = Report { partition, found };
    polls(log, &mut report);
    sends(log, &mut report);
}

/// Offsets are dense, so a reader's next record is the next offset. It may choose a new place when it asks anew.
fn polls(log: &Log<'_>, report: &mut Report<'_>) {
    for poll in &log.polls {
        let mut expected = poll.from;
        for offset in &poll.offsets {
            if *offset != expected {
                let (kind, what) = if *offset > expected {
                    (ViolationKind::PollSkip, "left out what lies between")
                } else {
                    (ViolationKind::PollNonmonotonic, "went back")
                };
                let sentence = format!(
                    "{} was to go on with offset {expected}, and got offset {offset} at {}: it {what}",
                    poll.process, poll.at
                );
                report.add(kind, poll.at, sentence);
            }
            expected = offset + 1;
        }
    }
}

/// A batch that was sent, for the last time, before another one was sent for the first time stands before it.
fn sends(log: &Log<'_>, report: &mut Report<'_>) {
    let mut by_process: BTreeMap<Process, Vec<(usize, usize, i64, usize)>> = BTreeMap::new();
    for (index, batch) in log.batches.iter().enumerate() {
        let Some(ack) = batch.first_ack() else { continue };
        let orders = batch.attempts.iter().map(|attempt| attempt.order);
        let (Some(first), Some(last)) = (orders.clone().min(), orders.max()) else { continue };
        by_process.entry(batch.process).or_default().push((first, last, ack.base_offset, index));
    }
    for sends in by_process.values_mut() {
        sends.sort_unstable();
        let mut ended: Vec<_> = sends.clone();
        ended.sort_unstable_by_key(|(_, last, ..)| *last);
        let mut ended = ended.into_iter().peekable();
        let mut highest: Option<(i64, usize)> = None;
        for (first, _, offset, index) in sends.iter().copied() {
            while let Some((_, _, earlier_offset, earlier)) = ended.next_if(|(_, last, ..)| *last < first) {
                highest = highest.max(Some((earlier_offset, earlier)));
            }
            if let Some((earlier_offset, earlier)) = highest
                && earlier_offset >= offset
            {
                let (earlier, later) = (&log.batches[earlier], &log.batches[index]);
                let at = later.first_ack().map_or(later.first_invoked(), |ack| ack.at);
                let sentence = format!(
                    "{} sent {} at {} and then {} at {}, which stand at offsets {earlier_offset} and {offset}",
                    later.process,
                    earlier.values[0],
                    earlier.first_invoked(),
                    later.values[0],
                    later.first_invoked()
                );
                report.add(ViolationKind::SendNonmonotonic, at, sentence);
            }
        }
    }
}
