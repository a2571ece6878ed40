//! One produce stream with its lanes: a lane is a producer's share of one partition.
//!
//! Batches grow by themselves: what is due goes out when the linger is over and a place in flight is free, so a slow
//! service gets fewer and larger batches, and the time that records waited here counts.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use anyhow::{Result, bail, ensure};
use eagre_proto::v1::{
    ProduceRequest, ProduceStreamRequest, ProduceStreamResponse, produce_request::Payload,
    produce_service_client::ProduceServiceClient, produce_stream_response::Outcome,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};

use crate::{
    batch::{BatchFields, Stamp, Template},
    clock::RunClock,
    connect::init_producer,
    report::{Latencies, latencies},
    schedule::Schedule,
};

/// When records go out.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// By the schedule.
    Scheduled(Schedule),
    /// Full batches as fast as places in flight come free, until the moment or until each lane has sent so many records.
    Unpaced {
        /// In nanoseconds since the Unix epoch.
        stop_ns: u64,
        /// Of each lane.
        max_records: u64,
    },
}

/// What all producers of a run share.
pub struct ProducerSettings {
    /// Where to.
    pub topic: String,
    /// Encoded once for all.
    pub template: Arc<Template>,
    /// The run's clock.
    pub clock: RunClock,
    /// The run's pace.
    pub pace: Pace,
    /// How long the first record of a batch may wait for others.
    pub linger: Duration,
    /// Batches of one lane without an answer; the service's own limit also holds.
    pub in_flight: usize,
    /// Latencies of records intended before are left out, and so are bytes acknowledged before.
    pub measure_from_ns: u64,
    /// Bytes acknowledged after this are left out of the rate.
    pub measure_to_ns: u64,
    /// How long to wait for what is unanswered after the last record.
    pub drain: Duration,
}

/// What a producer found.
pub struct Produced {
    /// From the intended send time (unpaced: from the send) to the ack, per record.
    pub latencies: Latencies,
    /// All records acknowledged.
    pub records: u64,
    /// Bytes of values acknowledged in the measured time.
    pub measured_bytes: u64,
}

impl Produced {
    /// Nothing yet.
    pub fn none() -> Self {
        Self { latencies: latencies(), records: 0, measured_bytes: 0 }
    }

    /// Adds another producer's.
    pub fn add(&mut self, other: &Produced) {
        self.latencies += &other.latencies;
        self.records += other.records;
        self.measured_bytes += other.measured_bytes;
    }
}

struct Sent {
    request_id: u64,
    first: u64,
    count: u64,
    at_ns: u64,
}

struct Lane {
    /// Place in the schedule.
    number: u64,
    partition: u32,
    sent: u64,
    in_flight: VecDeque<Sent>,
    next_offset: i64,
    last_sent_ns: u64,
    /// What an answer takes, about.
    round_trip_ns: u64,
}

/// An identity and an open stream, before the run's schedule is known.
pub struct Connected {
    number: u32,
    id: i64,
    epoch: i16,
    max_in_flight: usize,
    requests: mpsc::Sender<ProduceStreamRequest>,
    answers: Streaming<ProduceStreamResponse>,
}

/// Requests that wait for the connection's window; small, because waiting belongs into the lanes.
const REQUEST_QUEUE: usize = 4;

impl Connected {
    /// Gets an identity and opens the stream. `number` is what the stamps of its records will say.
    pub async fn open(channel: &Channel, number: u32) -> Result<Self> {
        let identity = init_producer(channel).await?;
        let (requests, queue) = mpsc::channel(REQUEST_QUEUE);
        let mut client = ProduceServiceClient::new(channel.clone());
        let answers = client.produce_stream(ReceiverStream::new(queue)).await?.into_inner();
        Ok(Self {
            number,
            id: identity.producer_id,
            epoch: i16::try_from(identity.producer_epoch)?,
            max_in_flight: usize::try_from(identity.max_in_flight_per_partition)?,
            requests,
            answers,
        })
    }

    /// A producer with these lanes: place in the schedule and partition of each.
    pub fn producer(self, settings: Arc<ProducerSettings>, lanes: &[(u64, u32)]) -> Producer {
        let lanes = lanes.iter().map(|&(number, partition)| Lane {
            number,
            partition,
            sent: 0,
            in_flight: VecDeque::new(),
            next_offset: 0,
            last_sent_ns: 0,
            round_trip_ns: 0,
        });
        let in_flight = settings.in_flight.min(self.max_in_flight).max(1);
        Producer { in_flight, lanes: lanes.collect(), produced: Produced::none(), settings, connected: self }
    }
}

/// A producer, ready to run.
pub struct Producer {
    settings: Arc<ProducerSettings>,
    connected: Connected,
    in_flight: usize,
    lanes: Vec<Lane>,
    produced: Produced,
}

impl Producer {
    /// Sends until the pace's end and waits for every answer. An error answer, or an answer that breaks an order which the
    /// service promises, ends the run.
    pub async fn run(mut self) -> Result<Produced> {
        loop {
            let now_ns = self.settings.clock.now_ns();
            let next_ns = self.send_due(now_ns)?;
            if self.is_done(now_ns) {
                return Ok(self.produced);
            }
            let deadline = self.stop_ns() + u64::try_from(self.settings.drain.as_nanos()).unwrap_or(u64::MAX);
            ensure!(now_ns < deadline, "{} batches were not answered in time", self.unanswered());
            let wake = self.settings.clock.instant(next_ns.unwrap_or(deadline).min(deadline));
            tokio::select! {
                answer = self.connected.answers.message() => match answer? {
                    Some(answer) => self.take(answer)?,
                    None => bail!("the service ended the stream with {} batches unanswered", self.unanswered()),
                },
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    fn unanswered(&self) -> usize {
        self.lanes.iter().map(|lane| lane.in_flight.len()).sum()
    }

    fn stop_ns(&self) -> u64 {
        match self.settings.pace {
            Pace::Scheduled(schedule) => schedule.stop_ns,
            Pace::Unpaced { stop_ns, .. } => stop_ns,
        }
    }

    fn is_done(&self, now_ns: u64) -> bool {
        self.lanes.iter().all(|lane| lane.in_flight.is_empty() && self.waiting(lane, now_ns) == 0)
            && match self.settings.pace {
                Pace::Scheduled(schedule) => now_ns >= schedule.stop_ns,
                Pace::Unpaced { .. } => true,
            }
    }

    /// Records of a lane that may go out now.
    fn waiting(&self, lane: &Lane, now_ns: u64) -> u64 {
        match self.settings.pace {
            Pace::Scheduled(schedule) => schedule.due(lane.number, now_ns).saturating_sub(lane.sent),
            Pace::Unpaced { stop_ns, .. } if now_ns >= stop_ns => 0,
            Pace::Unpaced { max_records, .. } => max_records.saturating_sub(lane.sent),
        }
    }

    /// Sends what is due; returns when to look again if no answer comes.
    fn send_due(&mut self, now_ns: u64) -> Result<Option<u64>> {
        let mut next_ns = None;
        let linger_ns = u64::try_from(self.settings.linger.as_nanos()).unwrap_or(u64::MAX);
        for index in 0..self.lanes.len() {
            loop {
                let lane = &self.lanes[index];
                if lane.in_flight.len() >= self.in_flight {
                    break;
                }
                let full = self.settings.template.max_records() as u64;
                let count = self.waiting(lane, now_ns).min(full);
                if let Pace::Scheduled(schedule) = self.settings.pace
                    && count < full
                {
                    // As a good client does: what may be unanswered is spread over the time of an answer, so that nothing has to
                    // wait for one.
                    let spread_ns = lane.last_sent_ns + lane.round_trip_ns / self.in_flight as u64;
                    let ripe_ns = schedule.intended_ns(lane.number, lane.sent).saturating_add(linger_ns).max(spread_ns);
                    if count == 0 || ripe_ns > now_ns {
                        // After the end nothing more becomes due; what waits for its linger still goes out.
                        let wake_ns =
                            if count == 0 { ripe_ns.min(schedule.stop_ns.max(now_ns + 1_000_000)) } else { ripe_ns };
                        next_ns = Some(next_ns.map_or(wake_ns, |earlier: u64| earlier.min(wake_ns)));
                        break;
                    }
                }
                if count == 0 {
                    break;
                }
                if !self.send(index, count, now_ns)? {
                    // The connection's window is full: look again soon, also without an answer.
                    return Ok(Some(now_ns + 1_000_000));
                }
            }
        }
        Ok(next_ns)
    }

    fn send(&mut self, index: usize, count: u64, now_ns: u64) -> Result<bool> {
        let place = match self.connected.requests.try_reserve() {
            Ok(place) => place,
            Err(mpsc::error::TrySendError::Full(())) => return Ok(false),
            Err(mpsc::error::TrySendError::Closed(())) => bail!("the service ended the stream"),
        };
        let lane = &mut self.lanes[index];
        let (first, number, settings) = (lane.sent, self.connected.number, &self.settings);
        let fields = BatchFields {
            producer_id: self.connected.id,
            producer_epoch: self.connected.epoch,
            base_sequence: i32::try_from(first % (1 << 31))?,
            timestamp_ms: i64::try_from(now_ns / 1_000_000)?,
        };
        let lane_number = lane.number;
        let batch = settings.template.batch(fields, usize::try_from(count)?, |i| Stamp {
            producer: number,
            sequence: first + i as u64,
            intended_ns: match settings.pace {
                Pace::Scheduled(schedule) => schedule.intended_ns(lane_number, first + i as u64),
                Pace::Unpaced { .. } => now_ns,
            },
        });
        let request_id = (index as u64) << 40 | first;
        let request = ProduceRequest {
            topic: settings.topic.clone(),
            partition: Some(lane.partition),
            payload: Some(Payload::Batch(batch)),
            producer: None,
            topic_id: None,
        };
        place.send(ProduceStreamRequest { request_id, request: Some(request) });
        lane.sent += count;
        lane.last_sent_ns = now_ns;
        lane.in_flight.push_back(Sent { request_id, first, count, at_ns: now_ns });
        Ok(true)
    }

    fn take(&mut self, answer: ProduceStreamResponse) -> Result<()> {
        let now_ns = self.settings.clock.now_ns();
        let lane = usize::try_from(answer.request_id >> 40).ok().and_then(|index| self.lanes.get_mut(index));
        let Some((lane, sent)) = lane.and_then(|lane| lane.in_flight.pop_front().map(|sent| (lane, sent))) else {
            bail!("an answer to a request that was not made: {}", answer.request_id);
        };
        ensure!(sent.request_id == answer.request_id, "answers of partition {} out of order", lane.partition);
        let response = match answer.outcome {
            Some(Outcome::Response(response)) => response,
            Some(Outcome::Error(error)) => bail!("refused: {:?}: {}", error.reason(), error.message),
            None => bail!("an answer without an outcome"),
        };
        ensure!(response.base_offset >= lane.next_offset, "offsets of partition {} went back", lane.partition);
        ensure!(!response.duplicate, "a first send was called a duplicate");
        lane.next_offset = response.base_offset + i64::try_from(sent.count)?;
        lane.round_trip_ns = (lane.round_trip_ns * 7 + now_ns.saturating_sub(sent.at_ns)) / 8;
        let settings = &self.settings;
        match settings.pace {
            Pace::Scheduled(schedule) => {
                for index in sent.first..sent.first + sent.count {
                    let intended_ns = schedule.intended_ns(lane.number, index);
                    if intended_ns >= settings.measure_from_ns {
                        self.produced.latencies.saturating_record(now_ns.saturating_sub(intended_ns));
                    }
                }
            }
            Pace::Unpaced { .. } if sent.at_ns >= settings.measure_from_ns => {
                self.produced.latencies.saturating_record_n(now_ns - sent.at_ns, sent.count);
            }
            Pace::Unpaced { .. } => {}
        }
        self.produced.records += sent.count;
        if (settings.measure_from_ns..settings.measure_to_ns).contains(&now_ns) {
            self.produced.measured_bytes += sent.count * settings.template.value_bytes() as u64;
        }
        Ok(())
    }
}
