//! Every anomaly has a history that shows it and one beside it that is just right.

use crate::{stream::replay, *};

const P: Partition = Partition { topic: 1, partition: 0 };

/// A history written by hand; times are in seconds.
#[derive(Default)]
struct Story(History);

impl Story {
    fn attempt(mut self, process: u32, (from, to): (u64, u64), values: &[u64], outcome: Outcome<i64>) -> Self {
        self.send_as(process, (from, to), values, None, outcome);
        self
    }

    fn acked(self, process: u32, times: (u64, u64), value: u64, offset: i64) -> Self {
        self.attempt(process, times, &[value], Outcome::Ok(offset))
    }

    fn produced(mut self, times: (u64, u64), value: u64, identity: (i64, i32, i32), outcome: Outcome<i64>) -> Self {
        let (producer, epoch, first_sequence) = identity;
        // Each epoch is a process of its own.
        let process = u32::try_from(epoch).unwrap();
        self.send_as(process, times, &[value], Some(Identity { producer, epoch, first_sequence }), outcome);
        self
    }

    fn send_as(
        &mut self,
        process: u32,
        (from, to): (u64, u64),
        values: &[u64],
        identity: Option<Identity>,
        outcome: Outcome<i64>,
    ) {
        let values = values.iter().copied().map(Value).collect();
        let sent = Sent { partition: P, values, identity, outcome: Outcome::Unknown };
        let id = self.0.invoke(Process(process), at(from), Op::Send(sent));
        self.0.complete_send(id, at(to), outcome);
    }

    fn polled(self, times: (u64, u64), from: i64, records: &[(i64, u64)], high_watermark: i64) -> Self {
        self.polled_by((9, 1), times, from, records, high_watermark)
    }

    fn polled_by(
        mut self,
        (process, gateway): (u32, u32),
        (opened, came): (u64, u64),
        from: i64,
        records: &[(i64, u64)],
        high_watermark: i64,
    ) -> Self {
        let (gateway, stream) = (Gateway(gateway), u64::from(process) * 1_000 + opened);
        let polled = Polled { partition: P, gateway, stream, from, records: seen(records), high_watermark };
        self.0.record(Process(process), at(opened), at(came), Op::Poll(polled));
        self
    }

    fn ended(mut self, (from, to): (u64, u64), end: i64) -> Self {
        self.0.record(Process(8), at(from), at(to), Op::End(Ended { partition: P, outcome: Outcome::Ok(end) }));
        self
    }

    fn drained(self, time: u64, records: &[(i64, u64)]) -> Self {
        let end = records.last().map_or(0, |(offset, _)| offset + 1);
        self.drained_to(time, records, end, Vec::new())
    }

    fn drained_to(mut self, time: u64, records: &[(i64, u64)], end: i64, batches: Vec<StoredBatch>) -> Self {
        let drained = Drained { partition: P, log_start: 0, high_watermark: end, records: seen(records), batches };
        self.0.record(Process(7), at(time), at(time + 1), Op::Drain(drained));
        self
    }

    fn stored(self, batches: &[(i64, u32, i64, i32, i32)]) -> Self {
        let batches = batches.iter().map(|(base_offset, records, producer, epoch, first_sequence)| StoredBatch {
            base_offset: *base_offset,
            records: *records,
            identity: Some(Identity { producer: *producer, epoch: *epoch, first_sequence: *first_sequence }),
        });
        self.drained_to(100, &[], 0, batches.collect())
    }

    fn indexed(mut self, to: i64, rows: &[(i64, i64, Stored)]) -> Self {
        let rows = rows.iter().map(|(base_offset, last_offset, stored)| IndexRow {
            base_offset: *base_offset,
            last_offset: *last_offset,
            object: "object 3".to_owned(),
            stored: *stored,
        });
        let indexed = Indexed { partition: P, from: 0, to, rows: rows.collect() };
        self.0.record(Process(6), at(90), at(91), Op::Index(indexed));
        self
    }

    fn kinds(&self) -> Vec<ViolationKind> {
        judge(&self.0).into_iter().map(|violation| violation.kind).collect()
    }
}

fn at(seconds: u64) -> Moment {
    Moment(seconds * 1_000_000_000)
}

/// Value 0 stands for bytes that nobody sent.
fn seen(records: &[(i64, u64)]) -> Vec<Seen> {
    let seen = |(offset, value): &(i64, u64)| Seen { offset: *offset, value: (*value != 0).then_some(Value(*value)) };
    records.iter().map(seen).collect()
}

fn story() -> Story {
    Story::default()
}

/// Values 11, 12, 13 of three processes at offsets 0, 1, 2, all acked by second 6.
fn three() -> Story {
    story().acked(1, (1, 2), 11, 0).acked(2, (3, 4), 12, 1).acked(3, (5, 6), 13, 2)
}

#[track_caller]
fn shows(kind: ViolationKind, story: &Story) {
    assert!(story.kinds().contains(&kind), "{kind:?} is not among {:?}", story.kinds());
    for violation in judge(&story.0) {
        assert!(violation.sentence.len() > 30, "{violation}");
    }
}

/// The judge of streams finds it too.
#[track_caller]
fn both_show(kind: ViolationKind, story: &Story) {
    shows(kind, story);
    let replayed = replay(&story.0);
    assert!(!replayed.is_clean(), "{replayed:#?}");
}

#[track_caller]
fn is_right(story: &Story) {
    let found: Vec<_> = judge(&story.0).iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{found:#?}");
    let replayed = replay(&story.0);
    assert!(replayed.is_clean(), "{replayed:#?}");
}

#[test]
fn inconsistent_offset() {
    let sends = || story().attempt(1, (1, 2), &[11], Outcome::Unknown).attempt(2, (1, 2), &[12], Outcome::Unknown);
    both_show(
        ViolationKind::InconsistentOffset,
        &sends().polled((3, 4), 0, &[(0, 11)], 1).polled((5, 6), 0, &[(0, 12)], 1),
    );
    is_right(&sends().polled((3, 4), 0, &[(0, 11)], 1).polled((5, 6), 0, &[(0, 11), (1, 12)], 2));
    shows(ViolationKind::InconsistentOffset, &story().acked(1, (1, 2), 11, 0).acked(2, (1, 2), 12, 0));
    is_right(&story().acked(1, (1, 2), 11, 0).acked(2, (1, 2), 12, 1));
}

#[test]
fn offset_untrue() {
    let other = || story().attempt(2, (1, 9), &[12], Outcome::Unknown).acked(1, (1, 2), 11, 0);
    both_show(ViolationKind::OffsetUntrue, &other().polled((3, 4), 0, &[(0, 12), (1, 11)], 2));
    is_right(&other().polled((3, 4), 0, &[(0, 11), (1, 12)], 2));
    let batch = || story().attempt(1, (1, 2), &[11, 12], Outcome::Ok(4));
    both_show(ViolationKind::OffsetUntrue, &batch().polled((3, 4), 4, &[(4, 12), (5, 11)], 6));
    is_right(&batch().polled((3, 4), 4, &[(4, 11), (5, 12)], 6));
}

#[test]
fn duplicate() {
    both_show(ViolationKind::Duplicate, &three().polled((7, 8), 0, &[(0, 11), (1, 12), (2, 13), (3, 11)], 4));
    is_right(&three().polled((7, 8), 0, &[(0, 11), (1, 12)], 3).polled((9, 10), 0, &[(0, 11), (1, 12)], 3));
}

#[test]
fn corrupt_record() {
    both_show(ViolationKind::CorruptRecord, &three().polled((7, 8), 0, &[(0, 11), (1, 0)], 3));
    both_show(ViolationKind::CorruptRecord, &story().polled((7, 8), 0, &[(0, 99)], 1));
    is_right(&three().polled((7, 8), 0, &[(0, 11), (1, 12)], 3));
}

#[test]
fn unreadable() {
    let mut told = three();
    let damaged = Damaged { partition: P, from: 1, message: "the checksum is another one".to_owned() };
    told.0.record(Process(9), at(7), at(8), Op::Damage(damaged));
    shows(ViolationKind::Unreadable, &told);
    is_right(&three());
}

#[test]
fn lost_write() {
    both_show(ViolationKind::LostWrite, &three().drained(9, &[(0, 11), (2, 13)]));
    is_right(&three().drained(9, &[(0, 11), (1, 12), (2, 13)]));
    // A batch of unknown outcome is in the log as a whole or not at all.
    let unknown = || story().attempt(1, (1, 2), &[11, 12], Outcome::Unknown);
    shows(ViolationKind::LostWrite, &unknown().drained(9, &[(0, 11)]));
    is_right(&unknown().drained(9, &[(0, 11), (1, 12)]));
    is_right(&unknown().drained(9, &[]));
}

#[test]
fn unseen() {
    both_show(ViolationKind::Unseen, &three().drained(9, &[(0, 11), (1, 12)]));
    is_right(&story().acked(1, (1, 9), 11, 0).drained(8, &[]));
    let unknown = story().acked(1, (1, 2), 11, 0).attempt(1, (3, 4), &[12], Outcome::Unknown);
    is_right(&unknown.drained(9, &[(0, 11)]));
}

#[test]
fn vanished() {
    let read = || story().attempt(1, (1, 2), &[11], Outcome::Unknown).polled((3, 4), 0, &[(0, 11)], 1);
    both_show(ViolationKind::Vanished, &read().drained(9, &[]));
    is_right(&read().drained(9, &[(0, 11)]));
    // It came after the reading of the whole log had begun.
    let late = story().attempt(1, (1, 2), &[11], Outcome::Unknown).polled((3, 12), 0, &[(0, 11)], 1);
    is_right(&late.drained(9, &[]));
}

#[test]
fn aborted_read() {
    let failed = || story().attempt(1, (1, 2), &[11], Outcome::Failed);
    both_show(ViolationKind::AbortedRead, &failed().polled((3, 4), 0, &[(0, 11)], 1));
    is_right(&failed());
    // The first attempt's outcome was unknown, so the refusal of the second one says nothing about it.
    let twice = story().attempt(1, (1, 2), &[11], Outcome::Unknown).attempt(1, (3, 4), &[11], Outcome::Failed);
    is_right(&twice.polled((5, 6), 0, &[(0, 11)], 1));
}

#[test]
fn offset_gap() {
    let kept = |records: &[(i64, u64)], end| three().drained_to(9, records, end, Vec::new());
    both_show(ViolationKind::OffsetGap, &kept(&[(0, 11), (2, 13)], 3));
    shows(ViolationKind::OffsetGap, &kept(&[(0, 11), (1, 12), (2, 13)], 4));
    is_right(&kept(&[(0, 11), (1, 12), (2, 13)], 3));
}

#[test]
fn poll_skip_and_nonmonotonic_poll() {
    both_show(ViolationKind::PollSkip, &three().polled((7, 8), 0, &[(0, 11), (2, 13)], 3));
    both_show(ViolationKind::PollSkip, &three().polled((7, 8), 1, &[(2, 13)], 3));
    both_show(ViolationKind::PollNonmonotonic, &three().polled((7, 8), 0, &[(0, 11), (1, 12), (1, 12)], 3));
    both_show(ViolationKind::PollNonmonotonic, &three().polled((7, 8), 2, &[(1, 12)], 3));
    // A reader may seek.
    is_right(&three().polled((7, 8), 1, &[(1, 12), (2, 13)], 3).polled((7, 9), 0, &[(0, 11)], 3));
}

#[test]
fn nonmonotonic_send() {
    let first = || story().acked(1, (1, 9), 11, 5);
    shows(ViolationKind::SendNonmonotonic, &first().acked(1, (2, 9), 12, 4));
    let read = first().acked(1, (2, 9), 12, 4).polled((10, 11), 4, &[(4, 12), (5, 11)], 6);
    both_show(ViolationKind::SendNonmonotonic, &read);
    is_right(&first().acked(1, (2, 9), 12, 6));
    // Of two processes neither came first.
    is_right(&first().acked(2, (2, 9), 12, 4));
    // The first one was sent once more after the second.
    let again = story().attempt(1, (1, 2), &[11], Outcome::Failed).acked(1, (2, 5), 12, 4).acked(1, (3, 6), 11, 5);
    is_right(&again);
}

#[test]
fn stale_end() {
    shows(ViolationKind::StaleEnd, &three().ended((7, 8), 2));
    is_right(&three().ended((7, 8), 3));
    // Asked before the last ack had come.
    is_right(&three().ended((5, 8), 2));
    let read = || story().attempt(1, (1, 2), &[11], Outcome::Unknown).polled((3, 4), 0, &[(0, 11)], 1);
    shows(ViolationKind::StaleEnd, &read().ended((5, 6), 0));
    is_right(&read().ended((5, 6), 1));
}

#[test]
fn end_went_back() {
    shows(ViolationKind::EndWentBack, &story().ended((1, 2), 5).ended((3, 4), 4));
    is_right(&story().ended((1, 2), 5).ended((3, 4), 5));
    is_right(&story().ended((1, 3), 5).ended((2, 4), 4));
    shows(ViolationKind::EndWentBack, &story().polled((1, 2), 0, &[], 5).ended((3, 4), 4));
}

#[test]
fn watermark_went_back() {
    let poll = |gateway, opened, watermark| {
        story().polled_by((1, 1), (1, 3), 0, &[], 5).polled_by((2, gateway), (opened, 6), 0, &[], watermark)
    };
    shows(ViolationKind::WatermarkWentBack, &poll(1, 4, 4));
    is_right(&poll(1, 4, 5));
    // Another gateway may not know yet, and a stream that was open already may have had the message under way.
    is_right(&poll(2, 4, 4));
    is_right(&poll(1, 2, 4));
    let one_stream = story().polled((1, 2), 0, &[], 5).polled((1, 3), 0, &[], 4);
    shows(ViolationKind::WatermarkWentBack, &one_stream);
}

#[test]
fn read_above_watermark() {
    shows(ViolationKind::ReadAboveWatermark, &three().polled((7, 8), 0, &[(0, 11), (1, 12)], 1));
    is_right(&three().polled((7, 8), 0, &[(0, 11), (1, 12)], 2));
}

#[test]
fn not_linearizable() {
    shows(ViolationKind::NotLinearizable, &story().acked(1, (1, 2), 11, 7).acked(2, (3, 4), 12, 6));
    is_right(&story().acked(1, (1, 3), 11, 7).acked(2, (2, 4), 12, 6));
    // The end had been stated above the offset before the record was sent.
    shows(ViolationKind::NotLinearizable, &story().ended((1, 2), 7).acked(2, (3, 4), 12, 6));
    is_right(&story().ended((1, 4), 7).acked(2, (3, 5), 12, 6));
    // An append of unknown outcome counts when it is seen.
    let unknown = |sent| {
        story().acked(1, (1, 2), 11, 1).attempt(2, (sent, 9), &[12], Outcome::Unknown).polled(
            (5, 6),
            0,
            &[(0, 12), (1, 11)],
            2,
        )
    };
    shows(ViolationKind::NotLinearizable, &unknown(3));
    is_right(&unknown(1));
}

#[test]
fn idempotence_broken() {
    let first = || story().produced((1, 2), 11, (5, 0, 0), Outcome::Ok(0));
    both_show(ViolationKind::IdempotenceBroken, &first().produced((3, 4), 11, (5, 0, 0), Outcome::Ok(1)));
    is_right(&first().produced((3, 4), 11, (5, 0, 0), Outcome::Ok(0)));
    is_right(&first().produced((3, 4), 12, (6, 0, 0), Outcome::Ok(1)));
}

#[test]
fn zombie_acked() {
    let newer = || story().produced((1, 2), 11, (5, 1, 0), Outcome::Ok(0));
    shows(ViolationKind::ZombieAcked, &newer().produced((3, 4), 12, (5, 0, 0), Outcome::Ok(1)));
    is_right(&newer().produced((3, 4), 12, (5, 0, 0), Outcome::Failed));
    // It was sent before the newer epoch was acked.
    is_right(&story().produced((1, 3), 11, (5, 1, 0), Outcome::Ok(1)).produced((2, 4), 12, (5, 0, 0), Outcome::Ok(0)));
}

#[test]
fn made_up_id_accepted() {
    let sent = |producer, outcome| {
        let mut story = story().produced((1, 2), 11, (producer, 0, 0), outcome);
        story.0.made_up(99);
        story
    };
    shows(ViolationKind::MadeUpIdAccepted, &sent(99, Outcome::Ok(0)));
    shows(ViolationKind::MadeUpIdAccepted, &sent(99, Outcome::Unknown).stored(&[(0, 1, 99, 0, 0)]));
    is_right(&sent(99, Outcome::Failed));
    is_right(&sent(98, Outcome::Ok(0)));
}

#[test]
fn stored_batches_of_a_producer() {
    let right = [(0, 2, 5, 0, 0), (2, 1, 6, 0, 0), (3, 1, 5, 0, 2), (4, 1, 5, 1, 0)];
    let stored = |changed: usize, batch| {
        let mut batches = right;
        batches[changed] = batch;
        story().stored(&batches)
    };
    assert!(!story().stored(&right).kinds().iter().any(|kind| *kind != ViolationKind::OffsetGap));
    shows(ViolationKind::SequenceGap, &stored(2, (3, 1, 5, 0, 3)));
    shows(ViolationKind::SequenceGap, &stored(0, (0, 2, 5, 0, 1)));
    shows(ViolationKind::SequenceGap, &stored(3, (4, 1, 5, 1, 1)));
    shows(ViolationKind::SequenceDisorder, &stored(2, (3, 1, 5, 0, 1)));
    shows(ViolationKind::OldEpochAppended, &story().stored(&[(0, 1, 5, 1, 0), (1, 1, 5, 0, 0)]));
    // Sequences count modulo 2^31.
    let wrapped = story().stored(&[(0, u32::MAX / 2, 5, 0, 0), (1, 2, 5, 0, i32::MAX), (3, 1, 5, 0, 1)]);
    assert!(wrapped.kinds().is_empty(), "{:?}", wrapped.kinds());
}

#[test]
fn index() {
    let rows = |second: (i64, i64)| story().indexed(6, &[(0, 2, Stored::Sound), (second.0, second.1, Stored::Sound)]);
    shows(ViolationKind::IndexNotTiled, &rows((4, 5)));
    shows(ViolationKind::IndexNotTiled, &rows((2, 5)));
    shows(ViolationKind::IndexNotTiled, &rows((3, 4)));
    is_right(&rows((3, 5)));
    is_right(&rows((3, 9)));
    for stored in [
        Stored::NoObject,
        Stored::Short { object_bytes: 10, wanted_bytes: 12 },
        Stored::Corrupt { expected: 1, found: 2 },
    ] {
        shows(ViolationKind::IndexDangling, &story().indexed(3, &[(0, 2, stored)]));
    }
}
