//! Producers over librdkafka, which batches, sends, and sends again. A thread hands records over when they are due; it serves all
//! producers of the run that share one of librdkafka, so the records of a lane stay in order. A second one takes the reports.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use eagre_workload::Scenario;
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig},
};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    broker::Broker,
    delivery::{Reports, Sent},
    on_thread,
};
use crate::{
    clock::nanos,
    produce::feed::{Due, Feed},
    run::shared::{LogId, Phase, Shared},
    wire::stamp::{self, Home, Stamp},
};

/// librdkafka's producers, at most: each has threads of its own.
const CLIENTS_MAX: u32 = 16;
/// Records without a report, over all of them. A producer that finds no place there is held back by the service.
const OUTSTANDING_BYTES_MAX: u64 = 64 << 20;
/// What librdkafka needs for a record beside its bytes, about.
const RECORD_COST_BYTES: u64 = 256;
/// Records are handed over in steps of so many bytes, so that the clock is looked at in between.
const STEP_BYTES: usize = 64 << 10;
/// Two wake-ups are no closer to each other, and at most a quarter of the time that a batch waits for others.
const TICK_MAX: Duration = Duration::from_micros(500);
/// Between two looks for a place, and for an end.
const LOOK: Duration = Duration::from_millis(1);
/// Whether the run was told to end is looked at so often.
const NOTICE: Duration = Duration::from_millis(50);
/// The last reports are told after so long at the latest; their times are taken before. `poll` spins through its last millisecond,
/// so it is not to be short.
const POLL: Duration = Duration::from_millis(100);
/// For the reports of what was given up.
const GOODBYE: Duration = Duration::from_secs(5);

/// Producers of the run that share one of librdkafka.
pub struct Group {
    numbers: Vec<u32>,
    config: ClientConfig,
    outstanding_bytes_max: u64,
}

/// Spreads the producers of a scenario.
pub fn groups(broker: &Broker, scenario: &Scenario) -> Vec<Group> {
    let producers = &scenario.producers;
    let clients = producers.connections.min(producers.count).clamp(1, CLIENTS_MAX);
    let mut config = broker.config();
    if broker.is_idempotent {
        config.set("enable.idempotence", "true");
    } else {
        // What was sent again could be there twice, and overtaken.
        config.set("message.send.max.retries", "0");
    }
    config
        .set("acks", "all")
        .set("max.in.flight", producers.in_flight.clamp(1, 5).to_string())
        .set("linger.ms", (producers.linger.as_secs_f64() * 1e3).to_string())
        .set("batch.size", producers.batch_bytes.to_string())
        .set("batch.num.messages", "1000000")
        // What is outstanding is bounded here, so librdkafka's own bounds are never met.
        .set("queue.buffering.max.messages", "0")
        .set("queue.buffering.max.kbytes", (4 * OUTSTANDING_BYTES_MAX / 1024).to_string())
        .set("message.timeout.ms", scenario.drain.as_millis().max(1_000).to_string())
        .set("retry.backoff.ms", "20")
        .set("retry.backoff.max.ms", "500")
        .set("statistics.interval.ms", "1000");
    let outstanding_bytes_max = OUTSTANDING_BYTES_MAX / u64::from(clients);
    let group = |client| Group {
        numbers: (client..producers.count).step_by(clients as usize).collect(),
        config: config.clone(),
        outstanding_bytes_max,
    };
    (0..clients).map(group).collect()
}

/// Starts a group. It ends when everything is reported or given up.
pub fn start(shared: &Arc<Shared>, group: Group) -> JoinHandle<Result<()>> {
    let shared = shared.clone();
    on_thread("produce", move || {
        let producer = group.config.create_with_context(Reports::new(shared.clone()));
        let producer: Arc<BaseProducer<Reports>> = Arc::new(producer.context("cannot make a producer of Kafka")?);
        let is_over = Arc::new(AtomicBool::new(false));
        let polling = thread::Builder::new().name("reports".into()).spawn({
            let (producer, is_over) = (producer.clone(), is_over.clone());
            move || poll(&producer, &is_over)
        });
        let polling = polling.context("cannot start a thread")?;
        let ended = Sender::new(shared, &group, producer).run();
        is_over.store(true, Ordering::Release);
        let polled = polling.join();
        ended.and(polled.map_err(|_| anyhow::anyhow!("the thread of the reports panicked")))
    })
}

fn poll(producer: &BaseProducer<Reports>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Acquire) {
        producer.poll(POLL);
        producer.context().flush();
    }
}

struct Sender {
    shared: Arc<Shared>,
    producer: Arc<BaseProducer<Reports>>,
    outstanding_bytes_max: u64,
    authors: Vec<Author>,
    /// When the next record of each is due, a number that lets those that are due at the same time take turns, and its place.
    next: BinaryHeap<Reverse<(u64, u64, usize)>>,
    turns: u64,
    tick_ns: u64,
    phase: watch::Receiver<Phase>,
    /// There was no place for another record.
    is_blocked: bool,
    unblocked_ns: u64,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// A producer of the run.
struct Author {
    number: u32,
    feed: Feed,
    /// Of the next record of each lane.
    sequences: BTreeMap<LogId, u64>,
}

impl Sender {
    fn new(shared: Arc<Shared>, group: &Group, producer: Arc<BaseProducer<Reports>>) -> Self {
        let authors = group.numbers.iter().map(|number| Author {
            number: *number,
            feed: Feed::new(&shared.scenario, *number, shared.start_ns),
            sequences: BTreeMap::new(),
        });
        let phase = shared.phase.subscribe();
        let tick_ns = nanos(TICK_MAX.min(shared.scenario.producers.linger / 4));
        let mut sender = Self {
            authors: authors.collect(),
            shared,
            producer,
            outstanding_bytes_max: group.outstanding_bytes_max,
            next: BinaryHeap::new(),
            turns: 0,
            tick_ns,
            phase,
            is_blocked: false,
            unblocked_ns: 0,
            key: Vec::new(),
            value: Vec::new(),
        };
        (0..sender.authors.len()).for_each(|place| sender.queue(place));
        sender
    }

    fn run(mut self) -> Result<()> {
        while !self.next.is_empty() {
            let Phase { stop_ns, give_up_ns, .. } = *self.phase.borrow();
            let now_ns = self.shared.now_ns();
            if now_ns >= give_up_ns {
                let is_left = self.next.iter().any(|Reverse((at_ns, ..))| *at_ns <= stop_ns);
                self.shared.left_behind.fetch_or(is_left, Ordering::Relaxed);
                break;
            }
            let is_more_due = self.take_up_due(now_ns, stop_ns)?;
            if !is_more_due {
                self.sleep(now_ns, stop_ns);
            }
        }
        self.finish()
    }

    /// Hands over what is due. True: more is due, and there may be a place for it.
    fn take_up_due(&mut self, now_ns: u64, stop_ns: u64) -> Result<bool> {
        let (mut taken_bytes, mut first) = (0, None);
        let mut is_blocked = false;
        while let Some(Reverse((at_ns, _, place))) = self.next.peek().copied() {
            if at_ns > now_ns || taken_bytes >= STEP_BYTES {
                break;
            }
            let Some(due) = self.authors[place].feed.next(now_ns).filter(|due| due.at_ns <= stop_ns) else {
                self.next.pop();
                continue;
            };
            if !self.take_up(place, due, now_ns)? {
                is_blocked = true;
                break;
            }
            self.next.pop();
            self.queue(place);
            first.get_or_insert((self.authors[place].number, due.at_ns));
            taken_bytes += due.draft.value_bytes;
        }
        if self.is_blocked && !is_blocked {
            self.unblocked_ns = now_ns;
        }
        self.is_blocked = is_blocked;
        if let Some((number, at_ns)) = first {
            let late_ns = now_ns.saturating_sub(at_ns.max(self.unblocked_ns));
            self.shared.recorder.writer(number).late(late_ns, now_ns);
        }
        Ok(taken_bytes >= STEP_BYTES && !is_blocked)
    }

    /// The next record of a producer waits for its time.
    fn queue(&mut self, place: usize) {
        if let Some(due) = self.authors[place].feed.next(0) {
            self.turns += 1;
            self.next.push(Reverse((due.at_ns, self.turns, place)));
        }
    }

    /// False: there is no place.
    fn take_up(&mut self, place: usize, due: Due, now_ns: u64) -> Result<bool> {
        let Due { at_ns, draft, log } = due;
        let Author { number, feed, sequences } = &mut self.authors[place];
        let sequence = *sequences.entry(log).or_insert(0);
        self.key.clear();
        let key = feed.key(&draft).map(|key| {
            self.key.extend_from_slice(key);
            self.key.as_slice()
        });
        let cost_bytes = (draft.value_bytes + key.map_or(0, <[u8]>::len)) as u64 + RECORD_COST_BYTES;
        let reports = self.producer.context();
        if reports.outstanding_bytes() > self.outstanding_bytes_max.saturating_sub(cost_bytes) {
            return Ok(false);
        }
        self.value.resize(draft.value_bytes, 0);
        feed.payload(&draft, &mut self.value[stamp::STAMP_BYTES..]);
        let stamped = Stamp { run: self.shared.run, producer: *number, sequence, intended_ns: at_ns };
        stamp::put(&mut self.value, stamped, Home { topic: log.topic, partition: log.partition, key });
        let sent = Box::new(Sent { producer: *number, log, sequence, intended_ns: at_ns, cost_bytes });
        let mut record = BaseRecord::with_opaque_to(&self.shared.topics[log.topic as usize], sent)
            .partition(i32::try_from(log.partition)?)
            .payload(self.value.as_slice())
            .timestamp(i64::try_from(at_ns / 1_000_000)?);
        record.key = key;
        reports.begin(cost_bytes);
        if let Err((error, record)) = self.producer.send(record) {
            reports.end(cost_bytes);
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => return Ok(false),
                KafkaError::MessageProduction(RDKafkaErrorCode::Fatal) => {
                    let why = self.producer.client().fatal_error();
                    bail!("librdkafka cannot go on: {}", why.map_or(error.to_string(), |(_, why)| why));
                }
                _ => reports.failed(&record.delivery_opaque, now_ns),
            }
        }
        sequences.insert(log, sequence + 1);
        feed.step();
        self.shared.recorder.writer(*number).taken(at_ns, draft.value_bytes as u64);
        Ok(true)
    }

    /// Until a record is due, or a place may have become free.
    fn sleep(&self, now_ns: u64, stop_ns: u64) {
        let wait_ns = match self.next.peek() {
            _ if self.is_blocked => nanos(LOOK),
            Some(Reverse((at_ns, ..))) => {
                at_ns.min(&stop_ns).saturating_sub(now_ns).max(self.tick_ns).min(nanos(NOTICE))
            }
            None => return,
        };
        // What was handed over took its time.
        let since_ns = self.shared.now_ns().saturating_sub(now_ns);
        thread::sleep(Duration::from_nanos(wait_ns.saturating_sub(since_ns)));
    }

    /// Waits for the reports, and gives up in time.
    fn finish(self) -> Result<()> {
        let reports = self.producer.context();
        while reports.outstanding_bytes() > 0 && self.shared.now_ns() < self.phase.borrow().give_up_ns {
            thread::sleep(LOOK);
        }
        if reports.outstanding_bytes() > 0 {
            self.producer.purge(PurgeConfig::default().queue().inflight());
        }
        let latest_ns = self.shared.now_ns() + nanos(GOODBYE);
        while reports.outstanding_bytes() > 0 && self.shared.now_ns() < latest_ns {
            thread::sleep(LOOK);
        }
        match reports.outstanding_bytes() {
            0 => Ok(()),
            bytes => bail!("librdkafka did not report what became of {bytes} bytes of records"),
        }
    }
}
