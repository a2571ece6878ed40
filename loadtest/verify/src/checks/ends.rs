//! The end of a log: never behind what was acked, read or stated before.

use std::collections::BTreeMap;

use super::Report;
use crate::{Gateway, Moment, Partition, Violation, ViolationKind, log::Log};

pub(crate) fn check(partition: Partition, log: &Log<'_>, found: &mut Vec<Violation>) {
    let mut report = Report { partition, found };
    asked(log, &mut report);
    shown(log, &mut report);
}

/// Something that puts the end of the log above an offset from a moment on.
struct Floor {
    at: Moment,
    end: i64,
    kind: ViolationKind,
    why: String,
}

/// An end that is asked for lies above whatever was known before the question.
fn asked(log: &Log<'_>, report: &mut Report<'_>) {
    let mut floors = Vec::new();
    for batch in &log.batches {
        if let Some(ack) = batch.first_ack() {
            let end = ack.base_offset + batch.length();
            let why = format!("{} was acked at offset {} at {}", batch.values[0], ack.base_offset, ack.at);
            floors.push(Floor { at: ack.at, end, kind: ViolationKind::StaleEnd, why });
        }
    }
    for sighting in &log.sightings {
        let why = format!("{} had read offset {} at {}", sighting.process, sighting.offset, sighting.at);
        floors.push(Floor { at: sighting.at, end: sighting.offset + 1, kind: ViolationKind::StaleEnd, why });
    }
    for end in &log.ends {
        let why = format!("{} had been told {} at {}", end.process, end.end, end.at);
        floors.push(Floor { at: end.at, end: end.end, kind: ViolationKind::EndWentBack, why });
    }
    for poll in &log.polls {
        let why = format!("{} had been shown a high watermark of {} at {}", poll.process, poll.high_watermark, poll.at);
        floors.push(Floor { at: poll.at, end: poll.high_watermark, kind: ViolationKind::EndWentBack, why });
    }
    floors.sort_by_key(|floor| floor.at);
    let mut ends = log.ends.clone();
    ends.sort_by_key(|end| end.invoked);
    let mut floors = floors.into_iter().peekable();
    let mut highest: Option<Floor> = None;
    for end in ends {
        while let Some(floor) = floors.next_if(|floor| floor.at < end.invoked) {
            if highest.as_ref().is_none_or(|highest| highest.end < floor.end) {
                highest = Some(floor);
            }
        }
        if let Some(floor) = highest.as_ref().filter(|floor| floor.end > end.end) {
            let sentence = format!(
                "{} asked at {} and was told that the log ends at {}, though {}",
                end.process, end.invoked, end.end, floor.why
            );
            report.add(floor.kind, end.at, sentence);
        }
    }
}

/// What a gateway shows of the high watermark never goes back, and covers the records that come with it.
fn shown(log: &Log<'_>, report: &mut Report<'_>) {
    let mut by_stream: BTreeMap<u64, (i64, Moment)> = BTreeMap::new();
    let mut by_gateway: BTreeMap<Gateway, Vec<(Moment, i64)>> = BTreeMap::new();
    for poll in &log.polls {
        if let Some(above) = poll.offsets.iter().find(|offset| **offset >= poll.high_watermark) {
            let sentence = format!(
                "{} got offset {above} at {} with a high watermark of {}",
                poll.process, poll.at, poll.high_watermark
            );
            report.add(ViolationKind::ReadAboveWatermark, poll.at, sentence);
        }
        let stream = by_stream.entry(poll.stream).or_insert((poll.high_watermark, poll.at));
        // Messages of one stream are ordered; of others only those count that had come when this stream was opened.
        let earlier = by_gateway.entry(poll.gateway).or_default();
        let known = earlier.partition_point(|(at, _)| *at < poll.invoked);
        let before = known.checked_sub(1).map(|index| (earlier[index].1, earlier[index].0));
        let highest = before.into_iter().chain([*stream]).max_by_key(|(watermark, _)| *watermark);
        if let Some((watermark, when)) = highest.filter(|(watermark, _)| *watermark > poll.high_watermark) {
            let sentence = format!(
                "gateway {} showed a high watermark of {watermark} at {when} and {} at {} to {}",
                poll.gateway.0, poll.high_watermark, poll.at, poll.process
            );
            report.add(ViolationKind::WatermarkWentBack, poll.at, sentence);
        }
        *stream = (*stream).max((poll.high_watermark, poll.at));
        // Kept as the running maximum in the order of time.
        let place = earlier.partition_point(|(at, _)| *at <= poll.at);
        let so_far = place.checked_sub(1).map_or(i64::MIN, |index| earlier[index].1);
        earlier.insert(place, (poll.at, so_far.max(poll.high_watermark)));
        for later in &mut earlier[place..] {
            later.1 = later.1.max(poll.high_watermark);
        }
    }
}
