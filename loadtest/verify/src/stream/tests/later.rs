//! A reading that is judged against the record of a run.

use super::*;

/// The run, over the wire of a file.
fn record_of(story: &Story) -> PartitionRecord {
    let mut judge = story.tell(Acks::InBetween, 65_536);
    judge.finish();
    let text = serde_json::to_string(&judge.record()).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Another program reads it all later.
fn later(record: &PartitionRecord, steps: &[Step]) -> Verdict {
    let mut judge = PartitionJudge::from_record(record, Settings::default()).unwrap();
    let nothing_sent = Story {
        acks: Vec::new(),
        failed: Vec::new(),
        unknown: Vec::new(),
        readers: vec![Reading { start: Start::Earliest, steps: steps.to_vec(), complete: true }],
        gaps: false,
    };
    nothing_sent.tell_to(&mut judge, Acks::BeforeReads);
    judge.finish()
}

#[track_caller]
fn finds(record: &PartitionRecord, slots: &[Record], kinds: &[Kind]) {
    let verdict = later(record, &steps(slots));
    assert_eq!(verdict.findings.keys().copied().collect::<Vec<_>>(), kinds, "{verdict:#?}");
}

fn whole_run() -> (Slots, PartitionRecord) {
    let (slots, acks) = two_producers();
    let record = record_of(&Story::of(&slots, acks));
    (slots, record)
}

#[test]
fn all_is_there() {
    let (slots, record) = whole_run();
    let verdict = later(&record, &steps(&slots));
    assert!(verdict.is_clean() && verdict.unchecked.is_empty(), "{verdict:#?}");
    assert_eq!((verdict.counts.acked, verdict.counts.read, verdict.counts.blocks_compared), (100, 100, 1));
}

#[test]
fn what_is_wrong_later() {
    let (slots, record) = whole_run();
    finds(&record, &slots[..98], &[Kind::Lost]);
    let mut changed = slots.clone();
    changed.swap(44, 45);
    finds(&record, &changed, &[Kind::ReadersDisagree]);
    changed = slots.clone();
    changed[3] = Record::Corrupt("the checksum is another one");
    finds(&record, &changed, &[Kind::Corrupted]);
    changed = slots.clone();
    changed.push(sound(1, 0));
    finds(&record, &changed, &[Kind::Duplicated]);
    changed = slots.clone();
    changed.push(sound(1, 50));
    finds(&record, &changed, &[Kind::NeverSent]);
    changed = slots;
    changed.swap(41, 42);
    finds(&record, &changed, &[Kind::Reordered, Kind::ReadersDisagree]);
}

#[test]
fn unknown_outcomes_stay_as_they_were_seen() {
    let (slots, mut acks) = two_producers();
    let (producer, first, count, _) = acks.pop().unwrap();
    let mut story = Story::of(&slots, acks);
    story.unknown.push((producer, first, count));
    story.unknown.push((1, 50, 5));
    story.failed.push((1, 55, 5));
    let record = record_of(&story);
    finds(&record, &slots, &[]);
    finds(&record, &slots[..95], &[Kind::Lost]);
    let mut more: Slots = slots.clone();
    more.extend((50..55).map(|sequence| sound(1, sequence)));
    finds(&record, &more, &[]);
    more.extend((55..60).map(|sequence| sound(1, sequence)));
    finds(&record, &more, &[Kind::VisibleThoughFailed]);
}

#[test]
fn the_run_goes_on_after_its_record() {
    let (slots, acks) = two_producers();
    let record = record_of(&Story::of(&slots[..50], acks[..10].to_vec()));
    let mut judge = PartitionJudge::from_record(&record, Settings::default()).unwrap();
    Story::of(&slots, acks[10..].to_vec()).tell_to(&mut judge, Acks::AfterReads);
    let verdict = judge.finish();
    assert!(verdict.is_clean() && verdict.unchecked.is_empty(), "{verdict:#?}");
    assert_eq!((verdict.counts.acked, verdict.counts.offsets_compared), (100, 50));
}

#[test]
fn blocks_that_nobody_read_again_are_told() {
    let (slots, record) = whole_run();
    let mut steps = steps(&slots);
    steps.insert(0, Step::Reposition(40));
    steps.drain(1..41);
    let verdict = later(&record, &steps);
    assert!(verdict.is_clean(), "{verdict:#?}");
    assert!(verdict.unchecked.iter().any(|sentence| sentence.contains("1 of 1 blocks")), "{verdict:#?}");
}

#[test]
fn records_that_cannot_be_used() {
    let (_, record) = whole_run();
    let refused = |change: fn(&mut PartitionRecord)| {
        let mut record = record.clone();
        change(&mut record);
        PartitionJudge::from_record(&record, Settings::default()).unwrap_err()
    };
    assert_eq!(refused(|record| record.version = 2), RecordError::Version { found: 2 });
    assert!(refused(|record| record.lanes[0].acked = vec![(5, 5)]).to_string().contains("rides/3"));
    refused(|record| record.lanes[0].acked = vec![(5, 9), (3, 4)]);
    refused(|record| record.lanes[0].unknown = vec![(5, u64::MAX)]);
    refused(|record| record.lanes[1].producer = record.lanes[0].producer);
    refused(|record| record.blocks = vec![(1, 1), (0, 1)]);
    assert!(serde_json::from_str::<PartitionRecord>(r#"{"version":1,"colour":2}"#).is_err());
}
