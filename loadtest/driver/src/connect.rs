//! Connections and topics.

use std::time::Duration;

use anyhow::{Context, Result};
use eagre_proto::v1::{
    CreateTopicRequest, DeleteTopicRequest, InitProducerRequest, InitProducerResponse,
    produce_service_client::ProduceServiceClient, topic_service_client::TopicServiceClient,
};
use tonic::transport::{Channel, Endpoint};

/// Large enough for any answer to a fetch.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Opens `count` connections to the endpoint, with windows and frames as large as a load wants them.
pub async fn channels(endpoint: &str, count: usize) -> Result<Vec<Channel>> {
    let endpoint = Endpoint::new(endpoint.to_owned())
        .with_context(|| format!("--endpoint {endpoint}"))?
        .connect_timeout(Duration::from_secs(5))
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_frame_size(256 << 10)
        .tcp_nodelay(true);
    let mut channels = Vec::with_capacity(count);
    for _ in 0..count {
        channels.push(endpoint.connect().await.with_context(|| format!("cannot reach {}", endpoint.uri()))?);
    }
    Ok(channels)
}

/// Creates a topic with a given number of partitions.
pub async fn create_topic(channel: &Channel, name: &str, partitions: u32) -> Result<()> {
    let request = CreateTopicRequest { name: name.to_owned(), partitions: Some(partitions), ..Default::default() };
    TopicServiceClient::new(channel.clone()).create_topic(request).await.context("cannot create the topic")?;
    Ok(())
}

/// Deletes a topic.
pub async fn delete_topic(channel: &Channel, name: &str) -> Result<()> {
    let request = DeleteTopicRequest { name: name.to_owned() };
    TopicServiceClient::new(channel.clone()).delete_topic(request).await.context("cannot delete the topic")?;
    Ok(())
}

/// Asks for a producer's identity.
pub async fn init_producer(channel: &Channel) -> Result<InitProducerResponse> {
    let mut client = ProduceServiceClient::new(channel.clone());
    Ok(client.init_producer(InitProducerRequest {}).await.context("cannot get a producer id")?.into_inner())
}
