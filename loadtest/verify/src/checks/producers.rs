//! Idempotent producers: each sequence once, in order, without a gap, none of an older epoch after a newer one, and none
//! under an id that nobody was given.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use crate::{Identity, Moment, Partition, StoredBatch, Violation, ViolationKind, log::Log};

pub(crate) fn check(partition: Partition, log: &Log<'_>, made_up: &BTreeSet<i64>, found: &mut Vec<Violation>) {
    let mut report = Report { partition, found };
    nobodys(log, made_up, &mut report);
    acked_once(log, &mut report);
    zombies(log, &mut report);
    if let Some((drained, _, at)) = log.drain {
        stored(&drained.batches, at, &mut report);
    }
}

/// Whoever makes an id up takes the place of the client that is given it later.
fn nobodys(log: &Log<'_>, made_up: &BTreeSet<i64>, report: &mut Report<'_>) {
    for batch in &log.batches {
        let Some(identity) = batch.identity.filter(|identity| made_up.contains(&identity.producer)) else { continue };
        for ack in batch.acks() {
            let sentence =
                format!("{identity} was acked at offset {}, though nobody was given the id", ack.base_offset);
            report.add(ViolationKind::MadeUpIdAccepted, ack.at, sentence);
        }
    }
    let Some((drained, _, at)) = log.drain else { return };
    for batch in &drained.batches {
        if let Some(identity) = batch.identity.filter(|identity| made_up.contains(&identity.producer)) {
            let sentence = format!("{identity} stands at offset {}, though nobody was given the id", batch.base_offset);
            report.add(ViolationKind::MadeUpIdAccepted, at, sentence);
        }
    }
}

fn acked_once(log: &Log<'_>, report: &mut Report<'_>) {
    let mut acked: BTreeMap<Identity, (i64, Moment)> = BTreeMap::new();
    for batch in &log.batches {
        let Some(identity) = batch.identity else { continue };
        for ack in batch.acks() {
            let (offset, when) = *acked.entry(identity).or_insert((ack.base_offset, ack.at));
            if offset != ack.base_offset {
                let sentence = format!(
                    "{identity} was acked at offset {offset} at {when} and at offset {} at {}",
                    ack.base_offset, ack.at
                );
                report.add(ViolationKind::IdempotenceBroken, ack.at, sentence);
            }
        }
    }
}

/// Once a newer epoch has been acked, nothing that is sent later with an older one is.
fn zombies(log: &Log<'_>, report: &mut Report<'_>) {
    let mut acks: BTreeMap<i64, Vec<(Identity, Moment, Moment)>> = BTreeMap::new();
    for batch in &log.batches {
        let Some(identity) = batch.identity else { continue };
        for ack in batch.acks() {
            acks.entry(identity.producer).or_default().push((identity, ack.invoked, ack.at));
        }
    }
    for acks in acks.values_mut() {
        let mut by_end = acks.clone();
        by_end.sort_by_key(|(_, _, at)| *at);
        acks.sort_by_key(|(_, invoked, _)| *invoked);
        let mut by_end = by_end.into_iter().peekable();
        let mut newest: Option<(i32, Moment)> = None;
        for (identity, invoked, at) in acks.iter() {
            while let Some((newer, _, when)) = by_end.next_if(|(_, _, end)| end < invoked) {
                if newest.is_none_or(|(epoch, _)| newer.epoch > epoch) {
                    newest = Some((newer.epoch, when));
                }
            }
            if let Some((epoch, when)) = newest.filter(|(epoch, _)| *epoch > identity.epoch) {
                let sentence = format!(
                    "{identity}, sent at {invoked}, was acked at {at}, though epoch {epoch} had been at {when}"
                );
                report.add(ViolationKind::ZombieAcked, *at, sentence);
            }
        }
    }
}

/// The batches in the log, in the order of their offsets.
fn stored(batches: &[StoredBatch], at: Moment, report: &mut Report<'_>) {
    let mut next: BTreeMap<i64, (i32, i64)> = BTreeMap::new();
    for batch in batches {
        let Some(identity) = batch.identity else { continue };
        let following = (i64::from(identity.first_sequence) + i64::from(batch.records)) % (i64::from(i32::MAX) + 1);
        let before = next.insert(identity.producer, (identity.epoch, following));
        let (epoch, expected) = before.unwrap_or((identity.epoch, 0));
        let offset = batch.base_offset;
        if identity.epoch < epoch {
            let sentence = format!("{identity} stands at offset {offset}, behind batches of epoch {epoch}");
            report.add(ViolationKind::OldEpochAppended, at, sentence);
            next.insert(identity.producer, (epoch, expected));
            continue;
        }
        let expected = if identity.epoch > epoch { 0 } else { expected };
        let sequence = i64::from(identity.first_sequence);
        if sequence > expected {
            let sentence = format!("{identity} stands at offset {offset}, where sequence {expected} should follow");
            report.add(ViolationKind::SequenceGap, at, sentence);
        } else if sequence < expected {
            let sentence = format!("{identity} stands at offset {offset}, behind all sequences below {expected}");
            report.add(ViolationKind::SequenceDisorder, at, sentence);
        }
    }
}
