//! Each kind is found, and nothing else with it.

use super::*;

#[test]
fn lost() {
    let (slots, mut acks) = two_producers();
    acks.push((1, 50, 5, 100));
    // At the end of a lane, without a trace in the log.
    Story::of(&slots, acks).shows(Kind::Lost, 5);
    // In the middle: the next batch stands where its ack says that it stands.
    let (mut slots, mut acks) = two_producers();
    slots.drain(10..15);
    acks[3..].iter_mut().for_each(|ack| ack.3 -= 5);
    Story::of(&slots, acks.clone()).shows(Kind::Lost, 5);
    Story::of(&slots, acks).and_read(steps(&slots)).shows(Kind::Lost, 5);
}

#[test]
fn lost_though_the_reader_leaves_early() {
    let (mut slots, mut acks) = two_producers();
    slots.drain(10..15);
    acks[3..].iter_mut().for_each(|ack| ack.3 -= 5);
    let mut story = Story::of(&slots[..40], acks);
    story.readers[0].complete = false;
    for order in ORDERS {
        let verdict = story.tell(order, 65_536).finish();
        assert_eq!(verdict.findings.keys().collect::<Vec<_>>(), [&Kind::Lost], "{verdict:#?}");
        assert_eq!(verdict.findings[&Kind::Lost].count, 5);
        assert!(verdict.unchecked.iter().any(|sentence| sentence.contains("55 acknowledged")), "{verdict:#?}");
    }
}

#[test]
fn a_lane_without_any_record() {
    let (slots, mut acks) = two_producers();
    acks.push((7, 0, 2, 100));
    Story::of(&slots, acks).shows(Kind::Lost, 2);
}

#[test]
fn duplicated() {
    let (mut slots, acks) = two_producers();
    slots.extend_from_within(90..95);
    Story::of(&slots, acks).shows(Kind::Duplicated, 5);
    // Two acks of the same records.
    for read_first in [false, true] {
        let (slots, mut acks) = two_producers();
        acks.insert(if read_first { 20 } else { 3 }, (1, 5, 5, 20));
        let verdict = Story::of(&slots, acks).tell(Acks::BeforeReads, 65_536).finish();
        assert_eq!(verdict.findings.keys().collect::<Vec<_>>(), [&Kind::Duplicated], "{verdict:#?}");
    }
}

#[test]
fn reordered() {
    // The acks tell the truth about it.
    let slots = vec![sound(1, 0), sound(1, 2), sound(1, 1), sound(1, 3)];
    Story::of(&slots, vec![(1, 0, 1, 0), (1, 1, 1, 2), (1, 2, 1, 1), (1, 3, 1, 3)]).shows(Kind::Reordered, 1);
}

#[test]
fn wrong_offset() {
    for shift in [1, -1, 50] {
        let (slots, mut acks) = two_producers();
        acks[4].3 += shift;
        Story::of(&slots, acks).shows(Kind::WrongOffset, 5);
    }
    let (slots, acks) = two_producers();
    let verdict = Story::of(&slots, acks).tell(Acks::BeforeReads, 65_536).finish();
    assert_eq!((verdict.counts.offsets_compared, verdict.counts.offsets_by_digest), (100, 0));
}

#[test]
fn gap() {
    let (slots, mut acks) = two_producers();
    acks[10..].iter_mut().for_each(|ack| ack.3 += 3);
    let shifted = |step: &Step| match step {
        Step::Read(offset, record) if *offset >= 50 => Step::Read(offset + 3, *record),
        step => *step,
    };
    let mut story = Story::of(&slots, acks);
    story.readers[0].steps = story.readers[0].steps.iter().map(shifted).collect();
    story.shows(Kind::Gap, 3);
    let steps = story.readers[0].steps.clone();
    story = story.and_read(steps);
    story.shows(Kind::Gap, 3);
    story.gaps = true;
    story.is_right();
}

#[test]
fn went_back() {
    let (slots, acks) = two_producers();
    let mut story = Story::of(&slots, acks);
    let again: Vec<_> = story.readers[0].steps[20..30].to_vec();
    story.readers[0].steps.splice(30..30, again);
    story.shows(Kind::WentBack, 10);
}

#[test]
fn answers_in_the_wrong_order() {
    let (slots, acks) = two_producers();
    let mut story = Story::of(&slots, acks);
    story.readers[0].steps[20..40].rotate_left(10);
    let verdict = story.tell(Acks::BeforeReads, 65_536).finish();
    assert_eq!(verdict.findings.keys().collect::<Vec<_>>(), [&Kind::Reordered, &Kind::WentBack], "{verdict:#?}");
}

#[test]
fn corrupted() {
    let (mut slots, acks) = two_producers();
    slots[42] = Record::Corrupt("the checksum is another one");
    Story::of(&slots, acks.clone()).shows(Kind::Corrupted, 1);
    // On one reader's way only.
    let (right, _) = two_producers();
    Story::of(&right, acks.clone()).and_read(steps(&slots)).shows(Kind::Corrupted, 1);
    Story::of(&slots, acks.clone()).and_read(steps(&right)).shows(Kind::Corrupted, 1);
    // Only when it is read again.
    let mut story = Story::of(&right, acks);
    story.readers[0].steps.insert(80, Step::Reposition(20));
    story.readers[0].steps.splice(81..81, steps(&slots)[20..80].iter().copied());
    story.shows(Kind::Corrupted, 1);
}

#[test]
fn foreign() {
    let (mut slots, mut acks) = two_producers();
    slots.insert(35, Record::Foreign);
    acks[7..].iter_mut().for_each(|ack| ack.3 += 1);
    Story::of(&slots, acks).shows(Kind::Foreign, 1);
}

#[test]
fn visible_though_failed() {
    let (slots, mut acks) = two_producers();
    let (producer, first, count, _) = acks.remove(6);
    let mut story = Story::of(&slots, acks);
    story.failed.push((producer, first, count));
    story.shows(Kind::VisibleThoughFailed, 5);
}

#[test]
fn skipped() {
    let (slots, acks) = two_producers();
    let mut left_out = steps(&slots);
    left_out.drain(30..37);
    Story::of(&slots, acks.clone()).and_read(left_out.clone()).shows(Kind::Skipped, 7);
    let mut story = Story::of(&slots, acks.clone());
    story.readers.insert(0, Reading { start: Start::Anywhere, steps: left_out.clone(), complete: false });
    story.shows(Kind::Skipped, 7);
    // The only reader: the log's offsets say that something is there.
    let mut alone = Story::of(&slots, acks);
    alone.readers[0].steps = left_out;
    let verdict = alone.tell(Acks::BeforeReads, 65_536).finish();
    assert_eq!(verdict.findings.keys().collect::<Vec<_>>(), [&Kind::Skipped], "{verdict:#?}");
    // Two readers: nobody has it.
    let twice = alone.readers[0].clone();
    alone.readers.push(twice);
    let verdict = alone.tell(Acks::BeforeReads, 65_536).finish();
    assert_eq!(verdict.findings.keys().collect::<Vec<_>>(), [&Kind::Lost], "{verdict:#?}");
}

#[test]
fn skipped_without_a_lane_that_shows_it() {
    let (mut slots, mut acks) = two_producers();
    slots.insert(35, Record::Foreign);
    acks[7..].iter_mut().for_each(|ack| ack.3 += 1);
    let mut left_out = steps(&slots);
    left_out.remove(35);
    let verdict = Story::of(&slots, acks).and_read(left_out).tell(Acks::BeforeReads, 65_536).finish();
    assert_eq!(verdict.findings.keys().collect::<Vec<_>>(), [&Kind::Foreign, &Kind::Skipped], "{verdict:#?}");
}

#[test]
fn skipped_at_the_end() {
    let (slots, acks) = two_producers();
    Story::of(&slots, acks.clone()).and_read(steps(&slots[..97])).shows(Kind::Skipped, 3);
    // Seen once, and then gone, though nobody knows what became of the append.
    let mut story = Story::of(&slots, acks[..19].to_vec()).and_read(steps(&slots[..95]));
    story.unknown.push((2, 45, 5));
    story.shows(Kind::Skipped, 5);
}

#[test]
fn readers_disagree() {
    let (slots, acks) = two_producers();
    // Each lane is in order for both.
    let mut other = slots.clone();
    other.swap(44, 45);
    // It comes after the other one, or it would meet the acks first.
    let mut other = steps(&other);
    other.splice(0..0, [Step::Reposition(0); 10]);
    Story::of(&slots, acks).and_read(other).shows(Kind::ReadersDisagree, 1);
}

#[test]
fn a_second_reading_differs() {
    let (slots, acks) = two_producers();
    let mut other = steps(&slots);
    (other[44], other[45]) = match (other[44], other[45]) {
        (Step::Read(first, a), Step::Read(second, b)) => (Step::Read(first, b), Step::Read(second, a)),
        steps => steps,
    };
    let mut story = Story::of(&slots, acks);
    story.readers[0].steps.insert(80, Step::Reposition(0));
    story.readers[0].steps.splice(81..81, other[..80].iter().copied());
    story.shows(Kind::ReadersDisagree, 1);
}

#[test]
fn never_sent() {
    let (mut slots, acks) = two_producers();
    slots.extend([sound(1, 50), sound(1, 51)]);
    Story::of(&slots, acks).shows(Kind::NeverSent, 2);
    let (mut slots, acks) = two_producers();
    slots.push(sound(9, 0));
    Story::of(&slots, acks).shows(Kind::NeverSent, 1);
    let (mut slots, acks) = two_producers();
    slots.push(sound(1, u64::MAX));
    Story::of(&slots, acks).shows(Kind::NeverSent, 1);
}

#[test]
fn numbers_that_nobody_uses() {
    let (slots, acks) = two_producers();
    let mut story = Story::of(&slots, acks);
    for offset in [i64::MIN, -1, i64::MAX] {
        story.readers[0].steps.push(Step::Read(offset, sound(1, 1)));
    }
    story.shows(Kind::WrongOffset, 3);
}
