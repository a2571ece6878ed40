//! A request that names no partition: each record goes where its key belongs, and the request is answered when all its
//! parts are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use eagre_env::Randomness;
use eagre_model::{Placement, TopicPartition, TopicRecord, keys::partition_for_key};
use eagre_proto::v1::{ProduceRequest, ProduceResponse, Record, RecordList, RecordPosition, produce_request::Payload};

use super::{
    answer::{Answer, Reply, Ticket},
    edge,
    submit::hand_over,
};
use crate::{Shared, admission::Grant, refusal::Refusal};

/// The answer names the place of each record, and has to be taken by a client with the usual limit of 4 MiB.
const RECORDS_MAX: usize = 10_000;

/// The records of one partition, and which of the request they are.
#[derive(Debug, Default, PartialEq)]
struct Part {
    records: Vec<Record>,
    places: Vec<usize>,
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
    let checked = records_of(request).and_then(|records| {
        let now_ms = shared.env.clock.unix_ms();
        let check = |(partition, part): (u32, Part)| {
            let payload = Payload::Records(RecordList { records: part.records });
            let batch = edge::check(Some(payload), None, &shared.settings.batch_limits, now_ms)?;
            Ok((partition, part.places, batch))
        };
        place(&topic.placement, records, &*shared.env.random).into_iter().map(check).collect::<Result<Vec<_>, _>>()
    });
    let parts = match checked {
        Ok(parts) => parts,
        Err(refusal) => return reply.give(Err(refusal)),
    };
    let records = parts.iter().map(|(_, places, _)| places.len()).sum();
    let gathering = Gathering::new(records, parts.len(), reply);
    for (partition, places, batch) in parts {
        let ticket = Ticket::of_part(gathering.clone(), partition, places);
        let partition = TopicPartition { topic: topic.number, partition };
        hand_over(shared, topic, partition, batch, ticket, grant.clone());
    }
}

fn records_of(request: ProduceRequest) -> Result<Vec<Record>, Refusal> {
    if request.producer.is_some() {
        return Err(Refusal::invalid(
            "partition",
            "records that are numbered name their partition: set the field partition",
        ));
    }
    let records = match request.payload {
        Some(Payload::Records(list)) => list.records,
        Some(Payload::Batch(_)) => {
            return Err(Refusal::invalid("partition", "a ready batch names its partition: set the field partition"));
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

/// Records of one key keep their order. Those without a key stay together, wherever that is.
fn place(placement: &Placement, records: Vec<Record>, random: &dyn Randomness) -> BTreeMap<u32, Part> {
    let any = u32::try_from(random.below(u64::from(placement.partitions().max(1)))).unwrap_or(0);
    let mut parts: BTreeMap<u32, Part> = BTreeMap::new();
    for (place, record) in records.into_iter().enumerate() {
        let of_key = record.key.as_deref().and_then(|key| partition_for_key(placement, key));
        let part = parts.entry(of_key.unwrap_or(any)).or_default();
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
    any_appended: bool,
    refusal: Option<Refusal>,
    reply: Option<Reply>,
}

impl Gathering {
    fn new(records: usize, parts: usize, reply: Reply) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Gathered {
            unanswered: parts,
            positions: vec![RecordPosition::default(); records],
            any_appended: false,
            refusal: None,
            reply: Some(reply),
        })))
    }

    /// Takes the answer to one part; the last one gives the reply.
    pub fn complete(&self, partition: u32, places: &[usize], answer: Answer) {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(response) => {
                gathered.any_appended = true;
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
        let positions = std::mem::take(&mut gathered.positions);
        let answer = match gathered.refusal.take() {
            None => Ok(ProduceResponse {
                base_offset: positions.first().map_or(0, |first| first.offset),
                duplicate: false,
                positions,
            }),
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
    use eagre_env::SeededRandomness;
    use tokio::sync::oneshot;

    use super::*;

    fn record(key: Option<&str>) -> Record {
        Record { key: key.map(|key| key.to_owned().into()), ..Record::default() }
    }

    #[test]
    fn keys_decide_and_the_rest_stays_together() {
        let placement = Placement::Fixed { partitions: 8 };
        let of = |key: &str| partition_for_key(&placement, key.as_bytes()).unwrap();
        let other = ["b", "c", "d", "e"].into_iter().find(|key| of(key) != of("a")).unwrap();
        let records = [Some("a"), None, Some(other), Some("a"), None].map(record).to_vec();
        let parts = place(&placement, records, &SeededRandomness::new(1));
        let places = |partition: u32| parts[&partition].places.clone();
        assert!(places(of("a")).starts_with(&[0]) && places(of("a")).contains(&3), "{parts:?}");
        assert!(places(of(other)).contains(&2), "{parts:?}");
        let keyless = parts.values().find(|part| part.places.contains(&1)).unwrap();
        assert!(keyless.places.contains(&4), "{parts:?}");
        assert_eq!(parts.values().map(|part| part.places.len()).sum::<usize>(), 5);
    }

    fn gathered(answers: Vec<Answer>) -> Answer {
        let (reply, mut given) = oneshot::channel();
        let gathering = Gathering::new(answers.len(), answers.len(), Reply::Caller(reply));
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
}
