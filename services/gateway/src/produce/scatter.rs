//! A request that names no partition: each record goes where its key belongs, and the request is answered when all its
//! parts are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use eagre_model::{Placement, TopicPartition, TopicRecord, keys::partition_for_key};
use eagre_proto::v1::{ProduceRequest, ProduceResponse, Record, RecordList, RecordPosition, produce_request::Payload};
use eagre_sequencer_api::{PartOf, ProducerSequence};
use tracing::Span;

use super::{
    answer::{Answer, OFFSET_UNKNOWN, Reply, Ticket},
    edge::{self, CheckedBatch, NumberedPart},
    open::PendingBatch,
    submit::hand_over,
};
use crate::{Shared, admission::Grant, refusal::Refusal};

/// The answer names the place of each record, and has to be taken by a client with the usual limit of 4 MiB.
const RECORDS_MAX: usize = 10_000;

/// The records of one partition, and which of the request they are.
#[derive(Debug, PartialEq)]
struct Part {
    records: Vec<Record>,
    places: Vec<usize>,
}

impl Part {
    /// With room for one record: most parts of a request over many partitions have no more, and a list would begin with four.
    fn of_one() -> Self {
        Self { records: Vec::with_capacity(1), places: Vec::with_capacity(1) }
    }
}

/// Checks a request, places its records and hands the parts to the pipeline. The reply is given in any case.
pub(super) fn submit(
    shared: &Shared,
    topic: &Arc<TopicRecord>,
    request: ProduceRequest,
    reply: Reply,
    grant: Option<Grant>,
) {
    // All of it is checked before any of it is on its way.
    let checked = check(shared, topic, request);
    let (parts, numbered) = match checked {
        Ok(checked) => checked,
        Err(refusal) => return reply.give(Err(refusal)),
    };
    let records = parts.iter().map(|(_, places, _)| places.len()).sum();
    let gathering = Gathering::new(records, parts.len(), numbered, reply);
    let pending = parts.into_iter().map(|(partition, places, batch)| PendingBatch {
        topic: topic.clone(),
        partition: TopicPartition { topic: topic.number, partition },
        batch,
        ticket: Ticket::of_part(gathering.clone(), partition, places),
        grant: grant.clone(),
    });
    hand_over(shared, pending.collect());
}

/// A partition, which records of the request go there, and these as a batch.
type CheckedPart = (u32, Vec<usize>, CheckedBatch);

/// The parts of a request, and whether it is numbered.
fn check(shared: &Shared, topic: &TopicRecord, request: ProduceRequest) -> Result<(Vec<CheckedPart>, bool), Refusal> {
    let sequence = request.producer.map(edge::sequence).transpose()?;
    let records = records_of(request.payload)?;
    let part = sequence.map(|sequence| NumberedPart {
        sequence,
        part_of: PartOf {
            number: 0,
            records: u32::try_from(records.len()).unwrap_or(u32::MAX),
            partition_map_version: topic.partition_map_version,
        },
    });
    let now_ms = shared.env.clock.unix_ms();
    let partitions = topic.placement.partitions().max(1);
    let keyless = match sequence {
        // Where the first try put them, as long as the partitions are the same.
        Some(sequence) => spread(sequence) % partitions,
        None => u32::try_from(shared.env.random.below(u64::from(partitions))).unwrap_or(0),
    };
    let check = |(partition, placed): (u32, Part)| {
        let payload = Payload::Records(RecordList { records: placed.records });
        let batch = edge::check(topic, Some(payload), None, &shared.settings.batch_limits, now_ms)?;
        Ok::<_, Refusal>((partition, placed.places, CheckedBatch { part, ..batch }))
    };
    let parts = place(&topic.placement, records, keyless).into_iter().map(check).collect::<Result<Vec<_>, _>>()?;
    Ok((parts, sequence.is_some()))
}

/// Spreads numbered requests over partitions: a fixed mix of the producer and its sequence.
fn spread(sequence: ProducerSequence) -> u32 {
    let mixed = sequence.id.0.cast_unsigned().rotate_left(32) ^ u64::from(sequence.first_sequence.unsigned_abs());
    let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(mixed >> 32).unwrap_or(0)
}

fn records_of(payload: Option<Payload>) -> Result<Vec<Record>, Refusal> {
    let records = match payload {
        Some(Payload::Records(list)) => list.records,
        Some(Payload::Batch(_)) => {
            let why = "a ready batch names its partition: set the field partition";
            return Err(Refusal::invalid("partition", why));
        }
        None => return Err(Refusal::invalid("payload", "there are neither records nor a batch")),
    };
    match records.len() {
        0 => Err(Refusal::invalid("records", "there are no records; send at least one")),
        1..=RECORDS_MAX => Ok(records),
        count => Err(Refusal::TooLarge(format!(
            "a request that names no partition holds up to {RECORDS_MAX} records, not {count}"
        ))),
    }
}

/// Records of one key keep their order. Those without a key stay together.
fn place(placement: &Placement, records: Vec<Record>, keyless: u32) -> BTreeMap<u32, Part> {
    let mut parts: BTreeMap<u32, Part> = BTreeMap::new();
    for (place, record) in records.into_iter().enumerate() {
        let of_key = record.key.as_deref().and_then(|key| partition_for_key(placement, key));
        let part = parts.entry(of_key.unwrap_or(keyless)).or_insert_with(Part::of_one);
        part.records.push(record);
        part.places.push(place);
    }
    parts
}

/// Waits for the answers to all parts of a request.
pub(crate) struct Gathering(Mutex<Gathered>);

struct Gathered {
    unanswered: usize,
    positions: Vec<RecordPosition>,
    numbered: bool,
    any_appended: bool,
    /// All parts were there already: they are judged together.
    duplicate: bool,
    /// What was there already is no longer known to be at these positions.
    elsewhere: bool,
    refusal: Option<Refusal>,
    reply: Option<Reply>,
}

impl Gathering {
    fn new(records: usize, parts: usize, numbered: bool, reply: Reply) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Gathered {
            unanswered: parts,
            positions: vec![RecordPosition::default(); records],
            numbered,
            any_appended: false,
            duplicate: false,
            elsewhere: false,
            refusal: None,
            reply: Some(reply),
        })))
    }

    /// That of the whole request.
    pub fn span(&self) -> Span {
        let gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gathered.reply.as_ref().map_or_else(Span::none, |reply| reply.origin().span().clone())
    }

    /// Takes the answer to one part; the last one gives the reply.
    pub fn complete(&self, partition: u32, places: &[usize], answer: Answer) {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(response) => {
                gathered.any_appended = true;
                gathered.duplicate |= response.duplicate;
                gathered.elsewhere |= response.base_offset == OFFSET_UNKNOWN;
                for (offset, place) in (response.base_offset..).zip(places) {
                    gathered.positions[*place] = RecordPosition { partition, offset };
                }
            }
            // An unknown outcome says more than a definite one.
            Err(refusal) if gathered.refusal.is_none() || refusal.is_outcome_unknown() => {
                gathered.refusal = Some(refusal);
            }
            Err(_) => {}
        }
        gathered.unanswered -= 1;
        if gathered.unanswered > 0 {
            return;
        }
        let Some(reply) = gathered.reply.take() else { return };
        let mut positions = std::mem::take(&mut gathered.positions);
        if gathered.elsewhere {
            positions.clear();
        }
        let answer = match gathered.refusal.take() {
            None => Ok(ProduceResponse {
                base_offset: positions.first().map_or(OFFSET_UNKNOWN, |first| first.offset),
                duplicate: gathered.duplicate,
                positions,
            }),
            // Sent again, it is appended once or found, whatever became of this try.
            Some(refusal) if gathered.numbered && gathered.any_appended => {
                Err(Refusal::OutcomeUnknown(refusal.to_string()))
            }
            Some(refusal) if gathered.numbered => Err(refusal),
            // The records are not numbered: sent again, those that were appended would be there twice.
            Some(Refusal::OutcomeUnknown(why)) => Err(Refusal::MaybePartly(why)),
            Some(refusal) if gathered.any_appended => Err(Refusal::MaybePartly(refusal.to_string())),
            Some(refusal) => Err(refusal),
        };
        drop(gathered);
        reply.give(answer);
    }
}

#[cfg(test)]
mod tests {
    use eagre_model::{ProducerEpoch, ProducerId};
    use tokio::sync::oneshot;

    use super::*;
    use crate::produce::origin::Origin;

    fn record(key: Option<&str>) -> Record {
        Record { key: key.map(|key| key.to_owned().into()), ..Record::default() }
    }

    #[test]
    fn keys_decide_and_the_rest_stays_together() {
        let placement = Placement::Fixed { partitions: 8 };
        let of = |key: &str| partition_for_key(&placement, key.as_bytes()).unwrap();
        let other = ["b", "c", "d", "e"].into_iter().find(|key| of(key) != of("a")).unwrap();
        let records = [Some("a"), None, Some(other), Some("a"), None].map(record).to_vec();
        let parts = place(&placement, records, 5);
        let places = |partition: u32| parts[&partition].places.clone();
        assert!(places(of("a")).starts_with(&[0]) && places(of("a")).contains(&3), "{parts:?}");
        assert!(places(of(other)).contains(&2), "{parts:?}");
        assert!([1, 4].iter().all(|place| parts[&5].places.contains(place)), "{parts:?}");
        assert_eq!(parts.values().map(|part| part.places.len()).sum::<usize>(), 5);
    }

    fn gathered(answers: Vec<Answer>) -> Answer {
        gathered_as(false, answers)
    }

    fn gathered_as(numbered: bool, answers: Vec<Answer>) -> Answer {
        let (reply, mut given) = oneshot::channel();
        let gathering =
            Gathering::new(answers.len(), answers.len(), numbered, Reply::Caller(reply, Origin::new(None, "t")));
        for (part, answer) in answers.into_iter().enumerate() {
            assert!(given.try_recv().is_err(), "given before all parts were answered");
            gathering.complete(u32::try_from(part).unwrap(), &[part], answer);
        }
        given.try_recv().unwrap()
    }

    fn appended(base_offset: i64) -> Answer {
        Ok(ProduceResponse { base_offset, ..ProduceResponse::default() })
    }

    #[test]
    fn all_parts_make_the_answer() {
        let answer = gathered(vec![appended(7), appended(9)]).unwrap();
        let positions = [(0, 7), (1, 9)].map(|(partition, offset)| RecordPosition { partition, offset });
        assert_eq!((answer.base_offset, answer.positions), (7, positions.to_vec()));
    }

    #[test]
    fn a_part_that_failed_decides() {
        let refused = || Err(Refusal::Unavailable("away".into()));
        let unknown = || Err(Refusal::OutcomeUnknown("lost".into()));
        assert_eq!(gathered(vec![refused(), refused()]), refused());
        for answers in
            [vec![refused(), appended(1)], vec![appended(1), unknown()], vec![refused(), unknown(), refused()]]
        {
            let Err(refusal) = gathered(answers) else { panic!("a part failed") };
            let error = refusal.into_produce_error();
            assert!(error.outcome_unknown && !error.retriable, "{error:?}");
        }
    }

    #[test]
    fn a_numbered_request_may_always_be_sent_again() {
        let refused = || Err(Refusal::Unavailable("away".into()));
        let unknown = || Err(Refusal::OutcomeUnknown("lost".into()));
        assert_eq!(gathered_as(true, vec![refused(), refused()]), refused());
        for answers in [vec![refused(), unknown()], vec![appended(1), unknown()], vec![refused(), appended(1)]] {
            let Err(refusal) = gathered_as(true, answers) else { panic!("a part failed") };
            let error = refusal.into_produce_error();
            assert!(error.outcome_unknown && error.retriable, "{error:?}");
        }
    }

    #[test]
    fn a_duplicate_says_where_it_is_as_long_as_that_is_known() {
        let duplicate =
            |base_offset| Ok(ProduceResponse { base_offset, duplicate: true, ..ProduceResponse::default() });
        let answer = gathered_as(true, vec![duplicate(3), duplicate(9)]).unwrap();
        assert_eq!((answer.duplicate, answer.base_offset, answer.positions.len()), (true, 3, 2));
        let answer = gathered_as(true, vec![duplicate(OFFSET_UNKNOWN), duplicate(OFFSET_UNKNOWN)]).unwrap();
        assert_eq!((answer.duplicate, answer.base_offset, answer.positions), (true, OFFSET_UNKNOWN, vec![]));
    }

    #[test]
    fn numbered_requests_without_keys_are_spread() {
        let of = |first_sequence| {
            let sequence = ProducerSequence { id: ProducerId(7), epoch: ProducerEpoch(0), first_sequence };
            spread(sequence) % 4
        };
        assert_eq!(of(10), of(10));
        let mut hits = [0; 4];
        (0..400).for_each(|sequence| hits[of(sequence) as usize] += 1);
        assert!(hits.iter().all(|hits| *hits > 40), "{hits:?}");
    }
}
