//! Whom the load goes to, and in which protocol.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use eagre_workload::Scenario;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::task::JoinHandle;
#[cfg(feature = "kafka")]
use tokio::task::spawn_blocking;
use tonic::transport::Channel;

#[cfg(feature = "kafka")]
use crate::kafka::{self, broker::Broker, producer::Group};
use crate::{
    consume::Consumer,
    grpc::{
        connect::{self, Gateways, Identity},
        consumer, producer,
    },
    run::shared::Shared,
};

/// What was typed behind `--target`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A service of our own is started.
    Own,
    /// `grpc://host:port[,host:port…]`.
    Grpc(String),
    /// `kafka://host:port[,host:port…]`.
    Kafka(String),
}

impl Address {
    /// Fails with what is accepted.
    pub fn parse(target: Option<&str>) -> Result<Self> {
        let Some(target) = target else { return Ok(Self::Own) };
        match target.split_once("://") {
            Some(("grpc", hosts)) if !hosts.is_empty() => Ok(Self::Grpc(hosts.trim_end_matches('/').to_owned())),
            Some(("kafka", hosts)) if !hosts.is_empty() => Ok(Self::Kafka(hosts.trim_end_matches('/').to_owned())),
            _ => bail!("--target {target}: it is grpc://host:port[,host:port…] or kafka://host:port[,host:port…]"),
        }
    }
}

/// A service that can be reached.
#[derive(Clone)]
pub enum Client {
    /// By `eagre.v1`.
    Grpc(Gateways),
    /// By Kafka's protocol.
    #[cfg(feature = "kafka")]
    Kafka(Broker),
}

/// Producers that have their identities and wait for the run to begin.
pub enum Prepared {
    /// By `eagre.v1`.
    Grpc(Vec<(Channel, Identity)>),
    /// By Kafka's protocol; librdkafka gets the identities by itself.
    #[cfg(feature = "kafka")]
    Kafka(Vec<Group>),
}

/// So many producers ask for their identity at a time.
const PREPARING: usize = 256;

impl Client {
    /// Fails when nobody is there.
    pub async fn connect(address: &Address) -> Result<Self> {
        match address {
            Address::Own => bail!("a service of our own has no address yet"),
            Address::Grpc(hosts) => {
                let gateways = Gateways::parse(hosts)?;
                gateways.check().await?;
                Ok(Self::Grpc(gateways))
            }
            #[cfg(feature = "kafka")]
            Address::Kafka(hosts) => Ok(Self::Kafka(Broker::connect(hosts).await?)),
            #[cfg(not(feature = "kafka"))]
            Address::Kafka(_) => {
                bail!("this build has no kafka://: cargo build --release -p eagre-loadtest --features kafka")
            }
        }
    }

    /// Makes the topics of a run.
    pub async fn create_topics(&self, topics: &[String], partitions: u32) -> Result<()> {
        match self {
            Self::Grpc(gateways) => {
                let channel = gateways.channel(0);
                for topic in topics {
                    connect::create_topic(&channel, topic, partitions).await?;
                }
                Ok(())
            }
            #[cfg(feature = "kafka")]
            Self::Kafka(broker) => broker.create_topics(topics, partitions).await,
        }
    }

    /// Removes them.
    pub async fn delete_topics(&self, topics: &[String]) -> Result<()> {
        match self {
            Self::Grpc(gateways) => {
                let channel = gateways.channel(0);
                for topic in topics {
                    connect::delete_topic(&channel, topic).await?;
                }
                Ok(())
            }
            #[cfg(feature = "kafka")]
            Self::Kafka(broker) => broker.delete_topics(topics).await,
        }
    }

    /// Connects all producers.
    pub async fn prepare(&self, scenario: &Scenario) -> Result<Prepared> {
        match self {
            Self::Grpc(gateways) => {
                let connections = scenario.producers.connections.clamp(1, scenario.producers.count) as usize;
                let channels: Vec<_> = (0..connections).map(|number| gateways.channel(number)).collect();
                let all = (0..scenario.producers.count as usize).map(|number| channels[number % connections].clone());
                let identified = all.map(|channel| async move {
                    let identity = connect::init_producer(&channel).await?;
                    anyhow::Ok((channel, identity))
                });
                let prepared = stream::iter(identified).buffered(PREPARING).try_collect().await;
                Ok(Prepared::Grpc(prepared.context("cannot connect all producers")?))
            }
            #[cfg(feature = "kafka")]
            Self::Kafka(broker) => Ok(Prepared::Kafka(kafka::producer::groups(broker, scenario))),
        }
    }

    /// Starts a consumer. Its task says whether it read everything.
    pub fn consume(&self, shared: &Arc<Shared>, consumer: Consumer) -> JoinHandle<Result<bool>> {
        match self {
            Self::Grpc(gateways) => {
                let channel = gateways.channel(consumer.number as usize);
                tokio::spawn(consumer::run(shared.clone(), consumer, channel))
            }
            #[cfg(feature = "kafka")]
            Self::Kafka(broker) => kafka::consumer::start(shared, consumer, broker.clone()),
        }
    }

    /// One above the last offset of each log of these topics, in order; `None` for one that is not there.
    pub async fn ends(&self, topics: &[String], partitions: u32) -> Result<Vec<Option<i64>>> {
        match self {
            Self::Grpc(gateways) => connect::ends(&gateways.channel(0), topics, partitions).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(broker) => {
                let (broker, topics) = (broker.clone(), topics.to_vec());
                spawn_blocking(move || broker.ends(&topics, partitions)).await?
            }
        }
    }
}

/// The ends of logs that have to be there.
pub fn all_there(ends: Vec<Option<i64>>) -> Result<Vec<i64>> {
    ends.into_iter().collect::<Option<_>>().context("a topic of the run is not there")
}

impl Prepared {
    /// Starts all producers.
    pub fn start(self, shared: &Arc<Shared>) -> Vec<JoinHandle<Result<()>>> {
        match self {
            Self::Grpc(producers) => {
                let producers = (0u32..).zip(producers);
                let tasks = producers.map(|(number, (channel, identity))| {
                    tokio::spawn(producer::run(shared.clone(), number, channel, identity))
                });
                tasks.collect()
            }
            #[cfg(feature = "kafka")]
            Self::Kafka(groups) => groups.into_iter().map(|group| kafka::producer::start(shared, group)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_by_their_scheme() {
        assert_eq!(Address::parse(None).unwrap(), Address::Own);
        assert_eq!(Address::parse(Some("grpc://a:1,b:2")).unwrap(), Address::Grpc("a:1,b:2".into()));
        assert_eq!(Address::parse(Some("kafka://a:1/")).unwrap(), Address::Kafka("a:1".into()));
        for wrong in ["http://a:1", "a:1", "grpc://", ""] {
            let error = Address::parse(Some(wrong)).unwrap_err().to_string();
            assert!(error.contains("grpc://host:port"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_target_that_is_not_there_is_told() {
        let error = Client::connect(&Address::Grpc("127.0.0.1:1".into())).await.err().unwrap().to_string();
        assert_eq!(error, "nobody listens at 127.0.0.1:1");
        let error = Client::connect(&Address::Grpc("127.0.0.1".into())).await.err().unwrap().to_string();
        assert!(error.contains("has no port"), "{error}");
    }
}
