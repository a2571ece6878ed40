//! Writes with the client crate: many records in flight, whatever happens.

use std::{sync::Arc, time::Duration};

use eagre_client::{ProducerSettings, Record, SendError};
use eagre_env::Randomness;
use eagre_verify::{Op, Outcome, Partition, Sent};
use tokio::{task::JoinSet, time::sleep};

use super::{Role, TOPICS, Values};
use crate::{payload, world::Phase};

/// Sends bursts until the quiet phase, then waits until every record is settled.
pub(crate) async fn run(role: Role, delivery_timeout: Duration) {
    let world = Arc::clone(&role.world);
    let random = world.random("producer", u64::from(role.process.0));
    let client = role.client();
    let settings = ProducerSettings { delivery_timeout, ..ProducerSettings::default() };
    let producer = client.producer(&settings);
    let mut topics = Vec::new();
    for (name, _) in TOPICS {
        // The service may be away for longer than one attempt takes.
        let topic = loop {
            match producer.topic(name).await {
                Ok(topic) => break topic,
                Err(error) => world.trace.note(&role.host, format_args!("no topic {name}: {error}")),
            }
            sleep(Duration::from_millis(200)).await;
        };
        topics.push(topic);
    }
    let mut values = Values::of(role.process);
    let mut waiting = JoinSet::new();
    while world.phase() == Phase::Chaos {
        let number = u32::try_from(random.below(topics.len() as u64)).unwrap_or(0);
        let topic = &topics[number as usize];
        for _ in 0..=random.below(6) {
            let partition = u32::try_from(random.below(u64::from(topic.partitions()))).unwrap_or(0);
            let value = values.next();
            let at = Partition { topic: number, partition };
            let sent = Sent { partition: at, values: vec![value], identity: None, outcome: Outcome::Unknown };
            let id = world.history().invoke(role.process, world.moment(), Op::Send(sent));
            let record = Record::new(payload::encode(value)).with_partition(partition);
            let delivery = topic.send(record).await;
            let role = role.clone();
            waiting.spawn(async move {
                let outcome = match delivery {
                    Ok(delivery) => delivery.await.map(|ack| ack.offset),
                    Err(error) => Err(error),
                };
                role.settle_send(id, value, outcome);
            });
        }
        while waiting.try_join_next().is_some() {}
        sleep(Duration::from_millis(1 + random.below(120))).await;
    }
    while waiting.join_next().await.is_some() {}
}

impl Role {
    fn settle_send(&self, id: eagre_verify::EventId, value: eagre_verify::Value, outcome: Result<i64, SendError>) {
        let now = self.world.moment();
        match &outcome {
            Ok(offset) => self.world.trace.note(&self.host, format_args!("acked {value} at {offset}")),
            Err(error) => self.world.trace.note(&self.host, format_args!("not acked {value}: {error}")),
        }
        let outcome = match outcome {
            Ok(offset) => Outcome::Ok(offset),
            Err(error) if error.is_definite() => Outcome::Failed,
            Err(_) => Outcome::Unknown,
        };
        self.world.history().complete_send(id, now, outcome);
    }
}
