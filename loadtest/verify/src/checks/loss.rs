//! Nothing acked and nothing that was read is lost; the whole log is dense.

use std::collections::BTreeMap;

use super::Report;
use crate::{Drained, Moment, Partition, Value, Violation, ViolationKind, log::Log};

pub(crate) fn check(partition: Partition, log: &Log<'_>, found: &mut Vec<Violation>) {
    let mut report = Report { partition, found };
    let Some((drained, begun, at)) = log.drain else {
        return;
    };
    dense(drained, at, &mut report);
    let kept: BTreeMap<Value, i64> =
        drained.records.iter().filter_map(|seen| Some((seen.value?, seen.offset))).collect();
    let places = log.places();
    for batch in &log.batches {
        // What came to be known after the reading had begun may lie behind what was read.
        let ack = batch.first_ack().filter(|ack| ack.at < begun);
        // One record of a batch in the log proves that the batch was appended, whatever its sender was told.
        let proven = batch.values.iter().any(|value| kept.contains_key(value));
        for (place, value) in (0..).zip(&batch.values) {
            if kept.contains_key(value) {
                continue;
            }
            let acked = ack.map(|ack| (ack.base_offset + place, ack.at));
            if acked.is_some_and(|(offset, _)| offset < drained.log_start) {
                continue;
            }
            let place = places.get(value).filter(|(_, when)| *when < begun);
            let (kind, sentence) = match (place, acked) {
                (Some((offset, when)), _) => (
                    ViolationKind::Vanished,
                    format!(
                        "{value} was read at offset {offset} at {when} and is not in the log that was read at {at}"
                    ),
                ),
                (None, Some((offset, when))) if offset < drained.high_watermark => (
                    ViolationKind::LostWrite,
                    format!(
                        "{value} of {} was acked at offset {offset} at {when} and was never read, though the log was \
                         read to {} at {at}",
                        batch.process, drained.high_watermark
                    ),
                ),
                (None, Some((offset, when))) => (
                    ViolationKind::Unseen,
                    format!(
                        "{value} of {} was acked at offset {offset} at {when}, and the log ends at {} at {at}",
                        batch.process, drained.high_watermark
                    ),
                ),
                (None, None) if proven => (
                    ViolationKind::LostWrite,
                    format!("{value} of {} is not in the log, though others of its batch are", batch.process),
                ),
                (None, None) => continue,
            };
            report.add(kind, at, sentence);
        }
    }
}

fn dense(drained: &Drained, at: Moment, report: &mut Report<'_>) {
    let mut expected = drained.log_start;
    for seen in &drained.records {
        if seen.offset != expected {
            let sentence =
                format!("read as a whole at {at} the log goes on with offset {} instead of {expected}", seen.offset);
            report.add(ViolationKind::OffsetGap, at, sentence);
        }
        expected = seen.offset + 1;
    }
    if expected != drained.high_watermark {
        let sentence = format!(
            "read as a whole at {at} the log ends before offset {expected}, its high watermark is {}",
            drained.high_watermark
        );
        report.add(ViolationKind::OffsetGap, at, sentence);
    }
}
