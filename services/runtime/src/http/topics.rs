//! `/v1/topics` and `/v1/topics/T`.

use axum::{
    extract::{Path, Request, State},
    http::StatusCode,
};
use eagre_proto::v1::{
    CreateTopicRequest, DeleteTopicRequest, DescribeTopicRequest, ListTopicsRequest, PartitionBounds, Placement, Topic,
    topic_service_client::TopicServiceClient,
};
use serde::{Deserialize, Serialize};

use super::{answer::Json, api::Api, error::ApiError, query::Query, shape::Shape};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    name: String,
    /// Left out: the topic is elastic.
    partitions: Option<u32>,
    /// The largest batch that it takes; left out: the service's limit.
    max_message_bytes: Option<u32>,
}

impl Shape for CreateBody {
    const WHAT: &'static str = "an object with name, and, where wanted, partitions and max_message_bytes";
}

#[derive(Debug, Serialize)]
pub(super) struct TopicBody {
    name: String,
    id: String,
    partitions: usize,
    placement: &'static str,
    partition_map_version: u64,
    created_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_message_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bounds: Vec<BoundsBody>,
}

#[derive(Debug, Serialize)]
struct BoundsBody {
    partition: u32,
    log_start_offset: i64,
    high_watermark: i64,
    size_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Listed {
    topics: Vec<TopicBody>,
    /// To be given as `after` for those that follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// `GET /v1/topics?after=NAME&max=N`: in the order of their names.
pub(super) async fn list(State(api): State<Api>, request: Request) -> Result<Json<Listed>, ApiError> {
    let mut query = Query::of(&request, &["after", "max"])?;
    let page_token = query.take("after").unwrap_or_default();
    let page_size = query.number("max", 1..=1_000)?.unwrap_or(1_000);
    let request = ListTopicsRequest { page_size, page_token };
    let answer = TopicServiceClient::new(api.routes).list_topics(request).await?.into_inner();
    let topics = answer.topics.into_iter().map(|topic| body(topic, Vec::new())).collect();
    Ok(Json(Listed { topics, next: Some(answer.next_page_token).filter(|next| !next.is_empty()) }))
}

/// `POST /v1/topics`.
pub(super) async fn create(
    State(api): State<Api>,
    request: Request,
) -> Result<(StatusCode, Json<TopicBody>), ApiError> {
    let (CreateBody { name, partitions, max_message_bytes }, _granted) = api.budget.read(request).await?;
    let request = CreateTopicRequest { name, partitions, max_message_bytes };
    let answer = TopicServiceClient::new(api.routes).create_topic(request).await?.into_inner();
    Ok((StatusCode::CREATED, Json(body(answer.topic.unwrap_or_default(), Vec::new()))))
}

/// `GET /v1/topics/T`: with the bounds of each partition.
pub(super) async fn describe(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<TopicBody>, ApiError> {
    let request = DescribeTopicRequest { name };
    let answer = TopicServiceClient::new(api.routes).describe_topic(request).await?.into_inner();
    Ok(Json(body(answer.topic.unwrap_or_default(), answer.bounds)))
}

/// `DELETE /v1/topics/T`.
pub(super) async fn delete(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    TopicServiceClient::new(api.routes).delete_topic(DeleteTopicRequest { name }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn body(topic: Topic, bounds: Vec<PartitionBounds>) -> TopicBody {
    let placement = match topic.placement() {
        Placement::Kafka => "kafka",
        Placement::ResidueClass => "residue_class",
        Placement::Unspecified => "unspecified",
    };
    let bounds = bounds.into_iter().map(|bounds| BoundsBody {
        partition: bounds.partition,
        log_start_offset: bounds.log_start_offset,
        high_watermark: bounds.high_watermark,
        size_bytes: bounds.size_bytes,
    });
    TopicBody {
        partitions: topic.partitions.len(),
        placement,
        partition_map_version: topic.partition_map_version,
        created_at_ms: topic.created_at_ms,
        max_message_bytes: topic.max_message_bytes,
        bounds: bounds.collect(),
        name: topic.name,
        id: topic.id,
    }
}
