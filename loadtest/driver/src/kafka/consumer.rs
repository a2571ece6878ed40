//! A consumer over librdkafka: partitions and offsets are its own affair, without a group. librdkafka finds a broker again by itself.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use anyhow::Result;
use eagre_workload::From;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use tokio::{task::JoinHandle, time::Instant};

use super::{broker::Broker, on_thread};
use crate::{
    client::all_there,
    consume::{
        Consumer,
        course::{Course, Ended, Next, asks_again},
    },
    run::shared::Shared,
    wire::batch::Record,
};

/// How far the run is, is looked at so often.
const NOTICE: Duration = Duration::from_millis(20);
/// So many records are taken at a time.
const TAKEN: usize = 512;

/// Starts a consumer that runs until it leaves or has read everything. False: it was to read more than it got.
pub fn start(shared: &Arc<Shared>, consumer: Consumer, broker: Broker) -> JoinHandle<Result<bool>> {
    let shared = shared.clone();
    on_thread("consume", move || {
        let begins = match consumer.kind.from {
            From::Earliest => None,
            From::Latest => Some(ends(&shared, &broker)?),
        };
        let course = Course::new(shared.clone(), consumer, begins.as_deref());
        let places = shared.judges.logs().enumerate();
        let places = places.map(|(place, log)| ((shared.topics[log.topic as usize].clone(), log.partition), place));
        let places = places.collect();
        Follower { shared, broker, course, places }.run()
    })
}

fn ends(shared: &Shared, broker: &Broker) -> Result<Vec<i64>> {
    let phase = shared.phase.subscribe();
    loop {
        match broker.ends(&shared.topics, shared.scenario.topics.partitions).and_then(all_there) {
            Ok(ends) => return Ok(ends),
            Err(error) => match asks_again(&phase) {
                Some(pause) => thread::sleep(pause),
                None => return Err(error),
            },
        }
    }
}

struct Follower {
    shared: Arc<Shared>,
    broker: Broker,
    course: Course,
    /// By topic and partition.
    places: BTreeMap<(String, u32), usize>,
}

impl Follower {
    fn run(mut self) -> Result<bool> {
        loop {
            let ended = match self.course.over() {
                Some(over) => over,
                None => {
                    let client = self.open()?;
                    self.follow(&client)
                }
            };
            match self.course.after(ended) {
                Next::Over(is_whole) => return Ok(is_whole),
                Next::Again(pause) => thread::sleep(pause),
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
        for (_, log, next_offset) in self.course.open_places() {
            let (topic, partition) = (&self.shared.topics[log.topic as usize], i32::try_from(log.partition)?);
            assigned.add_partition_offset(topic, partition, Offset::Offset(next_offset))?;
        }
        client.assign(&assigned)?;
        Ok(client)
    }

    fn follow(&mut self, client: &BaseConsumer) -> Ended {
        self.course.begins();
        let mut messages = Vec::with_capacity(TAKEN);
        loop {
            if let Some(over) = self.course.over() {
                return over;
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
        if !messages.is_empty() {
            self.course.got();
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
            bytes += self.course.reading.records(*place, records);
        }
        bytes
    }

    /// Whether it has to begin anew.
    fn failed(&mut self, error: &KafkaError) -> Option<Ended> {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::OperationTimedOut) => {
                self.course.lost(&error.to_string());
                None
            }
            _ => Some(Ended::Lost(error.to_string())),
        }
    }

    /// A slow consumer takes its time, but not once all others have finished.
    fn rest(&self, bytes: u64) {
        let Some(until) = self.course.rests_until(bytes) else { return };
        while !self.course.is_finishing() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(NOTICE));
        }
    }
}
