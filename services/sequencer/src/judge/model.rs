//! The judge against a naive model that remembers everything.

use std::collections::BTreeMap;

use eagre_model::{ObjectId, ProducerId, TopicNumber};
use proptest::{collection::vec, prelude::*};

use super::*;

/// A log with every batch that was appended.
#[derive(Default)]
struct Model {
    next_offset: BTreeMap<TopicPartition, i64>,
    producers: BTreeMap<ProducerKey, Known>,
}

/// The epoch, the sequence expected, and every batch of that epoch: first sequence, records, base offset.
type Known = (i16, i64, Vec<(i64, u32, i64)>);

impl Model {
    fn append(&mut self, partition: TopicPartition, batch: &CommitBatch) -> BatchOutcome {
        let next = self.next_offset.entry(partition).or_default();
        let base_offset = *next;
        if let Some(ProducerSequence { id, epoch, first_sequence }) = batch.producer {
            let key = ProducerKey { partition, producer: id };
            let (known, expected, all) = self.producers.entry(key).or_insert((-1, 0, Vec::new()));
            if epoch.0 < *known {
                return BatchOutcome::Refused(RefusalReason::ProducerFenced { current: ProducerEpoch(*known) });
            }
            let sequence = i64::from(first_sequence);
            if epoch.0 > *known {
                if sequence != 0 {
                    return BatchOutcome::Refused(RefusalReason::OutOfOrderSequence { expected: 0 });
                }
                (*known, *expected) = (epoch.0, 0);
                all.clear();
            }
            let remembered = &all[all.len().saturating_sub(WINDOW_BATCHES)..];
            if let Some((.., base_offset)) =
                remembered.iter().rev().find(|(first, records, _)| (*first, *records) == (sequence, batch.record_count))
            {
                return BatchOutcome::Duplicate { base_offset: *base_offset };
            }
            if sequence != *expected {
                let too_old = remembered.first().is_some_and(|(oldest, ..)| sequence < *oldest);
                let expected = i32::try_from(*expected).unwrap();
                return BatchOutcome::Refused(if too_old {
                    RefusalReason::SequenceTooOld
                } else {
                    RefusalReason::OutOfOrderSequence { expected }
                });
            }
            *expected += i64::from(batch.record_count);
            all.push((sequence, batch.record_count, base_offset));
        }
        *next += i64::from(batch.record_count);
        BatchOutcome::Appended { base_offset }
    }
}

fn any_batch() -> impl Strategy<Value = CommitBatch> {
    let producer = prop_oneof![
        1 => Just(None),
        8 => (1..4i64, 0..3i16, 0..40i32).prop_map(|(id, epoch, first_sequence)| Some(ProducerSequence {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
            first_sequence,
        })),
    ];
    (1..3u32, -5..50i64, 0..u32::MAX, producer).prop_map(|(record_count, max_timestamp_ms, crc32c, producer)| {
        CommitBatch {
            length_bytes: record_count * 7,
            record_count,
            crc32c,
            max_timestamp_ms,
            attributes: 0,
            producer,
            part: None,
        }
    })
}

/// Random batches are mostly refused; this one is what its producer would send next, or a little beside it.
fn likely(model: &Model, partition: TopicPartition, mut batch: CommitBatch, aside: i32) -> CommitBatch {
    if let Some(producer) = &mut batch.producer {
        let key = ProducerKey { partition, producer: producer.id };
        if let Some((epoch, expected, _)) = model.producers.get(&key) {
            producer.epoch = ProducerEpoch((*epoch).max(0));
            producer.first_sequence = (i32::try_from(*expected).unwrap() + aside).max(0);
        }
    }
    batch
}

type AnyRun = (u32, Vec<(CommitBatch, Option<i32>)>);

fn any_request() -> impl Strategy<Value = Vec<AnyRun>> {
    let aside = proptest::option::weighted(0.8, prop_oneof![5 => Just(0), 1 => -40..3i32]);
    vec((0..3u32, vec((any_batch(), aside), 1..6)), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_model(requests in vec(any_request(), 1..12)) {
        let of = |partition| TopicPartition { topic: TopicNumber(1), partition };
        // Partition 2 does not exist.
        let tails = (0..2).map(|partition| (of(partition), TailState::EMPTY)).collect();
        let ids = ProducerIds { unissued_from: 4, forgotten_below: 0 };
        let (producers, topic_producers) = (Producers::new(1_000), TopicProducers::new(1_000));
        let mut view = View { tails, ids, producers, topic_producers };
        let mut model = Model::default();
        let mut tiled = BTreeMap::<TopicPartition, i64>::new();
        for (number, runs) in requests.into_iter().enumerate() {
            let object = ObjectId { epoch: UploadEpoch(1), incarnation: 1, number: number as u64 };
            let (mut position_bytes, mut asked, mut expected) = (0, Vec::new(), Vec::new());
            for (partition, batches) in runs {
                let partition = of(partition);
                let mut run = CommitRun { partition, position_bytes, batches: Vec::new() };
                for (batch, aside) in batches {
                    let batch = aside.map_or(batch.clone(), |aside| likely(&model, partition, batch, aside));
                    let unknown = BatchOutcome::Refused(RefusalReason::UnknownPartition);
                    expected.push(if partition.partition == 2 { unknown } else { model.append(partition, &batch) });
                    position_bytes += u64::from(batch.length_bytes);
                    run.batches.push(batch);
                }
                asked.push(run);
            }
            let request = CommitRequest {
                object,
                object_length_bytes: position_bytes,
                runs: asked,
                inline: None,
                settled_below: 0,
                traceparent: None,
            };
            prop_assert_eq!(request.check(1), Ok(()));
            let verdict = judge(&mut view, &request, Rules::default());
            prop_assert_eq!(&verdict.outcomes, &expected);
            check_rows(&request, &verdict, &mut tiled)?;
        }
        for (partition, next) in model.next_offset {
            prop_assert_eq!(view.tails[&partition].next_offset, next);
        }
    }
}

/// The rows tile the log, cover the accepted batches and nothing else, and carry the right CRC.
fn check_rows(
    request: &CommitRequest,
    verdict: &Verdict,
    tiled: &mut BTreeMap<TopicPartition, i64>,
) -> Result<(), TestCaseError> {
    let mut accepted = Vec::new();
    let mut outcomes = verdict.outcomes.iter();
    for run in &request.runs {
        let mut position = run.position_bytes;
        for batch in &run.batches {
            if let Some(BatchOutcome::Appended { base_offset }) = outcomes.next() {
                accepted.push((run.partition, position, *base_offset, batch));
            }
            position += u64::from(batch.length_bytes);
        }
    }
    let mut accepted = accepted.into_iter().peekable();
    for (partition, row) in &verdict.rows {
        let next = tiled.entry(*partition).or_default();
        prop_assert_eq!(row.base_offset, *next);
        *next = row.next_offset();
        let (mut position, mut offset, mut crc, mut batches) = (row.position_bytes, row.base_offset, None, 0);
        while batches < row.batches {
            let Some((of, at, base_offset, batch)) = accepted.next() else {
                return Err(TestCaseError::fail("a row over batches that were not accepted"));
            };
            prop_assert_eq!((of, at, base_offset), (*partition, position, offset));
            crc =
                Some(crc.map_or(batch.crc32c, |crc| crc32c_combine(crc, batch.crc32c, u64::from(batch.length_bytes))));
            position += u64::from(batch.length_bytes);
            offset += i64::from(batch.record_count);
            batches += 1;
        }
        prop_assert_eq!(position - row.position_bytes, u64::from(row.length_bytes));
        prop_assert_eq!(offset, row.next_offset());
        prop_assert_eq!(crc, Some(row.crc32c));
        // Maximal: an accepted batch that follows without a gap would be in the row.
        let extends = accepted.peek().is_some_and(|(of, at, ..)| (of, *at) == (partition, position));
        prop_assert!(!extends || request.runs.iter().any(|run| run.position_bytes == position));
    }
    prop_assert!(accepted.next().is_none());
    Ok(())
}
