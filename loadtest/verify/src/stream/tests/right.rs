//! Logs that are right, however they are read.

use super::*;

#[test]
fn one_reader_and_two() {
    let (slots, acks) = two_producers();
    let verdict = Story::of(&slots, acks.clone()).is_right();
    assert_eq!((verdict.counts.acked, verdict.counts.read, verdict.counts.offsets_compared), (100, 100, 100));
    let verdict = Story::of(&slots, acks).and_read(steps(&slots)).is_right();
    assert_eq!((verdict.counts.read, verdict.counts.offsets_compared, verdict.counts.blocks_compared), (200, 100, 1));
}

#[test]
fn restarts() {
    let (slots, acks) = two_producers();
    for (at, back_to) in [(60, 50), (60, 0), (60, 60), (1, 0), (99, 98)] {
        let mut story = Story::of(&slots, acks.clone());
        let again: Vec<_> = story.readers[0].steps[back_to..].to_vec();
        story.readers[0].steps.truncate(at);
        story.readers[0].steps.push(Step::Reposition(i64::try_from(back_to).unwrap()));
        story.readers[0].steps.extend(again);
        story.is_right();
        // Twice, the second time before it has come to where it had been.
        let restarted = story.readers[0].steps.clone();
        story.readers[0].steps.truncate(at + 5);
        story.readers[0].steps.push(Step::Reposition(i64::try_from(back_to).unwrap()));
        story.readers[0].steps.extend_from_slice(&restarted[at + 1..]);
        story.is_right();
    }
}

#[test]
fn another_reader_takes_over() {
    let (slots, acks) = two_producers();
    let mut story = Story::of(&slots[..40], acks);
    story.readers[0].complete = false;
    story.readers.push(Reading { start: Start::Anywhere, steps: steps(&slots)[33..].to_vec(), complete: true });
    story.is_right();
}

#[test]
fn late_joiners() {
    let (slots, acks) = two_producers();
    for from in [1, 37, 50, 99] {
        let mut story = Story::of(&slots, acks.clone());
        let mut steps = steps(&slots)[from..].to_vec();
        story.readers.push(Reading { start: Start::Anywhere, steps: steps.clone(), complete: true });
        story.is_right();
        // It goes back before the place where it began.
        steps.insert(1, Step::Reposition(0));
        steps.splice(2..2, super::steps(&slots)[..=from].iter().copied());
        story.readers[1].steps = steps;
        story.is_right();
    }
}

#[test]
fn a_reader_jumps_ahead_by_its_own_will() {
    let (slots, acks) = two_producers();
    let mut story = Story::of(&slots, acks);
    let mut steps = steps(&slots);
    steps.splice(20..70, [Step::Reposition(70)]);
    story.readers.push(Reading { start: Start::Earliest, steps, complete: true });
    story.is_right();
}

#[test]
fn the_log_begins_later() {
    let (slots, acks) = two_producers();
    let mut steps = steps(&slots)[40..].to_vec();
    steps.insert(0, Step::Reposition(40));
    let mut story = Story::of(&slots, acks);
    story.readers = vec![Reading { start: Start::Earliest, steps, complete: true }];
    let verdict = story.tell(Acks::BeforeReads, 65_536).finish();
    assert!(verdict.is_clean(), "{verdict:#?}");
    assert!(verdict.unchecked[0].contains("40 acknowledged records"), "{verdict:#?}");
}

#[test]
fn unknown_outcomes_visible_or_not() {
    let (slots, mut acks) = two_producers();
    let (producer, first, count, _) = acks.remove(6);
    let mut story = Story::of(&slots, acks);
    story.unknown.push((producer, first, count));
    story.unknown.push((1, 50, 7));
    for order in ORDERS {
        let verdict = story.tell(order, 65_536).finish();
        assert!(verdict.is_clean() && verdict.unchecked.is_empty(), "{verdict:#?}");
        assert_eq!((verdict.counts.unknown_visible, verdict.counts.unknown_absent), (5, 7));
    }
    // A sum that has such records in it never comes out even. That is told.
    let verdict = story.tell(Acks::AfterReads, 0).finish();
    assert!(verdict.is_clean(), "{verdict:#?}");
    assert!(verdict.unchecked[0].contains("were not compared"), "{verdict:#?}");
}

#[test]
fn unknown_and_landed_behind_what_came_after_it() {
    // Sequences 5 to 9 of producer 1 were given up, and landed when 10 to 19 were there.
    let slots: Slots = (0..5).chain(10..15).chain(5..10).chain(15..20).map(|sequence| sound(1, sequence)).collect();
    let mut story = Story::of(&slots, vec![(1, 0, 5, 0), (1, 10, 5, 5), (1, 15, 5, 15)]);
    // Another reader goes before they have landed, and a third one reads everything twice.
    let mut twice = steps(&slots);
    twice.push(Step::Reposition(0));
    twice.extend(steps(&slots));
    story.readers.push(Reading { start: Start::Earliest, steps: steps(&slots)[..10].to_vec(), complete: false });
    story.readers.push(Reading { start: Start::Earliest, steps: twice, complete: true });
    // A fourth goes back to where they stand, and a fifth had read everything before they landed.
    let mut amid = steps(&slots);
    amid.push(Step::Reposition(10));
    amid.extend_from_slice(&steps(&slots)[10..]);
    story.readers.push(Reading { start: Start::Earliest, steps: amid, complete: true });
    for order in ORDERS {
        let mut judge = PartitionJudge::new(place(), Settings::default());
        // Before anything later was sent.
        judge.unknown(1, 5, 5);
        story.tell_to(&mut judge, order);
        let verdict = judge.finish();
        assert!(verdict.is_clean(), "{order:?} {verdict:#?}");
        assert_eq!(verdict.counts.unknown_visible, 5);
    }
    // What was acknowledged may not land there.
    story.readers.truncate(1);
    story.acks.push((1, 5, 5, 10));
    let verdict = story.tell(Acks::BeforeReads, 65_536).finish();
    assert_eq!(verdict.findings[&Kind::Reordered].count, 5, "{verdict:#?}");
}

#[test]
fn failed_and_sent_again() {
    // Sequences 5 to 9 of producer 1 are refused; their records are sent again as 10 to 14.
    let slots: Slots = (0..5).chain(10..20).map(|sequence| sound(1, sequence)).collect();
    let mut story = Story::of(&slots, vec![(1, 0, 5, 0), (1, 10, 10, 5)]);
    story.failed.push((1, 5, 5));
    let verdict = story.is_right();
    assert_eq!((verdict.counts.failed, verdict.counts.acked), (5, 15));
}

#[test]
fn acks_without_offsets_are_told() {
    let (slots, mut acks) = two_producers();
    acks[3].3 = -1;
    let verdict = Story::of(&slots, acks).tell(Acks::BeforeReads, 65_536).finish();
    assert!(verdict.is_clean(), "{verdict:#?}");
    assert_eq!(verdict.unchecked.len(), 1, "{verdict:#?}");
    assert!(verdict.unchecked[0].contains("offsets of 5 acknowledged"), "{verdict:#?}");
}

#[test]
fn nobody_reads() {
    let (_, acks) = two_producers();
    let mut story = Story::of(&[], acks);
    story.readers.clear();
    let verdict = story.tell(Acks::BeforeReads, 65_536).finish();
    assert!(verdict.is_clean());
    assert!(verdict.unchecked[0].contains("100 acknowledged records"), "{verdict:#?}");
}

#[test]
fn finish_says_the_same_again() {
    let (slots, acks) = two_producers();
    let mut judge = Story::of(&slots[..90], acks).tell(Acks::BeforeReads, 65_536);
    assert_eq!(judge.end(), Some(100));
    assert_eq!(judge.finish(), judge.finish());
}

#[test]
fn a_judge_may_go_to_another_thread() {
    fn goes<T: Send>(_: T) {}
    goes(PartitionJudge::new(place(), Settings::default()));
}

#[test]
fn verdicts_add_up() {
    let (slots, acks) = two_producers();
    let mut sum = Verdict::default();
    for _ in 0..12 {
        sum.merge(Story::of(&slots[..90], acks.clone()).tell(Acks::BeforeReads, 65_536).finish());
    }
    assert_eq!((sum.counts.acked, sum.counts.read, sum.findings[&Kind::Lost].count), (1_200, 1_080, 120));
    assert_eq!(sum.findings[&Kind::Lost].examples.len(), 10);
    let text = serde_json::to_string(&sum).unwrap();
    assert!(text.contains(r#""lost":{"count":120"#), "{text}");
    assert!(Kind::ALL.iter().all(|kind| serde_json::to_string(kind).unwrap() == format!("\"{}\"", kind.name())));
}

#[test]
fn where_readers_are() {
    let mut judge = PartitionJudge::new(place(), Settings::default());
    let (first, late) = (judge.reader("first", Start::Earliest), judge.reader("late", Start::Anywhere));
    assert_eq!((judge.next_offset(first), judge.next_offset(late), judge.end()), (Some(0), None, None));
    judge.read(late, 7, sound(1, 7), 0);
    assert_eq!((judge.next_offset(first), judge.next_offset(late)), (Some(0), Some(8)));
    judge.reposition(late, 3);
    assert_eq!(judge.next_offset(late), Some(3));
    judge.leave(late, false);
    assert_eq!(judge.next_offset(late), None);
}
