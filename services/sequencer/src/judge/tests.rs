use eagre_model::{ObjectId, ProducerId, TopicNumber, batch::crc32c};

use super::*;

const OBJECT: ObjectId = ObjectId { epoch: UploadEpoch(1), incarnation: 1, number: 0 };
const FIRST: TopicPartition = TopicPartition { topic: TopicNumber(1), partition: 0 };
const SECOND: TopicPartition = TopicPartition { topic: TopicNumber(1), partition: 1 };
const NOWHERE: TopicPartition = TopicPartition { topic: TopicNumber(9), partition: 0 };

fn view() -> View {
    let tails = [(FIRST, TailState::EMPTY), (SECOND, TailState::EMPTY)];
    View {
        tails: tails.into_iter().collect(),
        ids: ProducerIds { unissued_from: 100, forgotten_below: 0 },
        producers: Producers::new(1_000),
        topic_producers: TopicProducers::new(1_000),
    }
}

fn batch(records: u32) -> CommitBatch {
    CommitBatch {
        length_bytes: 10 * records,
        record_count: records,
        crc32c: 0,
        max_timestamp_ms: 0,
        attributes: 0,
        producer: None,
        part: None,
    }
}

fn by(id: i64, epoch: i16, first_sequence: i32, records: u32) -> CommitBatch {
    let producer = ProducerSequence { id: ProducerId(id), epoch: ProducerEpoch(epoch), first_sequence };
    CommitBatch { producer: Some(producer), ..batch(records) }
}

fn request(runs: &[(TopicPartition, &[CommitBatch])]) -> CommitRequest {
    let mut position_bytes = 0;
    let runs = runs.iter().map(|(partition, batches)| {
        let run = CommitRun { partition: *partition, position_bytes, batches: batches.to_vec() };
        position_bytes += batches.iter().map(|batch| u64::from(batch.length_bytes)).sum::<u64>();
        run
    });
    let runs = runs.collect();
    CommitRequest {
        object: OBJECT,
        object_length_bytes: position_bytes,
        runs,
        inline: None,
        settled_below: 0,
        traceparent: None,
    }
}

/// Judges one run for the first partition.
fn outcomes(view: &mut View, batches: &[CommitBatch]) -> Vec<BatchOutcome> {
    judge(view, &request(&[(FIRST, batches)]), Rules::default()).outcomes
}

fn one(view: &mut View, batch: CommitBatch) -> BatchOutcome {
    outcomes(view, &[batch])[0]
}

fn appended(base_offset: i64) -> BatchOutcome {
    BatchOutcome::Appended { base_offset }
}

fn duplicate(base_offset: i64) -> BatchOutcome {
    BatchOutcome::Duplicate { base_offset }
}

fn out_of_order(expected: i32) -> BatchOutcome {
    BatchOutcome::Refused(RefusalReason::OutOfOrderSequence { expected })
}

fn fenced(current: i16) -> BatchOutcome {
    BatchOutcome::Refused(RefusalReason::ProducerFenced { current: ProducerEpoch(current) })
}

const TOO_OLD: BatchOutcome = BatchOutcome::Refused(RefusalReason::SequenceTooOld);
const UNKNOWN: BatchOutcome = BatchOutcome::Refused(RefusalReason::UnknownPartition);

#[test]
fn offsets_are_dense_across_batches_runs_and_requests() {
    let mut view = view();
    let asked = request(&[(FIRST, &[batch(3), batch(1)]), (SECOND, &[batch(5)]), (FIRST, &[batch(2)])]);
    let verdict = judge(&mut view, &asked, Rules::default());
    assert_eq!(verdict.outcomes, [appended(0), appended(3), appended(0), appended(4)]);
    assert_eq!(verdict.live_bytes, 110);
    assert_eq!(one(&mut view, batch(1)), appended(6));
    assert_eq!(view.tails[&FIRST].next_offset, 7);
    assert_eq!(view.tails[&FIRST].size_bytes, 70);
    assert_eq!(view.tails[&SECOND].next_offset, 5);
}

#[test]
fn batches_without_a_producer_are_always_appended() {
    let mut view = view();
    assert_eq!(outcomes(&mut view, &[batch(1), batch(1), batch(1)]), [appended(0), appended(1), appended(2)]);
}

#[test]
fn a_producer_goes_on_where_it_was() {
    let mut view = view();
    assert_eq!(one(&mut view, by(7, 0, 0, 3)), appended(0));
    assert_eq!(one(&mut view, by(7, 0, 3, 1)), appended(3));
    assert_eq!(one(&mut view, by(7, 0, 5, 1)), out_of_order(4), "4 is missing");
    assert_eq!(one(&mut view, by(7, 0, 4, 1)), appended(4), "a refusal changes nothing");
    assert_eq!(one(&mut view, by(7, 0, 5, 1)), appended(5));
}

#[test]
fn producers_and_partitions_do_not_meet() {
    let mut view = view();
    assert_eq!(one(&mut view, by(7, 0, 0, 3)), appended(0));
    assert_eq!(one(&mut view, by(8, 0, 0, 3)), appended(3));
    let elsewhere = judge(&mut view, &request(&[(SECOND, &[by(7, 0, 0, 3)])]), Rules::default());
    assert_eq!(elsewhere.outcomes, [appended(0)]);
}

#[test]
fn an_unknown_producer_begins_with_0() {
    let mut view = view();
    assert_eq!(one(&mut view, by(7, 3, 5, 1)), out_of_order(0));
    assert_eq!(one(&mut view, by(7, 3, 0, 1)), appended(0), "whatever its epoch");
}

#[test]
fn a_repeated_batch_is_a_duplicate_of_its_offset() {
    let mut view = view();
    for sequence in 0..16 {
        assert_eq!(one(&mut view, by(7, 0, sequence, 1)), appended(i64::from(sequence)));
    }
    for sequence in 0..16 {
        assert_eq!(one(&mut view, by(7, 0, sequence, 1)), duplicate(i64::from(sequence)));
    }
    assert_eq!(one(&mut view, by(7, 0, 16, 1)), appended(16), "duplicates change nothing");
    assert_eq!(one(&mut view, by(7, 0, 0, 1)), TOO_OLD, "16 later ones have pushed it out");
    assert_eq!(one(&mut view, by(7, 0, 1, 1)), duplicate(1));
}

#[test]
fn a_duplicate_inside_of_one_request_is_found() {
    let mut view = view();
    assert_eq!(
        outcomes(&mut view, &[by(7, 0, 0, 2), by(7, 0, 0, 2), by(7, 0, 2, 1)]),
        [appended(0), duplicate(0), appended(2)]
    );
}

#[test]
fn other_cuts_of_what_was_appended_are_out_of_order() {
    let mut view = view();
    assert_eq!(outcomes(&mut view, &[by(7, 0, 0, 4), by(7, 0, 4, 4)]), [appended(0), appended(4)]);
    for (first, records) in [(0, 3), (0, 8), (1, 3), (4, 5), (7, 2)] {
        assert_eq!(one(&mut view, by(7, 0, first, records)), out_of_order(8), "{first} + {records}");
    }
}

#[test]
fn a_higher_epoch_begins_anew_and_fences() {
    let mut view = view();
    assert_eq!(outcomes(&mut view, &[by(7, 0, 0, 1), by(7, 0, 1, 1)]), [appended(0), appended(1)]);
    assert_eq!(one(&mut view, by(7, 2, 2, 1)), out_of_order(0), "it has to begin with 0");
    assert_eq!(one(&mut view, by(7, 0, 2, 1)), appended(2), "the refusal has not fenced");
    assert_eq!(one(&mut view, by(7, 2, 0, 1)), appended(3));
    assert_eq!(one(&mut view, by(7, 0, 3, 1)), fenced(2));
    assert_eq!(one(&mut view, by(7, 1, 0, 1)), fenced(2));
    assert_eq!(one(&mut view, by(7, 0, 1, 1)), fenced(2), "even a duplicate");
    assert_eq!(one(&mut view, by(7, 2, 0, 1)), duplicate(3));
    assert_eq!(one(&mut view, by(7, 2, 1, 1)), appended(4));
}

#[test]
fn sequences_wrap_at_2_to_the_31() {
    let mut view = view();
    let key = ProducerKey { partition: FIRST, producer: ProducerId(7) };
    let last = SequenceRange { first_sequence: i32::MAX - 3, last_sequence: i32::MAX - 2, base_offset: 0 };
    view.producers
        .insert(key, ProducerState { epoch: Some(ProducerEpoch(0)), last_append_ms: None, window: vec![last] });
    assert_eq!(one(&mut view, by(7, 0, 0, 1)), out_of_order(i32::MAX - 1));
    assert_eq!(one(&mut view, by(7, 0, i32::MAX - 1, 5)), appended(0), "MAX - 1, MAX, 0, 1, 2");
    assert_eq!(one(&mut view, by(7, 0, i32::MAX - 1, 5)), duplicate(0));
    assert_eq!(one(&mut view, by(7, 0, 3, 1)), appended(5));
    assert_eq!(one(&mut view, by(7, 0, i32::MAX - 3, 2)), duplicate(0));
    assert_eq!(one(&mut view, by(7, 0, i32::MAX - 9, 1)), TOO_OLD);
    assert_eq!(one(&mut view, by(7, 0, 9, 1)), out_of_order(4));
}

#[test]
fn a_missing_partition_refuses_its_run_alone() {
    let mut view = view();
    let asked = request(&[(NOWHERE, &[batch(1), by(7, 0, 0, 1)]), (FIRST, &[batch(1)])]);
    let verdict = judge(&mut view, &asked, Rules::default());
    assert_eq!(verdict.outcomes, [UNKNOWN, UNKNOWN, appended(0)]);
    assert_eq!(verdict.rows.len(), 1);
    assert_eq!(verdict.rows[0].1.position_bytes, 20);
    assert!(verdict.producers.is_empty());
}

#[test]
fn each_accepted_stretch_is_one_row() {
    let mut view = view();
    assert_eq!(one(&mut view, by(7, 0, 0, 1)), appended(0));
    let batches = [
        CommitBatch { max_timestamp_ms: 50, crc32c: crc32c(b"first batch"), length_bytes: 11, ..batch(2) },
        CommitBatch { max_timestamp_ms: 40, crc32c: crc32c(b"second"), length_bytes: 6, ..batch(3) },
        by(7, 0, 0, 1),
        CommitBatch { max_timestamp_ms: 70, crc32c: crc32c(b"third"), length_bytes: 5, ..by(7, 0, 1, 1) },
        by(7, 0, 9, 1),
    ];
    let verdict = judge(&mut view, &request(&[(SECOND, &[batch(1)]), (FIRST, &batches)]), Rules::default());
    let rows: Vec<Run> =
        verdict.rows.into_iter().filter(|(partition, _)| *partition == FIRST).map(|(_, run)| run).collect();
    let expected = [
        Run {
            kind: RunKind::Wal,
            base_offset: 1,
            last_offset: 5,
            object: OBJECT,
            position_bytes: 10,
            length_bytes: 17,
            batches: 2,
            crc32c: crc32c(b"first batchsecond"),
            prefix_max_timestamp_ms: 50,
        },
        Run {
            kind: RunKind::Wal,
            base_offset: 6,
            last_offset: 6,
            object: OBJECT,
            position_bytes: 37,
            length_bytes: 5,
            batches: 1,
            crc32c: crc32c(b"third"),
            prefix_max_timestamp_ms: 70,
        },
    ];
    assert_eq!(rows, expected);
    assert_eq!(verdict.live_bytes, 10 + 17 + 5);
}

#[test]
fn the_highest_timestamp_is_that_of_the_prefix() {
    let mut view = view();
    let at = |max_timestamp_ms| CommitBatch { max_timestamp_ms, ..batch(1) };
    let maximum = |verdict: Verdict| verdict.rows[0].1.prefix_max_timestamp_ms;
    assert_eq!(maximum(judge(&mut view, &request(&[(FIRST, &[at(-5)])]), Rules::default())), -5);
    assert_eq!(maximum(judge(&mut view, &request(&[(FIRST, &[at(9), at(3)])]), Rules::default())), 9);
    assert_eq!(maximum(judge(&mut view, &request(&[(FIRST, &[at(4)])]), Rules::default())), 9);
}

#[test]
fn planted_bugs_break_their_rule() {
    let rules = Rules { old_epoch_accepted: true, ..Rules::default() };
    let mut broken = view();
    let asked = [by(7, 1, 0, 1), by(7, 0, 5, 1)];
    assert_eq!(judge(&mut broken, &request(&[(FIRST, &asked)]), rules).outcomes, [appended(0), appended(1)]);

    let rules = Rules { unknown_producer_continues: true, ..Rules::default() };
    assert_eq!(judge(&mut view(), &request(&[(FIRST, &[by(7, 0, 9, 1)])]), rules).outcomes, [appended(0)]);

    let rules = Rules { whole_run_duplicate_check: true, ..Rules::default() };
    let mut broken = view();
    assert_eq!(one(&mut broken, by(7, 0, 0, 1)), appended(0));
    let asked = [by(7, 0, 0, 1), by(7, 0, 1, 2)];
    assert_eq!(judge(&mut broken, &request(&[(FIRST, &asked)]), rules).outcomes, [duplicate(0), duplicate(1)]);
}

#[test]
fn an_id_that_was_never_given_out_is_refused() {
    let mut view = view();
    let unissued = BatchOutcome::Refused(RefusalReason::UnissuedProducerId);
    for id in [0, 100, 101, i64::MAX] {
        assert_eq!(outcomes(&mut view, &[by(id, 0, 0, 1), by(id, 0, 5, 1)]), [unissued, unissued]);
    }
    assert_eq!(one(&mut view, by(99, 0, 0, 1)), appended(0));
    assert_eq!(view.tails[&FIRST].next_offset, 1);
}

#[test]
fn a_producer_of_whom_states_may_have_been_forgotten_goes_on_where_it_is_known_and_begins_nowhere() {
    let mut view = view();
    assert_eq!(one(&mut view, by(7, 0, 0, 1)), appended(0));
    view.ids.forget(ProducerId(7));
    assert_eq!(one(&mut view, by(7, 0, 1, 1)), appended(1), "it is known here");
    assert_eq!(one(&mut view, by(7, 0, 0, 1)), duplicate(0));
    assert_eq!(one(&mut view, by(7, 1, 0, 1)), appended(2), "and may begin an epoch");
    let unknown = BatchOutcome::Refused(RefusalReason::UnknownProducerId);
    for (id, epoch, sequence) in [(7, 1, 0), (7, 2, 0), (7, 1, 3), (6, 0, 0), (1, 0, 1)] {
        let asked = request(&[(SECOND, &[by(id, epoch, sequence, 1)])]);
        assert_eq!(judge(&mut view, &asked, Rules::default()).outcomes, [unknown], "{id} {epoch} {sequence}");
    }
    assert_eq!(view.tails[&SECOND], TailState::EMPTY);
    let asked = request(&[(SECOND, &[by(8, 0, 0, 1)])]);
    assert_eq!(judge(&mut view, &asked, Rules::default()).outcomes, [appended(0)], "given out later");
}
