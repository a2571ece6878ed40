//! Linearizability of one log.
//!
//! Offsets fix the order of appends, so the search for an order that a general checker makes falls away: the history is
//! linearizable exactly when no operation had ended before another one began that the offsets put in front of it. An
//! append of unknown outcome counts when it became visible.

use super::Report;
use crate::{Moment, Partition, Violation, ViolationKind, log::Log};

pub(crate) fn check(partition: Partition, log: &Log<'_>, found: &mut Vec<Violation>) {
    let mut report = Report { partition, found };
    let appended = appended(log);
    appends(&appended, &mut report);
    statements(log, &appended, &mut report);
}

struct Appended {
    base_offset: i64,
    first_invoked: Moment,
    acked: Option<Moment>,
    what: String,
}

/// Every batch that is known to be in the log, by offset.
fn appended(log: &Log<'_>) -> Vec<Appended> {
    let places = log.places();
    let mut appended: Vec<_> = log
        .batches
        .iter()
        .filter_map(|batch| {
            let ack = batch.first_ack();
            let seen = (0..).zip(&batch.values).find_map(|(place, value)| Some(places.get(value)?.0 - place));
            let base_offset = ack.map(|ack| ack.base_offset).or(seen)?;
            let first_invoked = batch.first_invoked();
            let what = format!("{} (sent by {} at {first_invoked})", batch.values[0], batch.process);
            Some(Appended { base_offset, first_invoked, acked: ack.map(|ack| ack.at), what })
        })
        .collect();
    appended.sort_by_key(|batch| batch.base_offset);
    appended
}

fn appends(appended: &[Appended], report: &mut Report<'_>) {
    let mut first_done: Option<(Moment, &Appended)> = None;
    for batch in appended.iter().rev() {
        if let Some((done, later)) = first_done.filter(|(done, _)| *done < batch.first_invoked) {
            let sentence = format!(
                "{} stands at offset {}, before {} at offset {}, which had been acked at {done}",
                batch.what, batch.base_offset, later.what, later.base_offset
            );
            report.add(ViolationKind::NotLinearizable, batch.first_invoked, sentence);
        }
        if let Some(acked) = batch.acked
            && first_done.is_none_or(|(done, _)| acked < done)
        {
            first_done = Some((acked, batch));
        }
    }
}

/// Whoever was told that the log reaches to an offset knew of all below: nothing below can have been sent later.
fn statements(log: &Log<'_>, appended: &[Appended], report: &mut Report<'_>) {
    let asked = log.ends.iter().map(|end| (end.end, end.at, end.process));
    let shown = log.polls.iter().map(|poll| (poll.high_watermark, poll.at, poll.process));
    let mut statements: Vec<_> = asked.chain(shown).collect();
    statements.sort_unstable();
    // From the highest statement down, the earliest moment at which the log was said to reach so far.
    let mut statements = statements.into_iter().rev().peekable();
    let mut earliest: Option<(Moment, i64, crate::Process)> = None;
    for batch in appended.iter().rev() {
        while let Some((end, at, process)) = statements.next_if(|(end, ..)| *end > batch.base_offset) {
            if earliest.is_none_or(|(moment, ..)| at < moment) {
                earliest = Some((at, end, process));
            }
        }
        if let Some((at, end, process)) = earliest.filter(|(at, ..)| *at < batch.first_invoked) {
            let sentence = format!(
                "{process} had been told at {at} that the log reaches to {end}, and {} came to stand at offset {}",
                batch.what, batch.base_offset
            );
            report.add(ViolationKind::NotLinearizable, batch.first_invoked, sentence);
        }
    }
}
