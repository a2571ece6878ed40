//! An idempotent producer by hand: it numbers its batches itself, and sends what a client would never send on purpose.
//! What it does in one turn stands in [`super::prober_turns`].

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use eagre_env::{Randomness, SeededRandomness};
use eagre_model::{
    batch::{Compression, advance_sequence},
    records::{BatchBuilder, ProducerFields, Record},
};
use eagre_proto::v1::{
    ErrorReason, InitProducerRequest, ProduceRequest, ProducerSequence, RecordList, produce_request::Payload,
};
use eagre_verify::{EventId, Identity, Op, Outcome, Partition, Sent, Value};
use tokio::time::{sleep, timeout};

use super::{
    Role, Values,
    gateway::{Reached, is_definite, reach_all, reason},
    partitions, topic_name,
};
use crate::{payload, time::EPOCH_MS, world::Phase};

/// An answer is waited for so long.
const PATIENCE: Duration = Duration::from_secs(4);
/// How many batches of a partition are remembered, to be sent again: fewer than the service remembers.
const RECENT: usize = 4;
/// So many batches under ids that were left are remembered.
const LEFT: usize = 16;
/// No simulation gives out so many ids.
const MADE_UP: i64 = 1 << 40;
/// After so many attempts a batch is given up; its outcome stays unknown.
const ATTEMPTS: usize = 60;

/// A batch with its place in the producer's order.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub partition: Partition,
    pub values: Vec<Value>,
    pub identity: Identity,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Appended,
    Refused(ErrorReason),
    Unknown,
}

pub(super) struct Prober {
    pub role: Role,
    pub random: SeededRandomness,
    pub gateways: Vec<Reached>,
    pub producer: i64,
    pub epoch: i32,
    next_sequence: BTreeMap<Partition, i32>,
    pub recent: BTreeMap<Partition, VecDeque<Batch>>,
    /// What it began with somewhere under the present id; under ids that it has left.
    begun: Vec<Batch>,
    pub left: Vec<Batch>,
    values: Values,
}

/// Probes until the quiet phase.
pub(crate) async fn run(role: Role) {
    let mut prober = Prober {
        random: role.world.random("prober", u64::from(role.process.0)),
        gateways: reach_all(&role),
        producer: 0,
        epoch: 0,
        next_sequence: BTreeMap::new(),
        recent: BTreeMap::new(),
        begun: Vec::new(),
        left: Vec::new(),
        values: Values::of(role.process),
        role,
    };
    prober.introduce().await;
    while prober.role.world.phase() == Phase::Chaos {
        prober.turn().await;
        sleep(Duration::from_millis(1 + prober.random.below(60))).await;
    }
}

impl Prober {
    async fn introduce(&mut self) {
        loop {
            let mut service = self.any_gateway().produce();
            if let Ok(Ok(answer)) = timeout(PATIENCE, service.init_producer(InitProducerRequest {})).await {
                let answer = answer.into_inner();
                self.producer = answer.producer_id;
                self.epoch = i32::try_from(answer.producer_epoch).unwrap_or(0);
                let what = format_args!("producer {} epoch {}", self.producer, self.epoch);
                return self.role.world.trace.note(&self.role.host, what);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    pub fn any_gateway(&self) -> Reached {
        self.gateways[usize::try_from(self.random.below(self.gateways.len() as u64)).unwrap_or(0)].clone()
    }

    pub fn any_partition(&self) -> Partition {
        let all = partitions();
        all[usize::try_from(self.random.below(all.len() as u64)).unwrap_or(0)]
    }

    /// The next batch of a partition.
    pub fn batch(&mut self, partition: Partition) -> Batch {
        let count = 1 + self.random.below(3);
        let values: Vec<_> = (0..count).map(|_| self.values.next()).collect();
        let next = self.next_sequence.entry(partition).or_insert(0);
        let identity = Identity { producer: self.producer, epoch: self.epoch, first_sequence: *next };
        *next = advance_sequence(*next, u32::try_from(values.len()).unwrap_or(0));
        Batch { partition, values, identity }
    }

    /// Begins anew with the next epoch: a batch was given up, so its sequence cannot be skipped otherwise.
    pub fn new_epoch(&mut self) {
        self.epoch += 1;
        self.next_sequence.clear();
        self.recent.clear();
    }

    /// Goes on under a new id.
    pub async fn leave_id(&mut self) {
        self.left.append(&mut self.begun);
        self.left.drain(..self.left.len().saturating_sub(LEFT));
        self.next_sequence.clear();
        self.recent.clear();
        self.introduce().await;
    }

    /// A batch that begins under an id that nobody was given.
    pub fn made_up_batch(&mut self, partition: Partition) -> Batch {
        let producer = MADE_UP + i64::try_from(self.random.below(8)).unwrap_or(0);
        self.role.world.history().made_up(producer);
        let identity = Identity { producer, epoch: 0, first_sequence: 0 };
        Batch { partition, values: vec![self.values.next()], identity }
    }

    /// Sends a batch until it is appended. Gives up, and begins a new epoch, when the service will not take it.
    pub async fn settle(&mut self, batch: Batch) -> bool {
        for attempt in 0..ATTEMPTS {
            match self.attempt(&self.any_gateway(), &batch, PATIENCE).await {
                Verdict::Appended => {
                    if batch.identity.first_sequence == 0 && self.role.world.producers_expire() {
                        self.begun.push(batch.clone());
                    }
                    let recent = self.recent.entry(batch.partition).or_default();
                    recent.push_back(batch);
                    if recent.len() > RECENT {
                        recent.pop_front();
                    }
                    return true;
                }
                Verdict::Unknown | Verdict::Refused(ErrorReason::Unavailable) => {}
                Verdict::Refused(ErrorReason::UnknownProducerId) if self.role.world.producers_expire() => {
                    self.leave_id().await;
                    return false;
                }
                Verdict::Refused(reason) => {
                    self.role.world.complain(format!(
                        "{} in partition {} follows an acked batch, and was refused: {reason:?}",
                        batch.identity, batch.partition
                    ));
                    break;
                }
            }
            sleep(Duration::from_millis(20 + self.random.below(50 + 20 * attempt as u64))).await;
        }
        self.new_epoch();
        false
    }

    /// One attempt over one gateway.
    pub async fn attempt(&self, gateway: &Reached, batch: &Batch, patience: Duration) -> Verdict {
        let id = self.invoke(batch);
        let request = self.request(batch);
        let answer = timeout(patience, gateway.produce().produce(request)).await;
        let verdict = match answer {
            Ok(Ok(answer)) => return self.appended(id, batch, answer.into_inner().base_offset),
            Ok(Err(status)) => reason(&status),
            Err(_) => None,
        };
        self.not_appended(id, batch, verdict, verdict.is_some_and(is_definite))
    }

    /// Writes down that an attempt begins.
    pub fn invoke(&self, batch: &Batch) -> EventId {
        let sent = Sent {
            partition: batch.partition,
            values: batch.values.clone(),
            identity: Some(batch.identity),
            outcome: Outcome::Unknown,
        };
        let world = &self.role.world;
        let what = format_args!("send {} to {} with {}", batch.identity, batch.partition, batch.values[0]);
        world.trace.note(&self.role.host, what);
        world.history().invoke(self.role.process, world.moment(), Op::Send(sent))
    }

    pub fn appended(&self, id: EventId, batch: &Batch, base_offset: i64) -> Verdict {
        let world = &self.role.world;
        let what = format_args!("acked {} of {} at {base_offset}", batch.values[0], batch.partition);
        world.trace.note(&self.role.host, what);
        world.history().complete_send(id, world.moment(), Outcome::Ok(base_offset));
        Verdict::Appended
    }

    pub fn not_appended(&self, id: EventId, batch: &Batch, reason: Option<ErrorReason>, definite: bool) -> Verdict {
        let world = &self.role.world;
        let outcome = if definite { Outcome::Failed } else { Outcome::Unknown };
        let what = format_args!("{} of {} not acked: {reason:?}, {outcome:?}", batch.values[0], batch.partition);
        world.trace.note(&self.role.host, what);
        world.history().complete_send(id, world.moment(), outcome);
        match reason {
            Some(reason) if definite || reason == ErrorReason::SequenceTooOld => Verdict::Refused(reason),
            _ => Verdict::Unknown,
        }
    }

    /// As records that the service encodes, or as a ready batch.
    pub fn request(&self, batch: &Batch) -> ProduceRequest {
        let identity = batch.identity;
        let (payload, producer) = if self.random.below(2) == 0 {
            let record = |value: &Value| eagre_proto::v1::Record {
                value: Some(payload::encode(*value)),
                timestamp_ms: Some(EPOCH_MS),
                ..eagre_proto::v1::Record::default()
            };
            let records = RecordList { records: batch.values.iter().map(record).collect() };
            let producer = ProducerSequence {
                producer_id: identity.producer,
                producer_epoch: u32::try_from(identity.epoch).unwrap_or(0),
                first_sequence: identity.first_sequence,
            };
            (Payload::Records(records), Some(producer))
        } else {
            (Payload::Batch(ready(batch)), None)
        };
        ProduceRequest {
            topic: topic_name(batch.partition).to_owned(),
            partition: Some(batch.partition.partition),
            payload: Some(payload),
            producer,
            topic_id: None,
        }
    }
}

/// The batch in Kafka's format.
fn ready(batch: &Batch) -> Bytes {
    let fields = ProducerFields {
        producer_id: batch.identity.producer,
        producer_epoch: i16::try_from(batch.identity.epoch).unwrap_or(i16::MAX),
        base_sequence: batch.identity.first_sequence,
    };
    let mut builder = BatchBuilder::new(fields);
    for value in &batch.values {
        let value = Some(payload::encode(*value));
        let record = Record { key: None, value, headers: Vec::new(), timestamp_ms: EPOCH_MS };
        builder.push(&record).expect("a record of some kilobytes is within every limit");
    }
    builder.finish(Compression::None).expect("the batch has a record").bytes
}
