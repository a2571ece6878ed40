//! A cluster that can be reached: its topics and where its logs end.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    error::RDKafkaErrorCode,
};
use tokio::task::spawn_blocking;

/// How long an answer may take where a client waits for it alone.
const ANSWER: Duration = Duration::from_secs(10);
/// Who has not answered after that is not there.
const THERE: Duration = Duration::from_secs(4);
/// Bytes of a batch that a topic takes; Kafka's default is less than the largest batch of a scenario.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// See the module. Clones share the connections.
#[derive(Clone)]
pub struct Broker {
    hosts: String,
    /// Producers have identities, so that what is sent again lands once. Without, nothing is sent again.
    pub is_idempotent: bool,
    admin: Arc<AdminClient<DefaultClientContext>>,
    /// It asks and reads nothing.
    asking: Arc<BaseConsumer>,
}

impl Broker {
    /// Of `host:port[,host:port…][?idempotence=off]`. Fails when nobody answers.
    pub async fn connect(address: &str) -> Result<Self> {
        let (hosts, option) = address.split_once('?').map_or((address, None), |(hosts, option)| (hosts, Some(option)));
        let is_idempotent = match option {
            None | Some("idempotence=on") => true,
            Some("idempotence=off") => false,
            Some(option) => bail!("?{option}: it is ?idempotence=on or ?idempotence=off"),
        };
        for host in hosts.split(',') {
            let port = host.trim().rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            ensure!(matches!(port, Some(Ok(_))), "{host} has no port: kafka://host:port");
        }
        let broker = Self {
            hosts: hosts.to_owned(),
            is_idempotent,
            admin: Arc::new(config(hosts).create().context("cannot make a client of Kafka")?),
            asking: Arc::new(config(hosts).create().context("cannot make a client of Kafka")?),
        };
        let asking = broker.asking.clone();
        let answered = spawn_blocking(move || asking.fetch_metadata(None, THERE).map(drop)).await?;
        answered.map_err(|_| anyhow::anyhow!("nobody answers at {hosts}"))?;
        Ok(broker)
    }

    /// What every client of it is set to.
    pub fn config(&self) -> ClientConfig {
        config(&self.hosts)
    }

    /// Creates topics with so many partitions each, and waits until all of these have a leader.
    pub async fn create_topics(&self, topics: &[String], partitions: u32) -> Result<()> {
        let count = i32::try_from(partitions)?;
        let largest = MESSAGE_BYTES_MAX.to_string();
        // As many replicas as the cluster has it by default.
        let new = topics
            .iter()
            .map(|topic| NewTopic::new(topic, count, TopicReplication::Fixed(-1)).set("max.message.bytes", &largest));
        let new: Vec<_> = new.collect();
        let answer = self.admin.create_topics(&new, &options()).await;
        for created in answer.context("the service does not answer the request for a topic")? {
            if let Err((topic, code)) = created {
                bail!("cannot create the topic {topic}: {code}");
            }
        }
        let (asking, topics) = (self.asking.clone(), topics.to_vec());
        spawn_blocking(move || topics.iter().try_for_each(|topic| wait_for_leaders(&asking, topic, partitions))).await?
    }

    /// Deletes topics.
    pub async fn delete_topics(&self, topics: &[String]) -> Result<()> {
        let topics: Vec<_> = topics.iter().map(String::as_str).collect();
        let answer = self.admin.delete_topics(&topics, &options()).await;
        for deleted in answer.context("the service does not answer the request to delete a topic")? {
            if let Err((topic, code)) = deleted {
                bail!("cannot delete the topic {topic}: {code}");
            }
        }
        Ok(())
    }

    /// One above the last offset of each partition of each topic, in order; `None` for one that is not there. Waits for the
    /// answers.
    pub fn ends(&self, topics: &[String], partitions: u32) -> Result<Vec<Option<i64>>> {
        let mut ends = Vec::new();
        for topic in topics {
            for partition in 0..partitions {
                let marks = self.asking.fetch_watermarks(topic, i32::try_from(partition)?, ANSWER);
                ends.push(match marks {
                    Ok((_, end)) => Some(end),
                    Err(error) if error.rdkafka_error_code().is_some_and(is_gone) => None,
                    Err(error) => return Err(error).context("cannot ask for the ends of logs"),
                });
            }
        }
        Ok(ends)
    }
}

fn is_gone(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
}

fn config(hosts: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", hosts)
        .set("client.id", "eagre-loadtest")
        .set("socket.nagle.disable", "true")
        // A batch of the largest size and what is around it.
        .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
        // A broker that restarts is to be found again at once.
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "500");
    config
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER))
}

fn wait_for_leaders(asking: &BaseConsumer, topic: &str, partitions: u32) -> Result<()> {
    const LOOK: Duration = Duration::from_millis(20);
    for _ in 0..ANSWER.as_millis() / LOOK.as_millis() {
        let metadata =
            asking.fetch_metadata(Some(topic), ANSWER).context("cannot ask for the leaders of partitions")?;
        let led = metadata.topics().iter().flat_map(|topic| topic.partitions()).filter(|it| it.leader() >= 0).count();
        if led == partitions as usize {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
    bail!("the topic {topic} was created, but not all of its partitions have a leader")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_target_that_is_no_broker_is_told() {
        for (address, told) in [
            ("127.0.0.1:1", "nobody answers at 127.0.0.1:1"),
            ("127.0.0.1", "127.0.0.1 has no port: kafka://host:port"),
            ("127.0.0.1:1,b:x", "b:x has no port: kafka://host:port"),
            ("127.0.0.1:1?acks=1", "?acks=1: it is ?idempotence=on or ?idempotence=off"),
        ] {
            let error = Broker::connect(address).await.err().unwrap().to_string();
            assert_eq!(error, told);
        }
    }
}
