//! One consumer over one fetch stream. A stream that breaks is opened again where it was.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};
use eagre_loadtest_stubs::v1::{
    FetchEncoding, FetchEnd, FetchPartition, FetchRequest, FetchResponse, Position,
    fetch_service_client::FetchServiceClient, position,
};
use eagre_workload::{Consumers, From};
use tokio::{sync::watch, time::Instant};
use tonic::{Streaming, transport::Channel};

use super::{connect, connect::MAX_MESSAGE_BYTES, producer::said};
use crate::{
    consume::{Consumer, reading::Reading, stats::ConsumerStats},
    run::shared::{Phase, Shared},
};

/// Pause before a stream that broke is opened again.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a consumer that goes away and comes again is away.
const AWAY: Duration = Duration::from_millis(500);
/// A consumer that waits for the last records looks so often whether it still should.
const LOOK: Duration = Duration::from_millis(200);

/// Runs a consumer until it leaves or has read everything. False: it was to read more than it got.
pub async fn run(shared: Arc<Shared>, consumer: Consumer, channel: Channel) -> Result<bool> {
    let mut phase = shared.phase.subscribe();
    let begins = match consumer.kind.from {
        From::Earliest => None,
        From::Latest => Some(begin_at_ends(&shared, &channel, &mut phase).await?),
    };
    let Consumer { number, name, kind, stats } = consumer;
    let reading = Reading::new(shared.clone(), number, &name, &kind, begins.as_deref(), stats.clone());
    let leaves_at = kind.leave.map(|leave| shared.instant(leave));
    Follower { shared, number, kind, stats, channel, reading, phase, leaves_at }.run().await
}

async fn begin_at_ends(shared: &Shared, channel: &Channel, phase: &mut watch::Receiver<Phase>) -> Result<Vec<i64>> {
    let mut begins = Vec::new();
    for topic in &shared.topics {
        begins.extend(loop {
            match connect::ends(channel, topic, shared.scenario.topics.partitions).await {
                Ok(ends) => break ends,
                Err(error) if phase.borrow().finish.is_some() => return Err(error),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        });
    }
    Ok(begins)
}

struct Follower {
    shared: Arc<Shared>,
    number: u32,
    kind: Consumers,
    stats: Arc<ConsumerStats>,
    channel: Channel,
    reading: Reading,
    phase: watch::Receiver<Phase>,
    leaves_at: Option<Instant>,
}

/// Why a stream is not read any longer.
enum Ended {
    /// There is nothing left to read.
    Complete,
    /// Not everything came in time.
    Incomplete,
    /// Its time is over.
    Leaves,
    /// It goes away for a while.
    Restarts,
    /// It broke.
    Lost(String),
}

impl Follower {
    async fn run(mut self) -> Result<bool> {
        loop {
            let ended = match self.open().await {
                Ok(stream) => self.follow(stream).await?,
                Err(why) => self.over().unwrap_or(Ended::Lost(why)),
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
                    self.restarted();
                    tokio::time::sleep(AWAY).await;
                }
                Ended::Lost(why) => {
                    self.restarted();
                    let now_ns = self.shared.now_ns();
                    self.shared.recorder.count(self.number, now_ns, |counts| counts.reconnects += 1);
                    self.shared.lost_connection(&format!("a consumer: {why}"));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn restarted(&mut self) {
        self.stats.restarts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.reading.reopened();
    }

    async fn open(&self) -> Result<Streaming<FetchResponse>, String> {
        let partitions = self.reading.next_offsets().map(|(log, next_offset)| FetchPartition {
            topic: self.shared.topics[log.topic as usize].clone(),
            partition: log.partition,
            position: Some(Position { position: Some(position::Position::Offset(next_offset)) }),
        });
        let request = FetchRequest {
            partitions: partitions.collect(),
            end: FetchEnd::Follow.into(),
            encoding: FetchEncoding::Batches.into(),
        };
        let mut client = FetchServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        match tokio::time::timeout(Duration::from_secs(5), client.fetch(request)).await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(status)) => Err(said(&status)),
            Err(_) => Err("no answer within 5 s".into()),
        }
    }

    async fn follow(&mut self, mut stream: Streaming<FetchResponse>) -> Result<Ended> {
        let restarts_at = self.kind.restart_every.map(|every| Instant::now() + every);
        loop {
            if let Some(over) = self.over() {
                return Ok(over);
            }
            let is_finishing = self.phase.borrow().finish.is_some();
            tokio::select! {
                biased;
                changed = self.phase.changed() => changed?,
                () = until(self.leaves_at), if !is_finishing => return Ok(Ended::Leaves),
                () = until(restarts_at), if !is_finishing => return Ok(Ended::Restarts),
                message = stream.message() => match message {
                    Ok(Some(message)) => {
                        let bytes = match self.take(&message)? {
                            Ok(bytes) => bytes,
                            Err(why) => return Ok(Ended::Lost(why)),
                        };
                        self.rest(bytes).await?;
                    }
                    Ok(None) => return Ok(Ended::Lost("the service ended a stream that follows".into())),
                    Err(status) => return Ok(Ended::Lost(said(&status))),
                },
                () = tokio::time::sleep(LOOK), if is_finishing => {}
            }
        }
    }

    /// Whether the run is over for it.
    fn over(&mut self) -> Option<Ended> {
        let finish = self.phase.borrow_and_update().finish.clone()?;
        if self.reading.is_finished(&finish) {
            Some(Ended::Complete)
        } else {
            self.reading.is_in_vain(&finish).then_some(Ended::Incomplete)
        }
    }

    /// The bytes of the message's values, or why the stream is not to be read on.
    fn take(&mut self, message: &FetchResponse) -> Result<Result<u64, String>> {
        let place = usize::try_from(message.index)?;
        if place >= self.stats.positions.len() {
            bail!("the service sent a message of a partition that was not asked for: {place}");
        }
        if let Some(error) = &message.error {
            return Ok(Err(error.message.clone()));
        }
        Ok(Ok(self.reading.batches(place, &message.batches, message.next_offset)))
    }

    /// A slow consumer takes its time, but not once all others have finished.
    async fn rest(&mut self, bytes: u64) -> Result<()> {
        let Some(max_bytes_per_s) = self.kind.max_bytes_per_s else { return Ok(()) };
        let until = Instant::now() + Duration::from_secs_f64(bytes as f64 / max_bytes_per_s as f64);
        while self.phase.borrow().finish.is_none() {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Ok(()),
                changed = self.phase.changed() => changed?,
            }
        }
        Ok(())
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
