//! Connections and topics.

use std::{ops::Range, time::Duration};

use anyhow::{Context, Result, bail};
use eagre_loadtest_stubs::v1::{
    CreateTopicRequest, DeleteTopicRequest, FetchPartition, InitProducerRequest, Latest, ListOffsetsRequest, Position,
    fetch_service_client::FetchServiceClient, position, produce_service_client::ProduceServiceClient,
    topic_service_client::TopicServiceClient,
};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use super::producer::said;

/// Large enough for any answer to a fetch.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// How long an answer may take where a client waits for it alone.
const ANSWER: Duration = Duration::from_secs(10);
/// Between two questions whether the peer is still there. Ten thousand connections ask as well.
const PING: Duration = Duration::from_secs(20);

/// Addresses of gateways, taken in turn.
#[derive(Debug, Clone)]
pub struct Gateways {
    endpoints: Vec<Endpoint>,
}

impl Gateways {
    /// Of `host:port[,host:port…]`.
    pub fn parse(addresses: &str) -> Result<Self> {
        let endpoints = addresses.split(',').map(|address| {
            let endpoint = Endpoint::new(format!("http://{}", address.trim()));
            let endpoint = endpoint.with_context(|| format!("{address} is no host:port"))?;
            if endpoint.uri().port().is_none() {
                bail!("{address} has no port: grpc://host:port");
            }
            Ok(endpoint
                .connect_timeout(Duration::from_secs(5))
                // A peer that vanished without a word is noticed while calls are open.
                .http2_keep_alive_interval(PING)
                .keep_alive_timeout(ANSWER)
                .initial_stream_window_size(4 << 20)
                .initial_connection_window_size(16 << 20)
                .max_frame_size(256 << 10)
                .tcp_nodelay(true))
        });
        Ok(Self { endpoints: endpoints.collect::<Result<_>>()? })
    }

    /// A connection of its own, made at the first call and again when it is lost.
    pub fn channel(&self, number: usize) -> Channel {
        self.endpoints[number % self.endpoints.len()].connect_lazy()
    }

    /// Fails when one of them is not there.
    pub async fn check(&self) -> Result<()> {
        for endpoint in &self.endpoints {
            let connected = endpoint.connect().await;
            connected.map_err(|_| {
                anyhow::anyhow!("nobody listens at {}", endpoint.uri().authority().map_or("", |it| it.as_str()))
            })?;
        }
        Ok(())
    }
}

/// Creates a topic with so many partitions.
pub async fn create_topic(channel: &Channel, name: &str, partitions: u32) -> Result<()> {
    let request = CreateTopicRequest { name: name.to_owned(), partitions: Some(partitions), ..Default::default() };
    let mut client = TopicServiceClient::new(channel.clone());
    let answer = tokio::time::timeout(ANSWER, client.create_topic(request)).await;
    match answer.context("the service does not answer the request for a topic")? {
        Ok(_) => Ok(()),
        Err(status) => bail!("cannot create the topic {name}: {}", status.message()),
    }
}

/// Deletes a topic.
pub async fn delete_topic(channel: &Channel, name: &str) -> Result<()> {
    let mut client = TopicServiceClient::new(channel.clone());
    let answer = tokio::time::timeout(ANSWER, client.delete_topic(DeleteTopicRequest { name: name.to_owned() })).await;
    match answer.context("the service does not answer the request to delete a topic")? {
        Ok(_) => Ok(()),
        Err(status) => bail!("cannot delete the topic {name}: {}", status.message()),
    }
}

/// What a producer is.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// Id and epoch.
    pub producer: (i64, i16),
    /// How many of its batches may be unanswered, in a partition.
    pub in_flight_max: usize,
}

/// Asks for a producer's identity.
pub async fn init_producer(channel: &Channel) -> Result<Identity> {
    let mut client = ProduceServiceClient::new(channel.clone());
    let answer = tokio::time::timeout(ANSWER, client.init_producer(InitProducerRequest {})).await;
    let identity = match answer.context("no producer id within 10 s")? {
        Ok(identity) => identity.into_inner(),
        Err(status) => bail!("cannot get a producer id: {}", said(&status)),
    };
    Ok(Identity {
        producer: (identity.producer_id, i16::try_from(identity.producer_epoch)?),
        in_flight_max: usize::try_from(identity.max_in_flight_per_partition)?,
    })
}

/// One above the last offset of each partition of each topic, in order; `None` for one that is not there.
pub async fn ends(channel: &Channel, topics: &[String], partitions: u32) -> Result<Vec<Option<i64>>> {
    let mut ends = Vec::new();
    for topic in topics {
        match ends_of(channel, topic, 0..partitions).await? {
            Some(all) => ends.extend(all.into_iter().map(Some)),
            None => {
                // Which of them: one that is missing is an error for all that were asked for with it.
                for partition in 0..partitions {
                    let found = ends_of(channel, topic, partition..partition + 1).await?;
                    ends.push(found.and_then(|found| found.first().copied()));
                }
            }
        }
    }
    Ok(ends)
}

/// `None`: one of them is not there.
async fn ends_of(channel: &Channel, topic: &str, partitions: Range<u32>) -> Result<Option<Vec<i64>>> {
    let partitions = partitions.map(|partition| FetchPartition {
        topic: topic.to_owned(),
        partition,
        position: Some(Position { position: Some(position::Position::Latest(Latest {})) }),
    });
    let mut client = FetchServiceClient::new(channel.clone());
    let request = ListOffsetsRequest { partitions: partitions.collect() };
    let answer = tokio::time::timeout(ANSWER, client.list_offsets(request)).await;
    match answer.context("no ends of logs within 10 s")? {
        Ok(offsets) => Ok(Some(offsets.into_inner().offsets.iter().map(|partition| partition.offset).collect())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => bail!("cannot ask for the ends of logs: {}", said(&status)),
    }
}
