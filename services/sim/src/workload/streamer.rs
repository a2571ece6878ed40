//! Writes without a producer id over one stream with many requests in flight: nothing tells a repetition from the first
//! attempt, so it never repeats, and the service must not either.

use std::{collections::BTreeMap, time::Duration};

use eagre_env::{Randomness, SeededRandomness};
use eagre_proto::v1::{
    ProduceRequest, ProduceStreamRequest, ProduceStreamResponse, Record, RecordList, produce_request::Payload,
    produce_stream_response::Outcome as Answer,
};
use eagre_verify::{EventId, Op, Outcome, Partition, Sent, Value};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tonic::Streaming;

use super::{
    Role, Values,
    gateway::{Reached, reach_all},
    partitions, topic_name,
};
use crate::{payload, time::EPOCH_MS, world::Phase};

/// Requests that wait for the stream to take them.
const WAITING: usize = 64;
/// No answer for so long while some are due: the stream is left.
const SILENCE: Duration = Duration::from_secs(12);

/// Streams until the quiet phase.
pub(crate) async fn run(role: Role) {
    let random = role.world.random("streamer", u64::from(role.process.0));
    let gateways = reach_all(&role);
    let mut values = Values::of(role.process);
    while role.world.phase() == Phase::Chaos {
        let gateway = &gateways[usize::try_from(random.below(gateways.len() as u64)).unwrap_or(0)];
        let mut streaming = OneStream { role: &role, random: &random, unanswered: BTreeMap::new(), next_id: 0 };
        streaming.over(gateway, &mut values).await;
        // Whatever is not answered by now never will be, and stays unknown.
        sleep(Duration::from_millis(50 + random.below(200))).await;
    }
}

/// One stream.
struct OneStream<'a> {
    role: &'a Role,
    random: &'a SeededRandomness,
    unanswered: BTreeMap<u64, (EventId, Value)>,
    next_id: u64,
}

impl OneStream<'_> {
    async fn over(&mut self, gateway: &Reached, values: &mut Values) {
        let (requests, outgoing) = mpsc::channel(WAITING);
        let outgoing = futures::stream::unfold(outgoing, |mut outgoing: mpsc::Receiver<ProduceStreamRequest>| async {
            Some((outgoing.recv().await?, outgoing))
        });
        let mut service = gateway.produce();
        let Ok(Ok(answers)) = timeout(SILENCE, service.produce_stream(outgoing)).await else { return };
        let mut answers = answers.into_inner();
        let turns = 40 + self.random.below(200);
        for _ in 0..turns {
            if self.role.world.phase() != Phase::Chaos {
                break;
            }
            for _ in 0..=self.random.below(3) {
                let request = self.request(values.next());
                if requests.send(request).await.is_err() {
                    return;
                }
            }
            let pause = Duration::from_millis(self.random.below(50));
            if timeout(pause, self.take(&mut answers)).await == Ok(false) {
                return;
            }
        }
        drop(requests);
        while !self.unanswered.is_empty() {
            let taken = timeout(SILENCE, self.take_one(&mut answers)).await;
            if taken != Ok(true) {
                return;
            }
        }
    }

    fn request(&mut self, value: Value) -> ProduceStreamRequest {
        let all = partitions();
        // Few partitions, so that requests of one partition are in flight together.
        let partition: Partition = all[usize::try_from(self.random.below(3)).unwrap_or(0)];
        let world = &self.role.world;
        let sent = Sent { partition, values: vec![value], identity: None, outcome: Outcome::Unknown };
        let id = world.history().invoke(self.role.process, world.moment(), Op::Send(sent));
        let request_id = self.next_id;
        self.next_id += 1;
        self.unanswered.insert(request_id, (id, value));
        let record = Record { value: Some(payload::encode(value)), timestamp_ms: Some(EPOCH_MS), ..Record::default() };
        let request = ProduceRequest {
            topic: topic_name(partition).to_owned(),
            partition: Some(partition.partition),
            payload: Some(Payload::Records(RecordList { records: vec![record] })),
            producer: None,
            topic_id: None,
        };
        ProduceStreamRequest { request_id, request: Some(request) }
    }

    /// Takes answers until the stream ends: false.
    async fn take(&mut self, answers: &mut Streaming<ProduceStreamResponse>) -> bool {
        while self.take_one(answers).await {}
        false
    }

    async fn take_one(&mut self, answers: &mut Streaming<ProduceStreamResponse>) -> bool {
        let world = &self.role.world;
        let answer = match answers.message().await {
            Ok(Some(answer)) => answer,
            Ok(None) => return false,
            Err(status) => {
                let what = format_args!("the stream broke: {:?} {}", status.code(), status.message());
                world.trace.note(&self.role.host, what);
                return false;
            }
        };
        let Some((id, value)) = self.unanswered.remove(&answer.request_id) else { return true };
        let outcome = match &answer.outcome {
            Some(Answer::Response(response)) => Outcome::Ok(response.base_offset),
            Some(Answer::Error(error)) if !error.outcome_unknown => Outcome::Failed,
            Some(Answer::Error(_)) | None => Outcome::Unknown,
        };
        world.trace.note(&self.role.host, format_args!("{value}: {outcome:?}"));
        world.history().complete_send(id, world.moment(), outcome);
        true
    }
}
