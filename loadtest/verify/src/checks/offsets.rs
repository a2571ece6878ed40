//! Which value stands at which offset: one at each, each at one, the acked one at the acked offset.

use std::collections::BTreeMap;

use super::Report;
use crate::{Moment, Partition, Value, Violation, ViolationKind, log::Log};

pub(crate) fn check(partition: Partition, log: &Log<'_>, found: &mut Vec<Violation>) {
    let mut report = Report { partition, found };
    let at_offset = one_value_an_offset(log, &mut report);
    one_offset_a_value(log, &mut report);
    acks_are_true(log, &at_offset, &mut report);
    visible_was_sent(log, &mut report);
    for (process, damaged, at) in &log.damages {
        let sentence =
            format!("{process} was to read from offset {} on and was told at {at}: {}", damaged.from, damaged.message);
        report.add(ViolationKind::Unreadable, *at, sentence);
    }
}

/// The first sighting at each offset.
type AtOffset = BTreeMap<i64, (Option<Value>, Moment)>;

fn one_value_an_offset(log: &Log<'_>, report: &mut Report<'_>) -> AtOffset {
    let mut at_offset = AtOffset::new();
    for sighting in &log.sightings {
        let Some((before, when)) = at_offset.get(&sighting.offset) else {
            at_offset.insert(sighting.offset, (sighting.value, sighting.at));
            continue;
        };
        // Bytes that nobody sent are a violation of their own.
        if let (Some(before), Some(now)) = (before, sighting.value)
            && *before != now
        {
            let sentence = format!(
                "offset {} held {before} when it was read at {when}, and {now} when {} read it at {}",
                sighting.offset, sighting.process, sighting.at
            );
            report.add(ViolationKind::InconsistentOffset, sighting.at, sentence);
        }
    }
    let mut acked: BTreeMap<i64, (Value, Moment)> = BTreeMap::new();
    for batch in &log.batches {
        let Some(ack) = batch.first_ack() else { continue };
        for (offset, value) in (ack.base_offset..).zip(&batch.values) {
            if let Some((other, when)) = acked.insert(offset, (*value, ack.at)) {
                let sentence = format!("offset {offset} was acked for {other} at {when} and for {value} at {}", ack.at);
                report.add(ViolationKind::InconsistentOffset, ack.at.max(when), sentence);
            }
        }
    }
    at_offset
}

fn one_offset_a_value(log: &Log<'_>, report: &mut Report<'_>) {
    let mut place: BTreeMap<Value, (i64, Moment)> = BTreeMap::new();
    for sighting in &log.sightings {
        let Some(value) = sighting.value else { continue };
        let (offset, when) = *place.entry(value).or_insert((sighting.offset, sighting.at));
        if offset != sighting.offset {
            let sentence = format!(
                "{value} was read at offset {offset} at {when} and by {} at offset {} at {}",
                sighting.process, sighting.offset, sighting.at
            );
            report.add(ViolationKind::Duplicate, sighting.at, sentence);
        }
    }
}

fn acks_are_true(log: &Log<'_>, at_offset: &AtOffset, report: &mut Report<'_>) {
    for batch in &log.batches {
        for ack in batch.acks() {
            for (offset, value) in (ack.base_offset..).zip(&batch.values) {
                if let Some((Some(other), when)) = at_offset.get(&offset)
                    && other != value
                {
                    let sentence = format!(
                        "{value} of {} was acked at offset {offset} at {}, where {other} was read at {when}",
                        batch.process, ack.at
                    );
                    report.add(ViolationKind::OffsetUntrue, ack.at.max(*when), sentence);
                }
            }
        }
    }
}

fn visible_was_sent(log: &Log<'_>, report: &mut Report<'_>) {
    for sighting in &log.sightings {
        let batch = match sighting.value {
            Some(value) => log.batch_of(value),
            None => None,
        };
        match (sighting.value, batch) {
            (None, _) => {
                let sentence = format!(
                    "{} read bytes at offset {} at {} that nobody sent",
                    sighting.process, sighting.offset, sighting.at
                );
                report.add(ViolationKind::CorruptRecord, sighting.at, sentence);
            }
            (Some(value), None) => {
                let sentence = format!(
                    "{} read {value} at offset {} at {}, which was not sent to this partition",
                    sighting.process, sighting.offset, sighting.at
                );
                report.add(ViolationKind::CorruptRecord, sighting.at, sentence);
            }
            (Some(value), Some((batch, _))) if batch.failed() => {
                let sentence = format!(
                    "{} read {value} at offset {} at {}, though {} had been told for certain that it was not appended",
                    sighting.process, sighting.offset, sighting.at, batch.process
                );
                report.add(ViolationKind::AbortedRead, sighting.at, sentence);
            }
            (Some(_), Some(_)) => {}
        }
    }
}
