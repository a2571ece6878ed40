use eagre_model::{ObjectId, ProducerId, TopicNumber};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    judge::{View, judge},
    producers::Producers,
};
use eagre_sequencer_api::CommitRun;

const TOPIC: TopicNumber = TopicNumber(1);
/// One more is named, and does not exist.
const PARTITIONS: u32 = 4;

/// A request as a gateway took it: who, its first sequence, the version of the map, and how many records go where.
#[derive(Debug, Clone)]
struct Request {
    producer: i64,
    epoch: i16,
    first_sequence: i32,
    version: u64,
    parts: BTreeMap<u32, u32>,
}

impl Request {
    fn of(first_sequence: i32, parts: &[(u32, u32)]) -> Self {
        Self { producer: 7, epoch: 0, first_sequence, version: 1, parts: parts.iter().copied().collect() }
    }

    fn records(&self) -> u32 {
        self.parts.values().sum()
    }
}

fn view(partitions: u32) -> View {
    let of = |partition| (TopicPartition { topic: TOPIC, partition }, TailState::EMPTY);
    let (producers, topic_producers) = (Producers::new(1_000), TopicProducers::new(1_000));
    let ids = ProducerIds { unissued_from: 100, forgotten_below: 0 };
    View { tails: (0..partitions).map(of).collect(), ids, producers, topic_producers }
}

/// Commits requests with one object; returns the outcomes of each one's parts, by partition.
fn commit(view: &mut View, requests: &[Request], rules: Rules) -> Vec<BTreeMap<u32, BatchOutcome>> {
    let mut runs: BTreeMap<u32, Vec<CommitBatch>> = BTreeMap::new();
    for (number, request) in (1..).zip(requests) {
        for (partition, records) in &request.parts {
            runs.entry(*partition).or_default().push(CommitBatch {
                length_bytes: 10,
                record_count: *records,
                crc32c: 0,
                max_timestamp_ms: 0,
                attributes: 0,
                producer: Some(ProducerSequence {
                    id: ProducerId(request.producer),
                    epoch: ProducerEpoch(request.epoch),
                    first_sequence: request.first_sequence,
                }),
                part: Some(PartOf { number, records: request.records(), partition_map_version: request.version }),
            });
        }
    }
    let mut position_bytes = 0;
    let run = |(partition, batches): (u32, Vec<CommitBatch>)| {
        let at = position_bytes;
        position_bytes += 10 * batches.len() as u64;
        CommitRun { partition: TopicPartition { topic: TOPIC, partition }, position_bytes: at, batches }
    };
    let runs: Vec<_> = runs.into_iter().map(run).collect();
    let object = ObjectId { epoch: UploadEpoch(1), incarnation: 1, number: 1 };
    let asked = CommitRequest {
        object,
        object_length_bytes: position_bytes,
        runs,
        inline: None,
        settled_below: 0,
        traceparent: None,
    };
    assert_eq!(asked.check(1), Ok(()));
    let verdict = judge(view, &asked, rules);
    let mut outcomes = vec![BTreeMap::new(); requests.len()];
    let batches = asked.runs.iter().flat_map(|run| run.batches.iter().map(move |batch| (run.partition, batch)));
    for ((partition, batch), outcome) in batches.zip(&verdict.outcomes) {
        outcomes[batch.part.unwrap().number as usize - 1].insert(partition.partition, *outcome);
    }
    outcomes
}

fn one(view: &mut View, request: &Request) -> BTreeMap<u32, BatchOutcome> {
    commit(view, std::slice::from_ref(request), Rules::default()).remove(0)
}

fn all(outcomes: &BTreeMap<u32, BatchOutcome>, expected: BatchOutcome) -> bool {
    outcomes.values().all(|outcome| *outcome == expected)
}

fn refused(reason: RefusalReason) -> BatchOutcome {
    BatchOutcome::Refused(reason)
}

#[test]
fn a_request_is_appended_whole_and_known_again() {
    let mut view = view(PARTITIONS);
    let request = Request::of(0, &[(0, 2), (3, 1)]);
    let bases = BTreeMap::from([(0, 0), (3, 0)]);
    let appended: BTreeMap<_, _> =
        bases.iter().map(|(partition, base)| (*partition, BatchOutcome::Appended { base_offset: *base })).collect();
    assert_eq!(one(&mut view, &request), appended);
    let next = Request::of(3, &[(0, 1)]);
    assert_eq!(one(&mut view, &next)[&0], BatchOutcome::Appended { base_offset: 2 });
    let again: BTreeMap<_, _> =
        bases.iter().map(|(partition, base)| (*partition, BatchOutcome::Duplicate { base_offset: *base })).collect();
    assert_eq!(one(&mut view, &request), again);
}

#[test]
fn what_is_not_whole_or_not_next_changes_nothing() {
    let mut view = view(PARTITIONS);
    let nowhere = Request::of(0, &[(0, 1), (PARTITIONS, 1)]);
    assert!(all(&one(&mut view, &nowhere), refused(RefusalReason::UnknownPartition)));
    let gap = Request::of(2, &[(0, 1), (1, 1)]);
    assert!(all(&one(&mut view, &gap), refused(RefusalReason::OutOfOrderSequence { expected: 0 })));
    assert!(view.tails.values().all(|tail| tail.next_offset == 0));
    one(&mut view, &Request { epoch: 3, ..Request::of(0, &[(0, 1), (1, 1)]) });
    let fenced = refused(RefusalReason::ProducerFenced { current: ProducerEpoch(3) });
    assert!(all(&one(&mut view, &Request::of(0, &[(0, 1), (1, 1)])), fenced));
}

#[test]
fn numbers_of_a_topic_and_of_a_partition_know_nothing_of_each_other() {
    let mut view = view(PARTITIONS);
    one(&mut view, &Request::of(0, &[(0, 5)]));
    let sequence = ProducerSequence { id: ProducerId(7), epoch: ProducerEpoch(0), first_sequence: 0 };
    let batch = CommitBatch {
        length_bytes: 10,
        record_count: 5,
        crc32c: 0,
        max_timestamp_ms: 0,
        attributes: 0,
        producer: Some(sequence),
        part: None,
    };
    let run =
        CommitRun { partition: TopicPartition { topic: TOPIC, partition: 0 }, position_bytes: 0, batches: vec![batch] };
    let object = ObjectId { epoch: UploadEpoch(1), incarnation: 1, number: 2 };
    let asked = CommitRequest {
        object,
        object_length_bytes: 10,
        runs: vec![run],
        inline: None,
        settled_below: 0,
        traceparent: None,
    };
    let verdict = judge(&mut view, &asked, Rules::default());
    assert_eq!(verdict.outcomes, [BatchOutcome::Appended { base_offset: 5 }]);
    assert_eq!((verdict.producers.len(), verdict.topic_producers.len()), (1, 0));
}

#[test]
fn requests_of_one_object_are_judged_in_the_order_of_their_numbers() {
    let mut view = view(PARTITIONS);
    // The second one has a part in a run before that of the first one.
    let requests = [Request::of(0, &[(2, 1)]), Request::of(1, &[(0, 1), (2, 1)]), Request::of(0, &[(2, 1)])];
    let outcomes = commit(&mut view, &requests, Rules::default());
    assert_eq!(outcomes[0][&2], BatchOutcome::Appended { base_offset: 0 });
    assert_eq!(outcomes[1][&0], BatchOutcome::Appended { base_offset: 0 });
    assert_eq!(outcomes[1][&2], BatchOutcome::Appended { base_offset: 1 });
    assert_eq!(outcomes[2][&2], BatchOutcome::Duplicate { base_offset: 0 }, "the first one, once more");
}

#[test]
fn another_partition_map_lets_nothing_land_twice() {
    let mut view = view(PARTITIONS);
    one(&mut view, &Request::of(0, &[(0, 2), (1, 1)]));
    for (version, parts) in [(2, &[(0, 1), (3, 2)][..]), (2, &[(0, 2), (1, 1)]), (1, &[(0, 1), (1, 2)])] {
        let again = Request { version, ..Request::of(0, parts) };
        assert!(all(&one(&mut view, &again), BatchOutcome::DuplicateElsewhere), "{again:?}");
    }
    assert_eq!(view.tails.values().map(|tail| tail.next_offset).sum::<i64>(), 3);
}

#[test]
fn places_are_forgotten_before_requests() {
    let partitions = u32::try_from(WINDOW_PARTS).unwrap();
    let mut view = view(partitions + 1);
    let wide = |first_sequence, partitions: u32| {
        Request::of(first_sequence, &(0..partitions).map(|partition| (partition, 1)).collect::<Vec<_>>())
    };
    let first = wide(0, partitions - 1);
    one(&mut view, &first);
    one(&mut view, &wide(255, 1));
    assert!(matches!(one(&mut view, &first)[&254], BatchOutcome::Duplicate { .. }), "there is just room");
    one(&mut view, &wide(256, 1));
    assert!(all(&one(&mut view, &first), BatchOutcome::DuplicateElsewhere));
    assert!(matches!(one(&mut view, &wide(255, 1))[&0], BatchOutcome::Duplicate { base_offset: 1 }));
    let widest = wide(257, partitions + 1);
    assert!(matches!(one(&mut view, &widest)[&0], BatchOutcome::Appended { .. }));
    assert!(all(&one(&mut view, &widest), BatchOutcome::DuplicateElsewhere), "too many to remember");
    for request in 1..15 {
        one(&mut view, &wide(513 + request, 1));
    }
    assert!(all(&one(&mut view, &widest), BatchOutcome::DuplicateElsewhere), "it is still in the window");
}

#[test]
fn what_lies_before_the_window_is_unknown() {
    let mut view = view(PARTITIONS);
    for sequence in 0..17 {
        one(&mut view, &Request::of(sequence, &[(0, 1)]));
    }
    assert!(all(&one(&mut view, &Request::of(0, &[(0, 1)])), refused(RefusalReason::SequenceTooOld)));
    assert!(matches!(one(&mut view, &Request::of(1, &[(0, 1)]))[&0], BatchOutcome::Duplicate { base_offset: 1 }));
}

#[test]
fn a_row_comes_back_as_the_same_state() {
    let mut view = view(PARTITIONS);
    one(&mut view, &Request::of(0, &[(0, 2), (1, 1)]));
    let key = TopicProducerKey { topic: TOPIC, producer: ProducerId(7) };
    let state = view.topic_producers.get(&key).unwrap().clone();
    assert_eq!(TopicProducerState::of_row(state.row(UploadEpoch(1))), state);
    assert_eq!(TopicProducerState::of_row(None).row(UploadEpoch(1)), None);
}

#[test]
fn ids_are_looked_at_as_in_partitions() {
    let mut view = view(PARTITIONS);
    assert!(all(
        &one(&mut view, &Request { producer: 100, ..Request::of(0, &[(0, 1)]) }),
        refused(RefusalReason::UnissuedProducerId)
    ));
    one(&mut view, &Request::of(0, &[(0, 1), (1, 2)]));
    view.ids.forget(ProducerId(7));
    assert!(matches!(
        one(&mut view, &Request::of(0, &[(0, 1), (1, 2)]))[&1],
        BatchOutcome::Duplicate { base_offset: 0 }
    ));
    assert!(all(
        &one(&mut view, &Request { producer: 6, ..Request::of(0, &[(0, 1)]) }),
        refused(RefusalReason::UnknownProducerId)
    ));
    assert!(matches!(one(&mut view, &Request::of(3, &[(0, 1)]))[&0], BatchOutcome::Appended { base_offset: 1 }));
}

/// A log that remembers every request.
#[derive(Default)]
struct Model {
    next_offset: BTreeMap<u32, i64>,
    /// The epoch, the sequence expected, and every request of that epoch.
    producers: BTreeMap<i64, (i16, i32, Vec<Request>)>,
    /// Base offsets by producer, epoch, first sequence and partition.
    bases: BTreeMap<(i64, i16, i32, u32), i64>,
}

impl Model {
    /// What becomes of each part; offsets are given later, in the order of the partitions: here `Appended` says only that.
    fn decide(&mut self, request: &Request) -> Result<(), BatchOutcome> {
        if request.parts.keys().any(|partition| *partition >= PARTITIONS) {
            return Err(refused(RefusalReason::UnknownPartition));
        }
        let (epoch, expected, all) = self.producers.entry(request.producer).or_insert((-1, 0, Vec::new()));
        if request.epoch < *epoch {
            return Err(refused(RefusalReason::ProducerFenced { current: ProducerEpoch(*epoch) }));
        }
        if request.epoch > *epoch {
            if request.first_sequence != 0 {
                return Err(refused(RefusalReason::OutOfOrderSequence { expected: 0 }));
            }
            (*epoch, *expected) = (request.epoch, 0);
            all.clear();
        }
        let remembered = &all[all.len().saturating_sub(WINDOW_REQUESTS)..];
        let same =
            |known: &&Request| (known.first_sequence, known.records()) == (request.first_sequence, request.records());
        if let Some(known) = remembered.iter().rev().find(same) {
            let as_before = known.parts == request.parts && known.version == request.version;
            // The offset stands in the request that is remembered.
            let duplicate = BatchOutcome::Duplicate { base_offset: 0 };
            return Err(if as_before { duplicate } else { BatchOutcome::DuplicateElsewhere });
        }
        if request.first_sequence != *expected {
            let too_old = remembered.first().is_some_and(|oldest| request.first_sequence < oldest.first_sequence);
            let expected = *expected;
            let gap = RefusalReason::OutOfOrderSequence { expected };
            return Err(refused(if too_old { RefusalReason::SequenceTooOld } else { gap }));
        }
        *expected += i32::try_from(request.records()).unwrap();
        all.push(request.clone());
        Ok(())
    }

    fn commit(&mut self, requests: &[Request]) -> Vec<BTreeMap<u32, BatchOutcome>> {
        let decisions: Vec<_> = requests.iter().map(|request| self.decide(request)).collect();
        let mut outcomes = vec![BTreeMap::new(); requests.len()];
        for partition in 0..=PARTITIONS {
            for (number, request) in requests.iter().enumerate() {
                let Some(records) = request.parts.get(&partition) else { continue };
                let key = (request.producer, request.epoch, request.first_sequence, partition);
                let outcome = match decisions[number] {
                    Ok(()) => {
                        let next = self.next_offset.entry(partition).or_default();
                        let base_offset = *next;
                        *next += i64::from(*records);
                        self.bases.insert(key, base_offset);
                        BatchOutcome::Appended { base_offset }
                    }
                    Err(BatchOutcome::Duplicate { .. }) => BatchOutcome::Duplicate { base_offset: self.bases[&key] },
                    Err(outcome) => outcome,
                };
                outcomes[number].insert(partition, outcome);
            }
        }
        outcomes
    }
}

/// Mostly what its producer would send next, or has sent before.
fn any_request() -> impl Strategy<Value = (Request, Option<usize>)> {
    let parts = proptest::collection::btree_map(0..PARTITIONS, 1..3u32, 1..4);
    let again = proptest::option::weighted(0.4, 0..20usize);
    (1..3i64, 0..12i16, 0..8i32, parts, 0..40u32, again).prop_map(|(producer, epoch, sequence, parts, odd, again)| {
        let mut request = Request { producer, epoch: 0, first_sequence: -1, version: 1, parts };
        match odd {
            0 => request.first_sequence = sequence,
            1 => (request.epoch, request.first_sequence) = (epoch / 4, 0),
            2 => request.version = 2,
            3 => {
                request.parts.insert(PARTITIONS, 1);
            }
            _ => {}
        }
        (request, again)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_model_that_forgets_nothing(commits in vec(vec(any_request(), 1..5), 1..30)) {
        let mut view = view(PARTITIONS);
        let mut model = Model::default();
        for requests in commits {
            let mut asked: Vec<Request> = Vec::new();
            for (mut request, again) in requests {
                if let Some((epoch, expected, all)) = model.producers.get(&request.producer) {
                    request.epoch = request.epoch.max(*epoch).max(0);
                    let sent: Vec<_> = all.iter().chain(&asked).cloned().collect();
                    let before = again.and_then(|back| sent.iter().rev().nth(back));
                    match before.filter(|before| before.producer == request.producer) {
                        Some(before) if request.version == 1 => request = before.clone(),
                        Some(before) => request.first_sequence = before.first_sequence,
                        None if request.first_sequence < 0 && request.epoch == *epoch => request.first_sequence = *expected,
                        None => {}
                    }
                }
                // What the object holds of this producer already comes before it.
                if let Some(last) = asked.iter().rev().find(|last| last.producer == request.producer)
                    && again.is_none()
                    && request.epoch == last.epoch
                {
                    request.first_sequence = last.first_sequence + i32::try_from(last.records()).unwrap();
                }
                request.first_sequence = request.first_sequence.max(0);
                // A new epoch comes alone: what an object holds of the older one may be forgotten with it.
                let known = model.producers.get(&request.producer).map(|(epoch, ..)| *epoch);
                let beside = asked.iter().filter(|earlier| earlier.producer == request.producer).map(|earlier| earlier.epoch);
                let is_new = known.into_iter().chain(beside).any(|epoch| request.epoch > epoch);
                if is_new && !asked.is_empty() {
                    break;
                }
                asked.push(request);
                if is_new {
                    break;
                }
            }
            let expected = model.commit(&asked);
            prop_assert_eq!(commit(&mut view, &asked, Rules::default()), expected, "{:?}", asked);
        }
        for (partition, next) in model.next_offset {
            prop_assert_eq!(view.tails[&TopicPartition { topic: TOPIC, partition }].next_offset, next);
        }
    }
}
