//! A consumer over librdkafka: partitions and offsets are its own affair, without a group. librdkafka finds a broker again by itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use anyhow::Result;
use eagre_workload::{Consumers, From};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::{broker::Broker, on_thread};
use crate::{
    consume::{Consumer, reading::Reading, stats::ConsumerStats},
    run::shared::{Phase, Shared},
    wire::batch::Record,
};

/// Pause before a consumer that cannot go on begins anew.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a consumer that goes away and comes again is away.
const AWAY: Duration = Duration::from_millis(500);
/// How far the run is, is looked at so often.
const NOTICE: Duration = Duration::from_millis(20);
/// So many records are taken at a time.
const TAKEN: usize = 512;

/// Starts a consumer that runs until it leaves or has read everything. False: it was to read more than it got.
pub fn start(shared: &Arc<Shared>, consumer: Consumer, broker: Broker) -> JoinHandle<Result<bool>> {
    let shared = shared.clone();
    on_thread("consume", move || {
        let phase = shared.phase.subscribe();
        let Consumer { number, name, kind, stats } = consumer;
        let begins = match kind.from {
            From::Earliest => None,
            From::Latest => Some(begin_at_ends(&shared, &broker, &phase)?),
        };
        let reading = Reading::new(shared.clone(), number, &name, &kind, begins.as_deref(), stats.clone());
        let leaves_at = kind.leave.map(|leave| shared.instant(leave));
        let places = shared.judges.logs().enumerate();
        let places = places.map(|(place, log)| ((shared.topics[log.topic as usize].clone(), log.partition), place));
        let places = places.collect();
        Follower { shared, number, kind, stats, broker, reading, places, phase, leaves_at, is_lost: false }.run()
    })
}

fn begin_at_ends(shared: &Shared, broker: &Broker, phase: &watch::Receiver<Phase>) -> Result<Vec<i64>> {
    loop {
        match broker.ends(&shared.topics, shared.scenario.topics.partitions) {
            Ok(ends) => return Ok(ends),
            Err(error) if phase.borrow().finish.is_some() => return Err(error),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

struct Follower {
    shared: Arc<Shared>,
    number: u32,
    kind: Consumers,
    stats: Arc<ConsumerStats>,
    broker: Broker,
    reading: Reading,
    /// By topic and partition.
    places: BTreeMap<(String, u32), usize>,
    phase: watch::Receiver<Phase>,
    leaves_at: Option<Instant>,
    /// The connection broke, and nothing has come since.
    is_lost: bool,
}

/// Why a client is not read any longer.
enum Ended {
    /// There is nothing left to read.
    Complete,
    /// Not everything came in time.
    Incomplete,
    /// Its time is over.
    Leaves,
    /// It goes away for a while.
    Restarts,
    /// It cannot go on.
    Lost(String),
}

impl Follower {
    fn run(mut self) -> Result<bool> {
        loop {
            let ended = match self.over() {
                Some(over) => over,
                None => {
                    let client = self.open()?;
                    self.follow(&client)
                }
            };
            match ended {
                Ended::Complete => {
                    self.reading.leave(true);
                    return Ok(true);
                }
                Ended::Incomplete => {
                    self.reading.give_up();
                    return Ok(false);
                }
                Ended::Leaves => {
                    self.shared.event("leave", "a consumer goes");
                    self.reading.leave(false);
                    return Ok(true);
                }
                Ended::Restarts => {
                    self.stats.restarts.fetch_add(1, Ordering::Relaxed);
                    self.reading.reopened();
                    thread::sleep(AWAY);
                }
                Ended::Lost(why) => {
                    self.is_lost = true;
                    self.shared.lost_connection(&format!("a consumer: {why}"));
                    self.reading.reopened();
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    fn open(&self) -> Result<BaseConsumer> {
        let mut config = self.broker.config();
        config
            // librdkafka assigns partitions only to a member of a group; nothing is ever committed to it.
            .set("group.id", "eagre-loadtest")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // An offset that is not there is something to be told.
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            .set("fetch.message.max.bytes", (4 << 20).to_string())
            .set("fetch.max.bytes", (64 << 20).to_string())
            .set("receive.message.max.bytes", (128 << 20).to_string())
            .set("queued.max.messages.kbytes", (32 << 10).to_string())
            // A client whose queue was full asks again at once instead of after a second.
            .set("fetch.queue.backoff.ms", "2")
            .set("fetch.error.backoff.ms", "20");
        let client: BaseConsumer = config.create()?;
        let mut assigned = TopicPartitionList::new();
        for (log, next_offset) in self.reading.next_offsets() {
            let (topic, partition) = (&self.shared.topics[log.topic as usize], i32::try_from(log.partition)?);
            assigned.add_partition_offset(topic, partition, Offset::Offset(next_offset))?;
        }
        client.assign(&assigned)?;
        Ok(client)
    }

    fn follow(&mut self, client: &BaseConsumer) -> Ended {
        let restarts_at = self.kind.restart_every.map(|every| Instant::now() + every);
        let mut messages = Vec::with_capacity(TAKEN);
        loop {
            if let Some(over) = self.over() {
                return over;
            }
            let is_over = |at: Option<Instant>| at.is_some_and(|at| Instant::now() >= at);
            let is_finishing = self.phase.borrow().finish.is_some();
            if !is_finishing && is_over(self.leaves_at) {
                return Ended::Leaves;
            }
            if !is_finishing && is_over(restarts_at) {
                return Ended::Restarts;
            }
            let mut wait = NOTICE;
            let mut error = None;
            // What has come in by now is taken in one go.
            while let Some(message) = client.poll(wait) {
                match message {
                    Ok(message) => messages.push(message),
                    Err(failed) => error = Some(failed),
                }
                if messages.len() >= TAKEN || error.is_some() {
                    break;
                }
                wait = Duration::ZERO;
            }
            let bytes = self.take(&messages);
            messages.clear();
            if let Some(ended) = error.and_then(|error| self.failed(&error)) {
                return ended;
            }
            self.rest(bytes);
        }
    }

    /// Returns the bytes of their values.
    fn take(&mut self, messages: &[BorrowedMessage<'_>]) -> u64 {
        if !messages.is_empty() && std::mem::take(&mut self.is_lost) {
            self.stats.restarts.fetch_add(1, Ordering::Relaxed);
            self.shared.recorder.count(self.number, self.shared.now_ns(), |counts| counts.reconnects += 1);
        }
        let mut bytes = 0;
        for run in messages.chunk_by(|a, b| a.partition() == b.partition() && a.topic_ptr() == b.topic_ptr()) {
            let log = (run[0].topic().to_owned(), run[0].partition().unsigned_abs());
            // librdkafka gives nothing out that was not assigned.
            let Some(place) = self.places.get(&log) else { continue };
            let records = run.iter().map(|message| Record {
                offset: message.offset(),
                key: message.key(),
                value: message.payload().unwrap_or_default(),
            });
            bytes += self.reading.records(*place, records);
        }
        bytes
    }

    /// Whether it has to begin anew.
    fn failed(&mut self, error: &KafkaError) -> Option<Ended> {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::OperationTimedOut) => {
                self.is_lost = true;
                self.shared.lost_connection(&format!("a consumer: {error}"));
                None
            }
            _ => Some(Ended::Lost(error.to_string())),
        }
    }

    /// Whether the run is over for it.
    fn over(&self) -> Option<Ended> {
        let finish = self.phase.borrow().finish.clone()?;
        if self.reading.is_finished(&finish) {
            Some(Ended::Complete)
        } else {
            self.reading.is_in_vain(&finish).then_some(Ended::Incomplete)
        }
    }

    /// A slow consumer takes its time, but not once all others have finished.
    fn rest(&self, bytes: u64) {
        let Some(max_bytes_per_s) = self.kind.max_bytes_per_s else { return };
        let until = Instant::now() + Duration::from_secs_f64(bytes as f64 / max_bytes_per_s as f64);
        while self.phase.borrow().finish.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(NOTICE));
        }
    }
}
