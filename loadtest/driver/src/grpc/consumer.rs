//! One consumer over one fetch stream. A stream that breaks is opened again where it was.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};
use eagre_loadtest_stubs::v1::{
    FetchEncoding, FetchEnd, FetchPartition, FetchRequest, FetchResponse, Position,
    fetch_service_client::FetchServiceClient, position,
};
use eagre_workload::From;
use tokio::time::{sleep, sleep_until};
use tonic::{Streaming, transport::Channel};

use super::{connect, connect::MAX_MESSAGE_BYTES, producer::said};
use crate::{
    client::all_there,
    consume::{
        Consumer,
        course::{Course, Ended, Next, asks_again},
    },
    run::shared::Shared,
};

/// How long the answer to a request for a stream may take.
const OPENED: Duration = Duration::from_secs(5);

/// Runs a consumer until it leaves or has read everything. False: it was to read more than it got.
pub async fn run(shared: Arc<Shared>, consumer: Consumer, channel: Channel) -> Result<bool> {
    let begins = match consumer.kind.from {
        From::Earliest => None,
        From::Latest => Some(ends(&shared, &channel).await?),
    };
    let course = Course::new(shared.clone(), consumer, begins.as_deref());
    Follower { shared, channel, course, places: Vec::new() }.run().await
}

async fn ends(shared: &Shared, channel: &Channel) -> Result<Vec<i64>> {
    let phase = shared.phase.subscribe();
    loop {
        let ends = connect::ends(channel, &shared.topics, shared.scenario.topics.partitions).await;
        match ends.and_then(all_there) {
            Ok(ends) => return Ok(ends),
            Err(error) => match asks_again(&phase) {
                Some(pause) => sleep(pause).await,
                None => return Err(error),
            },
        }
    }
}

struct Follower {
    shared: Arc<Shared>,
    channel: Channel,
    course: Course,
    /// Places of the reading, in the order of the stream's partitions.
    places: Vec<usize>,
}

impl Follower {
    async fn run(mut self) -> Result<bool> {
        loop {
            let ended = match self.open().await {
                Ok(stream) => self.follow(stream).await?,
                Err(why) => self.course.over().unwrap_or(Ended::Lost(why)),
            };
            match self.course.after(ended) {
                Next::Over(is_whole) => return Ok(is_whole),
                Next::Again(pause) => sleep(pause).await,
            }
        }
    }

    async fn open(&mut self) -> Result<Streaming<FetchResponse>, String> {
        let (mut places, mut partitions) = (Vec::new(), Vec::new());
        for (place, log, next_offset) in self.course.open_places() {
            places.push(place);
            partitions.push(FetchPartition {
                topic: self.shared.topics[log.topic as usize].clone(),
                partition: log.partition,
                position: Some(Position { position: Some(position::Position::Offset(next_offset)) }),
            });
        }
        self.places = places;
        let request =
            FetchRequest { partitions, end: FetchEnd::Follow.into(), encoding: FetchEncoding::Batches.into() };
        let mut client = FetchServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        match tokio::time::timeout(OPENED, client.fetch(request)).await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(status)) => Err(said(&status)),
            Err(_) => Err(format!("no answer within {} s", OPENED.as_secs())),
        }
    }

    async fn follow(&mut self, mut stream: Streaming<FetchResponse>) -> Result<Ended> {
        self.course.begins();
        loop {
            if let Some(over) = self.course.over() {
                return Ok(over);
            }
            let looks_at = self.course.looks_at();
            tokio::select! {
                biased;
                changed = self.course.phase.changed() => changed?,
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
                () = sleep_until(looks_at) => {}
            }
        }
    }

    /// The bytes of the message's values, or why the stream is not to be read on.
    fn take(&mut self, message: &FetchResponse) -> Result<Result<u64, String>> {
        let Some(place) = self.places.get(usize::try_from(message.index)?).copied() else {
            bail!("the service sent a message of a partition that was not asked for: {}", message.index);
        };
        if let Some(error) = &message.error {
            return Ok(Err(error.message.clone()));
        }
        if !message.batches.is_empty() {
            self.course.got();
        }
        Ok(Ok(self.course.reading.batches(place, &message.batches, message.next_offset)))
    }

    /// A slow consumer takes its time, but not once all others have finished.
    async fn rest(&mut self, bytes: u64) -> Result<()> {
        let Some(until) = self.course.rests_until(bytes) else { return Ok(()) };
        while !self.course.is_finishing() {
            tokio::select! {
                () = sleep_until(until) => return Ok(()),
                changed = self.course.phase.changed() => changed?,
            }
        }
        Ok(())
    }
}
