//! Numbers its requests per topic and leaves it to the service where their records go. It sends a request again, over any
//! gateway, until it is appended, and now and then once more, or twice at once: every record has to land once, where the
//! answers say.

use std::{collections::BTreeMap, time::Duration};

use eagre_env::{Randomness, SeededRandomness};
use eagre_model::{Placement, keys::partition_for_key};
use eagre_proto::v1::{
    ErrorReason, InitProducerRequest, ProduceRequest, ProduceResponse, ProducerSequence, Record, RecordList,
    produce_request::Payload,
};
use eagre_verify::{EventId, Op, Outcome, Partition, Sent, Value};
use tokio::time::{sleep, timeout};

use super::{
    Role, TOPICS, Values,
    gateway::{Reached, is_definite, reach_all, reason},
    partitions,
};
use crate::{payload, time::EPOCH_MS, world::Phase};

/// An answer is waited for so long.
const PATIENCE: Duration = Duration::from_secs(4);
/// After so many attempts a request is given up; its outcome stays unknown.
const ATTEMPTS: usize = 60;
/// The same once all is whole again.
const ATTEMPTS_WHEN_QUIET: usize = 12;

struct Scatterer {
    role: Role,
    random: SeededRandomness,
    gateways: Vec<Reached>,
    /// For each partition a key that belongs there.
    keys: BTreeMap<Partition, String>,
    producer: i64,
    next_sequence: BTreeMap<u32, i32>,
    values: Values,
}

/// A request, with the place of each record.
struct Request {
    topic: u32,
    first_sequence: i32,
    records: Vec<(Partition, Value)>,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// With the offset of each record.
    Appended(Vec<i64>),
    Refused(ErrorReason),
    Unknown,
}

/// Sends until the quiet phase.
pub(crate) async fn run(role: Role) {
    let mut scatterer = Scatterer {
        random: role.world.random("scatterer", u64::from(role.process.0)),
        gateways: reach_all(&role),
        keys: partitions().into_iter().map(|partition| (partition, key_of(partition))).collect(),
        producer: 0,
        next_sequence: BTreeMap::new(),
        values: Values::of(role.process),
        role,
    };
    scatterer.begin().await;
    while scatterer.role.world.phase() == Phase::Chaos {
        let request = scatterer.next();
        if scatterer.settle(&request).await {
            scatterer.next_sequence.insert(request.topic, request.first_sequence + request.count());
        } else {
            scatterer.begin().await;
        }
        sleep(Duration::from_millis(scatterer.random.below(60))).await;
    }
}

/// A key that the topic's placement gives to the partition. Four residue classes are the same as modulo 4.
fn key_of(partition: Partition) -> String {
    let of_topic = |other: &Partition| other.topic == partition.topic;
    let count = u32::try_from(partitions().iter().filter(|other| of_topic(other)).count()).unwrap_or(1);
    let placement = Placement::Fixed { partitions: count };
    let keys = (0_u32..).map(|number| format!("key-{number}"));
    let mut belonging = keys.filter(|key| partition_for_key(&placement, key.as_bytes()) == Some(partition.partition));
    belonging.next().expect("every partition gets some keys")
}

impl Request {
    fn count(&self) -> i32 {
        i32::try_from(self.records.len()).unwrap_or(i32::MAX)
    }
}

impl Scatterer {
    fn any_gateway(&self) -> Reached {
        self.gateways[usize::try_from(self.random.below(self.gateways.len() as u64)).unwrap_or(0)].clone()
    }

    /// Takes a new producer id, under which everything begins anew.
    async fn begin(&mut self) {
        self.next_sequence.clear();
        while self.role.world.phase() == Phase::Chaos {
            let mut service = self.any_gateway().produce();
            if let Ok(Ok(answer)) = timeout(PATIENCE, service.init_producer(InitProducerRequest {})).await {
                self.producer = answer.into_inner().producer_id;
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn next(&mut self) -> Request {
        let topic = u32::try_from(self.random.below(TOPICS.len() as u64)).unwrap_or(0);
        let of_topic: Vec<Partition> = partitions().into_iter().filter(|partition| partition.topic == topic).collect();
        let records = (0..=self.random.below(5)).map(|_| {
            let place = usize::try_from(self.random.below(of_topic.len() as u64)).unwrap_or(0);
            (of_topic[place], self.values.next())
        });
        let records = records.collect();
        Request { topic, first_sequence: self.next_sequence.get(&topic).copied().unwrap_or(0), records }
    }

    /// Sends a request until it is appended, and checks that all tries are told the same. Gives up when it is refused for
    /// good.
    async fn settle(&self, request: &Request) -> bool {
        let mut told: Option<Vec<i64>> = None;
        let mut more = usize::try_from(self.random.below(3)).unwrap_or(0);
        let mut quiet = 0;
        for attempt in 0..ATTEMPTS {
            quiet += usize::from(self.role.world.phase() != Phase::Chaos);
            if quiet > ATTEMPTS_WHEN_QUIET {
                break;
            }
            let verdicts = if self.random.below(4) == 0 {
                let (one, other) = (self.any_gateway(), self.any_gateway());
                let (one, other) = tokio::join!(self.attempt(&one, request), self.attempt(&other, request));
                vec![one, other]
            } else {
                vec![self.attempt(&self.any_gateway(), request).await]
            };
            for verdict in verdicts {
                match verdict {
                    Verdict::Appended(offsets) => {
                        if told.get_or_insert_with(|| offsets.clone()) != &offsets {
                            self.complain(request, &format!("told to be at {told:?}, then at {offsets:?}"));
                        }
                    }
                    Verdict::Unknown | Verdict::Refused(ErrorReason::Unavailable) => {}
                    Verdict::Refused(ErrorReason::UnknownProducerId) if self.role.world.producers_expire() => {
                        return false;
                    }
                    Verdict::Refused(reason) => {
                        self.complain(request, &format!("it follows an acked one, and was refused: {reason:?}"));
                        return false;
                    }
                }
            }
            if told.is_some() {
                if more == 0 {
                    return true;
                }
                more -= 1;
            }
            sleep(Duration::from_millis(20 + self.random.below(50 + 20 * attempt as u64))).await;
        }
        told.is_some()
    }

    fn complain(&self, request: &Request, what: &str) {
        let Request { topic, first_sequence, .. } = request;
        self.role
            .world
            .complain(format!("request {first_sequence} of producer {} in topic {topic}: {what}", self.producer));
    }

    /// One attempt over one gateway. In the history each record is a batch of its own.
    async fn attempt(&self, gateway: &Reached, request: &Request) -> Verdict {
        let world = &self.role.world;
        let invoke = |(partition, value): &(Partition, Value)| {
            let sent = Sent { partition: *partition, values: vec![*value], identity: None, outcome: Outcome::Unknown };
            world.history().invoke(self.role.process, world.moment(), Op::Send(sent))
        };
        let ids: Vec<EventId> = request.records.iter().map(invoke).collect();
        let answer = timeout(PATIENCE, gateway.produce().produce(self.message(request))).await;
        let refusal = match answer {
            Ok(Ok(answer)) => return self.appended(&ids, request, &answer.into_inner()),
            Ok(Err(status)) => reason(&status),
            Err(_) => None,
        };
        let definite = refusal.is_some_and(is_definite);
        let outcome = if definite { Outcome::Failed } else { Outcome::Unknown };
        let what = format_args!("{} of {}: {refusal:?}, {outcome:?}", request.first_sequence, self.producer);
        world.trace.note(&self.role.host, what);
        for id in ids {
            world.history().complete_send(id, world.moment(), outcome);
        }
        match refusal {
            Some(reason) if definite || reason == ErrorReason::SequenceTooOld => Verdict::Refused(reason),
            _ => Verdict::Unknown,
        }
    }

    fn appended(&self, ids: &[EventId], request: &Request, answer: &ProduceResponse) -> Verdict {
        let world = &self.role.world;
        let what = format_args!("acked {} of {}: {answer:?}", request.first_sequence, self.producer);
        world.trace.note(&self.role.host, what);
        if answer.positions.len() != request.records.len() {
            self.complain(request, "the answer does not name the place of each record");
            return Verdict::Unknown;
        }
        for ((id, (partition, _)), position) in ids.iter().zip(&request.records).zip(&answer.positions) {
            if position.partition != partition.partition {
                self.complain(request, &format!("a record of {partition} is told to be in {}", position.partition));
            }
            world.history().complete_send(*id, world.moment(), Outcome::Ok(position.offset));
        }
        Verdict::Appended(answer.positions.iter().map(|position| position.offset).collect())
    }

    fn message(&self, request: &Request) -> ProduceRequest {
        let record = |(partition, value): &(Partition, Value)| Record {
            key: Some(self.keys[partition].clone().into()),
            value: Some(payload::encode(*value)),
            timestamp_ms: Some(EPOCH_MS),
            ..Record::default()
        };
        let records = request.records.iter().map(record).collect();
        ProduceRequest {
            topic: TOPICS[request.topic as usize].0.to_owned(),
            partition: None,
            payload: Some(Payload::Records(RecordList { records })),
            producer: Some(ProducerSequence {
                producer_id: self.producer,
                producer_epoch: 0,
                first_sequence: request.first_sequence,
            }),
            topic_id: None,
        }
    }
}
