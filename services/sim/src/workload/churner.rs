//! Makes a topic, writes to it, deletes it and makes it again under the same name.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use eagre_env::{Randomness, SeededRandomness};
use eagre_proto::v1::{
    CreateTopicRequest, DeleteTopicRequest, DescribeTopicRequest, ErrorReason, ProduceRequest, Record, RecordList,
    produce_request::Payload,
};
use tokio::time::{sleep, timeout};
use tonic::{Response, Status};

use super::{
    Role,
    gateway::{Reached, is_definite, reach_all, reason},
};
use crate::world::Phase;

const NAME: &str = "churn";
const PATIENCE: Duration = Duration::from_secs(4);

/// Churns until the quiet phase.
pub(crate) async fn run(role: Role) {
    let random = role.world.random("churner", u64::from(role.process.0));
    let churner = Churner { gateways: reach_all(&role), role, random, unsure: AtomicBool::new(false) };
    while churner.role.world.phase() == Phase::Chaos {
        churner.one_life().await;
        sleep(Duration::from_millis(20 + churner.random.below(300))).await;
    }
}

struct Churner {
    role: Role,
    gateways: Vec<Reached>,
    random: SeededRandomness,
    /// A call was left without an answer: it may take effect at any later time, so nothing is certain any more.
    unsure: AtomicBool,
}

impl Churner {
    /// From nothing to nothing, as far as the service is there to do it.
    async fn one_life(&self) {
        let Some(id) = self.create().await else { return };
        let mut appended = 0;
        for _ in 0..self.random.below(5) {
            match self.append().await {
                Some(offset) if offset < appended => {
                    return self.complain(&format!("an append was acked at {offset}, behind {appended} others"));
                }
                Some(offset) => appended = offset + 1,
                None => break,
            }
        }
        if !self.delete().await {
            return;
        }
        // Gone is gone, until somebody makes it again, and nobody else does.
        if let Some(Ok(_)) = self.call(describe).await {
            self.complain(&format!("topic {id} is described after it was deleted"));
        }
        if self.append().await.is_some() {
            self.complain(&format!("a record was appended to topic {id} after it was deleted"));
        }
    }

    /// Makes the topic; its id. A topic that is there is from an attempt whose outcome we were not told.
    async fn create(&self) -> Option<String> {
        let request = || CreateTopicRequest { name: NAME.to_owned(), partitions: Some(2) };
        let created = self.call(|gateway| async move { gateway.topics().create_topic(request()).await }).await?;
        match created {
            Ok(answer) => {
                let bounds = self.call(describe).await;
                if let Some(Ok(described)) = bounds {
                    let described = described.into_inner();
                    let is_empty = described.bounds.iter().all(|bounds| bounds.high_watermark == 0);
                    if !is_empty {
                        self.complain("a topic that was just made holds records");
                    }
                }
                answer.into_inner().topic.map(|topic| topic.id)
            }
            Err(status) if reason(&status) == Some(ErrorReason::TopicExists) => {
                self.delete().await;
                None
            }
            Err(_) => None,
        }
    }

    async fn append(&self) -> Option<i64> {
        let record = Record { value: Some("churn".into()), ..Record::default() };
        let request = || ProduceRequest {
            topic: NAME.to_owned(),
            partition: Some(1),
            payload: Some(Payload::Records(RecordList { records: vec![record.clone()] })),
            producer: None,
        };
        let answer = self.call(|gateway| {
            let request = request();
            async move { gateway.produce().produce(request).await }
        });
        Some(answer.await?.ok()?.into_inner().base_offset)
    }

    /// Whether the topic is certainly gone.
    async fn delete(&self) -> bool {
        let request = || DeleteTopicRequest { name: NAME.to_owned() };
        match self.call(|gateway| async move { gateway.topics().delete_topic(request()).await }).await {
            Some(Ok(_)) => true,
            Some(Err(status)) => reason(&status) == Some(ErrorReason::UnknownTopic),
            None => false,
        }
    }

    /// One call over any gateway; `None`: no answer of the service, or one that decides nothing.
    async fn call<T, F>(&self, make: impl Fn(Reached) -> F) -> Option<Result<Response<T>, Status>>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let gateway =
            self.gateways[usize::try_from(self.random.below(self.gateways.len() as u64)).unwrap_or(0)].clone();
        let answer = timeout(PATIENCE, make(gateway)).await;
        let decided = match answer {
            Ok(Ok(answer)) => Some(Ok(answer)),
            Ok(Err(status)) => {
                let what = format_args!("churn: {:?} {}", status.code(), status.message());
                self.role.world.trace.note(&self.role.host, what);
                let reason = reason(&status);
                if reason == Some(ErrorReason::Unavailable) {
                    return None;
                }
                reason.is_some_and(is_definite).then_some(Err(status))
            }
            Err(_) => None,
        };
        self.unsure.fetch_or(decided.is_none(), Ordering::Relaxed);
        decided
    }

    fn complain(&self, what: &str) {
        if !self.unsure.load(Ordering::Relaxed) {
            self.role.world.complain(what.to_owned());
        }
    }
}

async fn describe(gateway: Reached) -> Result<Response<eagre_proto::v1::DescribeTopicResponse>, Status> {
    gateway.topics().describe_topic(DescribeTopicRequest { name: NAME.to_owned() }).await
}
