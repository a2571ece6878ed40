//! Makes a topic, writes to it, deletes it and makes it again under the same name, and holds every answer against what was
//! answered before: nobody else touches its topics.

use std::time::Duration;

use eagre_env::{Randomness, SeededRandomness};
use eagre_proto::v1::{
    CreateTopicRequest, DeleteTopicRequest, DescribeTopicRequest, DescribeTopicResponse, ErrorReason, ProduceRequest,
    Record, RecordList, produce_request::Payload,
};
use tokio::time::{sleep, timeout};
use tonic::{Response, Status};

use super::{
    Role,
    gateway::{Reached, is_definite, reach_all, reason},
};
use crate::world::Phase;

const PATIENCE: Duration = Duration::from_secs(4);
/// A gateway that remembers an earlier topic of the name forgets it when it is told; then it looks the name up.
const ATTEMPTS: usize = 2;

/// Churns until the quiet phase.
pub(crate) async fn run(role: Role) {
    let random = role.world.random("churner", u64::from(role.process.0));
    let mut churner = Churner { gateways: reach_all(&role), role, random, names: 0 };
    while churner.role.world.phase() == Phase::Chaos {
        match churner.one_life().await {
            Ok(records) => churner.note(&format!("a whole life with {records} records")),
            // Whatever was under way may take effect at any later time, but only on that name.
            Err(Unsure) => churner.names += 1,
        }
        sleep(Duration::from_millis(20 + churner.random.below(300))).await;
    }
}

struct Churner {
    role: Role,
    gateways: Vec<Reached>,
    random: SeededRandomness,
    names: u32,
}

/// There was no answer, or one that decides nothing.
struct Unsure;

/// A decided answer: a success, or the reason of a definite refusal.
type Decided<T> = Result<T, ErrorReason>;

impl Churner {
    /// From nothing to nothing; how many records were appended between.
    async fn one_life(&self) -> Result<i64, Unsure> {
        // Away: nothing was done, as definitely.
        let Some(()) = self.create().await? else { return Err(Unsure) };
        if let Some(described) = self.describe().await? {
            let is_empty = described.bounds.iter().all(|bounds| bounds.high_watermark == 0);
            self.expect(is_empty, "a topic that was just made holds records");
        }
        let mut records = 0;
        for _ in 0..self.random.below(5) {
            match self.append().await? {
                Ok(offset) => {
                    self.expect(offset == records, &format!("record {records} was acked at offset {offset}"));
                    records += 1;
                }
                Err(ErrorReason::Unavailable) => {}
                Err(reason) => self.expect(false, &format!("an append to a topic that exists was refused: {reason:?}")),
            }
        }
        while !self.delete().await? {
            sleep(Duration::from_millis(100)).await;
        }
        // Gone is gone.
        if let Ok(described) = self.call(|gateway| self.describe_at(gateway)).await? {
            self.expect(false, &format!("described after it was deleted: {described:?}"));
        }
        let appended = self.append().await?;
        self.expect(appended.is_err(), &format!("appended after the topic was deleted: {appended:?}"));
        Ok(records)
    }

    /// Makes the topic, which does not exist; `None`: definitely not done.
    async fn create(&self) -> Result<Option<()>, Unsure> {
        let request = || CreateTopicRequest { name: self.name(), partitions: Some(2), ..Default::default() };
        let make = |gateway: Reached| {
            let request = request();
            async move { gateway.topics().create_topic(request).await }
        };
        match self.call(make).await? {
            Ok(_) => Ok(Some(())),
            Err(ErrorReason::Unavailable) => Ok(None),
            Err(reason) => {
                self.expect(false, &format!("a topic that does not exist was not made: {reason:?}"));
                Ok(None)
            }
        }
    }

    /// Describes the topic, which exists; `None`: the service is away.
    async fn describe(&self) -> Result<Option<DescribeTopicResponse>, Unsure> {
        match self.call(|gateway| self.describe_at(gateway)).await? {
            Ok(described) => Ok(Some(described)),
            Err(ErrorReason::Unavailable) => Ok(None),
            Err(reason) => {
                self.expect(false, &format!("a topic that exists was not described: {reason:?}"));
                Ok(None)
            }
        }
    }

    async fn describe_at(&self, gateway: Reached) -> Result<Response<DescribeTopicResponse>, Status> {
        gateway.topics().describe_topic(DescribeTopicRequest { name: self.name() }).await
    }

    async fn append(&self) -> Result<Decided<i64>, Unsure> {
        let gateway = self.any_gateway();
        let mut decided = Err(ErrorReason::UnknownTopic);
        for _ in 0..ATTEMPTS {
            let record = Record { value: Some("churn".into()), ..Record::default() };
            let request = ProduceRequest {
                topic: self.name(),
                partition: Some(1),
                payload: Some(Payload::Records(RecordList { records: vec![record] })),
                producer: None,
                topic_id: None,
            };
            let answer = timeout(PATIENCE, gateway.produce().produce(request)).await;
            decided = self.decide(answer.ok())?.map(|answer| answer.base_offset);
            if decided != Err(ErrorReason::UnknownTopic) {
                break;
            }
        }
        Ok(decided)
    }

    /// Deletes the topic, which exists; whether it is gone.
    async fn delete(&self) -> Result<bool, Unsure> {
        let request = || DeleteTopicRequest { name: self.name() };
        let delete = |gateway: Reached| {
            let request = request();
            async move { gateway.topics().delete_topic(request).await }
        };
        match self.call(delete).await? {
            Ok(_) => Ok(true),
            Err(ErrorReason::Unavailable) => Ok(false),
            Err(reason) => {
                self.expect(false, &format!("a topic that exists was not deleted: {reason:?}"));
                Err(Unsure)
            }
        }
    }

    /// One call over any gateway.
    async fn call<T, F>(&self, make: impl Fn(Reached) -> F) -> Result<Decided<T>, Unsure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let answer = timeout(PATIENCE, make(self.any_gateway())).await;
        self.decide(answer.ok())
    }

    fn decide<T>(&self, answer: Option<Result<Response<T>, Status>>) -> Result<Decided<T>, Unsure> {
        match answer.ok_or(Unsure)? {
            Ok(answer) => Ok(Ok(answer.into_inner())),
            Err(status) => {
                self.note(&format!("{:?} {}", status.code(), status.message()));
                reason(&status).filter(|reason| is_definite(*reason)).map(Err).ok_or(Unsure)
            }
        }
    }

    fn any_gateway(&self) -> Reached {
        self.gateways[usize::try_from(self.random.below(self.gateways.len() as u64)).unwrap_or(0)].clone()
    }

    fn name(&self) -> String {
        format!("churn-{}", self.names)
    }

    fn note(&self, what: &str) {
        self.role.world.trace.note(&self.role.host, format_args!("{}: {what}", self.name()));
    }

    fn expect(&self, holds: bool, otherwise: &str) {
        if !holds {
            self.role.world.complain(format!("{}: {otherwise}", self.name()));
        }
    }
}
