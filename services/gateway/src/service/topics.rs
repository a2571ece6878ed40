//! `eagre.v1.TopicService`.

use std::sync::Arc;

use eagre_model::{Placement, TopicConfig, TopicPartition, TopicRecord, batch::Limits};
use eagre_proto::v1::{
    CreateTopicRequest, CreateTopicResponse, DeleteTopicRequest, DeleteTopicResponse, DescribeTopicRequest,
    DescribeTopicResponse, ListTopicsRequest, ListTopicsResponse, PartitionBounds, Placement as WirePlacement,
    ResidueClass, Topic, TopicPartition as WirePartition, topic_service_server::TopicService,
};
use tonic::{Request, Response, Status, async_trait};

use super::refuse;
use crate::{
    Shared,
    produce::edge::topic_id,
    refusal::{Refusal, check_topic_name},
};

/// The most topics of one page, and the number when none is given.
const PAGE_TOPICS_MAX: usize = 1_000;
/// A topic's largest batch is not smaller than this: a header and a small record.
const MAX_MESSAGE_BYTES_MIN: usize = 1_024;

pub(super) struct Topics(pub Arc<Shared>);

#[async_trait]
impl TopicService for Topics {
    async fn create_topic(
        &self,
        request: Request<CreateTopicRequest>,
    ) -> Result<Response<CreateTopicResponse>, Status> {
        self.0.check_open().map_err(refuse)?;
        let CreateTopicRequest { name, partitions, max_message_bytes } = request.into_inner();
        check_topic_name("name", &name).map_err(refuse)?;
        check_max_message_bytes(max_message_bytes, &self.0.settings.batch_limits).map_err(refuse)?;
        let config = TopicConfig { max_message_bytes };
        let create = async {
            let created = self.0.sequencer.create_topic_with(&name, partitions, config).await;
            created.map_err(|error| Refusal::of_creation(error, &name))
        };
        let record = Arc::new(self.0.outcome(create).await.map_err(refuse)?);
        self.0.directory.remember(record.clone());
        Ok(Response::new(CreateTopicResponse { topic: Some(topic(&record)) }))
    }

    async fn describe_topic(
        &self,
        request: Request<DescribeTopicRequest>,
    ) -> Result<Response<DescribeTopicResponse>, Status> {
        let name = request.into_inner().name;
        check_topic_name("name", &name).map_err(refuse)?;
        // Not out of the directory: the answer is about now.
        let find = async { self.0.sequencer.topic(&name).await.map_err(|error| Refusal::of_lookup(error, &name)) };
        let record = self.0.answer(find).await.map_err(refuse)?;
        let partition = |partition| TopicPartition { topic: record.number, partition };
        let partitions: Vec<_> = (0..record.placement.partitions()).map(partition).collect();
        let ask = async { self.0.bounds.ask(&partitions).await.map_err(Refusal::of_read) };
        let answers = self.0.answer(ask).await.map_err(refuse)?;
        let mut bounds = Vec::with_capacity(partitions.len());
        for (partition, answer) in partitions.iter().zip(answers) {
            let Some(answer) = answer else {
                return Err(refuse(Refusal::UnknownTopic { topic: name }));
            };
            bounds.push(PartitionBounds {
                partition: partition.partition,
                log_start_offset: answer.log_start_offset,
                high_watermark: answer.high_watermark,
                size_bytes: answer.size_bytes,
            });
        }
        Ok(Response::new(DescribeTopicResponse { topic: Some(topic(&record)), bounds }))
    }

    async fn list_topics(&self, request: Request<ListTopicsRequest>) -> Result<Response<ListTopicsResponse>, Status> {
        let ListTopicsRequest { page_size, page_token } = request.into_inner();
        if !page_token.is_empty() {
            // The last name of the page before.
            check_topic_name("page_token", &page_token).map_err(refuse)?;
        }
        let max = match usize::try_from(page_size).unwrap_or(usize::MAX) {
            0 => PAGE_TOPICS_MAX,
            size => size.min(PAGE_TOPICS_MAX),
        };
        let list = async |after: &str, max| {
            let page = async { self.0.sequencer.topics(after, max).await.map_err(Refusal::of_read) };
            self.0.answer(page).await.map_err(refuse)
        };
        let records = list(&page_token, max).await?;
        let mut next_page_token = String::new();
        if let Some(last) = records.last().filter(|_| records.len() >= max)
            && !list(&last.name, 1).await?.is_empty()
        {
            next_page_token.clone_from(&last.name);
        }
        Ok(Response::new(ListTopicsResponse { topics: records.iter().map(topic).collect(), next_page_token }))
    }

    async fn delete_topic(
        &self,
        request: Request<DeleteTopicRequest>,
    ) -> Result<Response<DeleteTopicResponse>, Status> {
        self.0.check_open().map_err(refuse)?;
        let name = request.into_inner().name;
        check_topic_name("name", &name).map_err(refuse)?;
        let delete =
            async { self.0.sequencer.delete_topic(&name).await.map_err(|error| Refusal::of_topic(error, &name)) };
        let deleted = self.0.outcome(delete).await;
        if let Some(known) = self.0.directory.known(&name) {
            self.0.directory.forget(known.number);
        }
        deleted.map_err(refuse)?;
        Ok(Response::new(DeleteTopicResponse {}))
    }
}

/// What is set would be of no use above what this service takes.
fn check_max_message_bytes(asked: Option<u32>, limits: &Limits) -> Result<(), Refusal> {
    let most = limits.max_batch_bytes;
    match asked {
        Some(bytes) if !(MAX_MESSAGE_BYTES_MIN..=most).contains(&(bytes as usize)) => Err(Refusal::invalid(
            "max_message_bytes",
            format!("max_message_bytes is {bytes}; it may be {MAX_MESSAGE_BYTES_MIN} to {most}"),
        )),
        Some(_) | None => Ok(()),
    }
}

fn topic(record: &TopicRecord) -> Topic {
    let class = |partition: usize| match &record.placement {
        Placement::Fixed { .. } => None,
        Placement::Elastic { classes } => {
            classes.get(partition).map(|class| ResidueClass { remainder: class.remainder, modulus: class.modulus })
        }
    };
    let placement = match &record.placement {
        Placement::Fixed { .. } => WirePlacement::Kafka,
        Placement::Elastic { .. } => WirePlacement::ResidueClass,
    };
    let partition = |number: u32| WirePartition { partition: number, residue_class: class(number as usize) };
    Topic {
        name: record.name.clone(),
        id: topic_id(record),
        placement: placement.into(),
        partitions: (0..record.placement.partitions()).map(partition).collect(),
        partition_map_version: record.partition_map_version,
        created_at_ms: record.created_at_ms,
        max_message_bytes: record.config.max_message_bytes,
    }
}
