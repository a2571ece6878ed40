//! One producer over one produce stream: sends what its writer gives out, and takes the answers. A stream that breaks is opened
//! again, and everything unanswered is sent again under the same identity, so that it lands once.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};
use eagre_loadtest_stubs::v1::{
    ErrorReason, ProduceError, ProduceRequest, ProduceStreamRequest, ProduceStreamResponse, produce_request::Payload,
    produce_service_client::ProduceServiceClient, produce_stream_response::Outcome,
};
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use super::connect::{Identity, init_producer};
use crate::{
    clock::nanos,
    produce::writer::Writer,
    run::{
        metronome::Alarm,
        shared::{Phase, Shared},
    },
};

/// Requests that wait for the connection's window; few, because waiting belongs into the lanes.
const REQUEST_QUEUE: usize = 4;
/// Pauses between attempts to connect: doubled from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// Pause before a batch that was refused is sent again, where the service names none.
const AGAIN: Duration = Duration::from_millis(20);

/// Runs a producer to the end of its records.
pub async fn run(shared: Arc<Shared>, number: u32, channel: Channel, identity: Identity) -> Result<()> {
    let writer = Writer::new(shared.clone(), number, identity.producer, identity.in_flight_max);
    let (alarm, phase) = (shared.metronome.alarm(), shared.phase.subscribe());
    let mut producer = Producer { shared, number, channel, writer, alarm, phase };
    let ended = producer.run().await;
    if ended.is_err() {
        producer.writer.give_up(producer.shared.now_ns());
    }
    ended
}

struct Producer {
    shared: Arc<Shared>,
    number: u32,
    channel: Channel,
    writer: Writer,
    alarm: Alarm,
    phase: watch::Receiver<Phase>,
}

/// Why a stream is not used any longer.
enum Ended {
    /// Everything is answered, or given up.
    Done,
    /// Another one is to be opened.
    Lost(String),
    /// Another identity is to be had.
    Forgotten,
}

impl Producer {
    async fn run(&mut self) -> Result<()> {
        let mut pause = PAUSES.0;
        let mut lost = false;
        loop {
            let now_ns = self.shared.now_ns();
            let Phase { stop_ns, give_up_ns, .. } = *self.phase.borrow_and_update();
            if self.writer.is_done(now_ns, stop_ns) {
                return Ok(());
            }
            if now_ns >= give_up_ns {
                self.writer.give_up(now_ns);
                return Ok(());
            }
            let (requests, queue) = mpsc::channel(REQUEST_QUEUE);
            let mut client = ProduceServiceClient::new(self.channel.clone());
            let opened =
                tokio::time::timeout(Duration::from_secs(5), client.produce_stream(ReceiverStream::new(queue)));
            match opened.await {
                Ok(Ok(answers)) => {
                    if std::mem::take(&mut lost) {
                        self.shared.recorder.count(self.number, now_ns, |counts| counts.reconnects += 1);
                    }
                    self.writer.rewind(self.shared.now_ns());
                    match self.stream(requests, answers.into_inner(), &mut pause).await? {
                        Ended::Done => return Ok(()),
                        Ended::Lost(why) => {
                            lost = true;
                            self.shared.lost_connection(&format!("a producer: {why}"));
                        }
                        Ended::Forgotten => self.renew().await,
                    }
                }
                Ok(Err(_)) | Err(_) => lost = true,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Asks for another identity until there is one or nobody waits any longer.
    async fn renew(&mut self) {
        while self.shared.now_ns() < self.phase.borrow().give_up_ns {
            if let Ok(identity) = init_producer(&self.channel).await {
                self.writer.renew(identity.producer, self.shared.now_ns());
                return;
            }
            tokio::time::sleep(PAUSES.1).await;
        }
    }

    async fn stream(
        &mut self,
        requests: mpsc::Sender<ProduceStreamRequest>,
        mut answers: Streaming<ProduceStreamResponse>,
        pause: &mut Duration,
    ) -> Result<Ended> {
        loop {
            let now_ns = self.shared.now_ns();
            let Phase { stop_ns, give_up_ns, .. } = *self.phase.borrow_and_update();
            let is_more_due = self.writer.gather(now_ns, stop_ns);
            let is_full = self.send(&requests, now_ns)?;
            if self.writer.is_done(now_ns, stop_ns) {
                return Ok(Ended::Done);
            }
            if now_ns >= give_up_ns {
                self.writer.give_up(now_ns);
                return Ok(Ended::Done);
            }
            let mut answer = if is_more_due && !is_full {
                tokio::task::yield_now().await;
                answers.next().now_or_never()
            } else {
                let wake_ns = self.writer.next_ns(stop_ns).min(give_up_ns);
                tokio::select! {
                    biased;
                    answer = answers.next() => Some(answer),
                    _ = requests.reserve(), if is_full => None,
                    changed = self.phase.changed() => { changed?; None }
                    () = self.alarm.until(wake_ns) => None,
                }
            };
            // What has come in by now is taken in one go.
            while let Some(next) = answer {
                match next {
                    Some(Ok(message)) => {
                        *pause = PAUSES.0;
                        if let Some(ended) = self.take(message)? {
                            return Ok(ended);
                        }
                    }
                    Some(Err(status)) => return Ok(Ended::Lost(said(&status))),
                    None => return Ok(Ended::Lost("the service ended the stream".into())),
                }
                answer = answers.next().now_or_never();
            }
        }
    }

    /// Sends what may be sent. True: the connection takes no more at the moment.
    fn send(&mut self, requests: &mpsc::Sender<ProduceStreamRequest>, now_ns: u64) -> Result<bool> {
        while self.writer.has_to_send(now_ns) {
            let place = match requests.try_reserve() {
                Ok(place) => place,
                Err(mpsc::error::TrySendError::Full(())) => return Ok(true),
                // Its answers say why.
                Err(mpsc::error::TrySendError::Closed(())) => return Ok(false),
            };
            let Some(outgoing) = self.writer.next_to_send(now_ns) else { break };
            let request = ProduceRequest {
                topic: self.shared.topics[outgoing.log.topic as usize].clone(),
                partition: Some(outgoing.log.partition),
                payload: Some(Payload::Batch(outgoing.bytes)),
                producer: None,
                topic_id: None,
            };
            place.send(ProduceStreamRequest { request_id: outgoing.id, request: Some(request) });
        }
        Ok(false)
    }

    fn take(&mut self, answer: ProduceStreamResponse) -> Result<Option<Ended>> {
        let (id, now_ns) = (answer.request_id, self.shared.now_ns());
        let is_known = match answer.outcome {
            Some(Outcome::Response(response)) => self.writer.acked(id, response.base_offset, now_ns),
            Some(Outcome::Error(error)) => return self.refused(id, &error, now_ns),
            None => bail!("the service sent an answer without an outcome"),
        };
        if !is_known {
            bail!("the service answered a request that is not under way: {id}");
        }
        Ok(None)
    }

    fn refused(&mut self, id: u64, error: &ProduceError, now_ns: u64) -> Result<Option<Ended>> {
        self.shared.recorder.count(self.number, now_ns, |counts| {
            counts.refused += u64::from(!error.outcome_unknown);
            counts.throttled += u64::from(error.retry_after_ms.is_some());
        });
        let is_gap = error.reason() == ErrorReason::OutOfOrderSequence;
        // A gap closes when what is before it has been sent again.
        if error.retriable || is_gap {
            let wait = error.retry_after_ms.map_or(AGAIN, |ms| Duration::from_millis(ms.into()));
            self.writer.again(id, now_ns + nanos(wait.min(Duration::from_secs(5))));
            return Ok(None);
        }
        let said = &error.message;
        if error.outcome_unknown {
            self.shared.one_of_many("unknown", &format!("the service cannot say whether a batch was appended: {said}"));
            return Ok(Some(Ended::Forgotten));
        }
        if matches!(
            error.reason(),
            ErrorReason::UnknownProducerId | ErrorReason::UnissuedProducerId | ErrorReason::ProducerFenced
        ) {
            self.shared.one_of_many("unknown", &format!("a producer has to begin anew: {said}"));
            return Ok(Some(Ended::Forgotten));
        }
        self.shared.one_of_many("refused", &format!("a batch was refused: {said}"));
        if self.writer.attempts(id) > 1 {
            // This attempt was refused; one before it may have been taken.
            return Ok(Some(Ended::Forgotten));
        }
        self.writer.failed(id, now_ns);
        Ok(None)
    }
}

/// What went wrong, in few words.
pub fn said(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}
