//! The sequencer over gRPC: the answering side.

use std::{pin::Pin, sync::Arc};

use async_trait::async_trait;
use eagre_model::{ShardId, TopicConfig};
use eagre_proto::internal::v1::{
    self as proto,
    sequencer_service_server::{SequencerService, SequencerServiceServer},
};
use eagre_transport::MESSAGE_BYTES_MAX;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, error};

use crate::{
    CommitRequest, CommitStream, INLINE_READ_RUNS_MAX, Pinged, Sequencer, SequencerError,
    wire::{self, Malformed},
};

/// Metadata entry of a commit call: the incarnation whose stream it is.
pub(crate) const INCARNATION: &str = "eagre-incarnation";
/// More partitions in one request for bounds are refused.
const BOUNDS_MAX: usize = 100_000;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Serves a shard's sequencer to other processes.
pub struct SequencerServer {
    sequencer: Arc<dyn Sequencer>,
    pinged: Arc<dyn Pinged>,
    shard: ShardId,
}

impl SequencerServer {
    /// Serves this sequencer, and the pings of the same node.
    pub fn new(sequencer: Arc<dyn Sequencer>, pinged: Arc<dyn Pinged>, shard: ShardId) -> Self {
        Self { sequencer, pinged, shard }
    }

    /// As a service of a tonic server.
    pub fn into_service(self) -> SequencerServiceServer<Self> {
        SequencerServiceServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn check_shard(&self, shard: u32) -> Result<(), Status> {
        if shard == self.shard.0 {
            return Ok(());
        }
        let why = format!("shard {shard} is not served here");
        Err(wire::sequencer_status(SequencerError::Unavailable(why)))
    }
}

#[async_trait]
impl SequencerService for SequencerServer {
    async fn ping(&self, request: Request<proto::PingRequest>) -> Result<Response<proto::PingResponse>, Status> {
        self.check_shard(request.get_ref().shard)?;
        Ok(Response::new(wire::ping_message(&self.pinged.ping().await)))
    }

    async fn join(&self, request: Request<proto::JoinRequest>) -> Result<Response<proto::JoinResponse>, Status> {
        self.check_shard(request.get_ref().shard)?;
        let joined = self.sequencer.join().await.map_err(wire::sequencer_status)?;
        Ok(Response::new(proto::JoinResponse {
            incarnation: joined.incarnation,
            upload_epoch: joined.upload_epoch.0,
            cluster_id: joined.cluster_id,
        }))
    }

    type CommitStream = Answers<proto::CommitResponse>;

    async fn commit(
        &self,
        request: Request<Streaming<proto::CommitRequest>>,
    ) -> Result<Response<Self::CommitStream>, Status> {
        let incarnation = incarnation(&request)?;
        let stream = self.sequencer.open_commits(incarnation).await.map_err(wire::sequencer_status)?;
        let CommitStream { requests, replies } = stream;
        let ended = CancellationToken::new();
        let pump = pump(request.into_inner(), requests, self.shard, incarnation);
        let refused = ended.clone();
        tokio::spawn(async move {
            if let Some(Err(malformed)) = refused.run_until_cancelled(pump).await {
                error!(incarnation, %malformed, "commit stream ended: a request makes no sense");
                refused.cancel();
            }
        });
        // When the gateway goes, the pump goes with the guard.
        let guard = ended.clone().drop_guard();
        let answers = ReceiverStream::new(replies).take_until(ended.cancelled_owned()).map(move |reply| {
            let _ = &guard;
            Ok(wire::commit_response_message(&reply))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    type SubscribeStream = Answers<proto::SubscribeResponse>;

    async fn subscribe(
        &self,
        request: Request<proto::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        self.check_shard(request.get_ref().shard)?;
        let updates = self.sequencer.subscribe().await.map_err(wire::sequencer_status)?;
        let answers = ReceiverStream::new(updates).map(|update| Ok(wire::tail_update_message(&update)));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn bounds(&self, request: Request<proto::BoundsRequest>) -> Result<Response<proto::BoundsResponse>, Status> {
        let request = request.into_inner();
        self.check_shard(request.shard)?;
        if request.partitions.len() > BOUNDS_MAX {
            return Err(Malformed("the number of partitions").into());
        }
        let partitions = request.partitions.into_iter().map(|partition| wire::partition(Some(partition)));
        let partitions = partitions.collect::<Result<Vec<_>, _>>()?;
        let bounds = self.sequencer.bounds(&partitions).await.map_err(wire::sequencer_status)?;
        let bounds = bounds.iter().map(|bounds| wire::bounds_message(bounds.as_ref())).collect();
        Ok(Response::new(proto::BoundsResponse { bounds }))
    }

    async fn read_index(
        &self,
        request: Request<proto::ReadIndexRequest>,
    ) -> Result<Response<proto::ReadIndexResponse>, Status> {
        let proto::ReadIndexRequest { shard, partition, offset, max_rows } = request.into_inner();
        self.check_shard(shard)?;
        let max_rows = usize::try_from(max_rows).map_err(|_| Malformed("the number of rows"))?;
        let runs = self.sequencer.read_index(wire::partition(partition)?, offset, max_rows).await;
        let runs = runs.map_err(wire::sequencer_status)?.iter().map(wire::run_message).collect();
        Ok(Response::new(proto::ReadIndexResponse { runs }))
    }

    async fn read_inline(
        &self,
        request: Request<proto::ReadInlineRequest>,
    ) -> Result<Response<proto::ReadInlineResponse>, Status> {
        let proto::ReadInlineRequest { shard, partition, last_offsets } = request.into_inner();
        self.check_shard(shard)?;
        if last_offsets.len() > INLINE_READ_RUNS_MAX {
            return Err(Malformed("the number of inline runs").into());
        }
        let runs = self.sequencer.read_inline(wire::partition(partition)?, &last_offsets).await;
        Ok(Response::new(wire::inline_response_message(runs.map_err(wire::sequencer_status)?)))
    }

    async fn find_by_time(
        &self,
        request: Request<proto::FindByTimeRequest>,
    ) -> Result<Response<proto::FindByTimeResponse>, Status> {
        let proto::FindByTimeRequest { shard, partition, timestamp_ms } = request.into_inner();
        self.check_shard(shard)?;
        let found = self.sequencer.find_by_time(wire::partition(partition)?, timestamp_ms).await;
        let run = found.map_err(wire::sequencer_status)?.as_ref().map(wire::run_message);
        Ok(Response::new(proto::FindByTimeResponse { run }))
    }

    async fn create_topic(
        &self,
        request: Request<proto::CreateTopicRequest>,
    ) -> Result<Response<proto::CreateTopicResponse>, Status> {
        let proto::CreateTopicRequest { shard, name, partitions, max_message_bytes } = request.into_inner();
        self.check_shard(shard)?;
        let created = self.sequencer.create_topic_with(&name, partitions, TopicConfig { max_message_bytes }).await;
        let record = created.map_err(wire::create_status)?;
        Ok(Response::new(proto::CreateTopicResponse { topic: Some(wire::topic_message(&record)) }))
    }

    async fn delete_topic(
        &self,
        request: Request<proto::DeleteTopicRequest>,
    ) -> Result<Response<proto::DeleteTopicResponse>, Status> {
        let proto::DeleteTopicRequest { shard, name } = request.into_inner();
        self.check_shard(shard)?;
        self.sequencer.delete_topic(&name).await.map_err(wire::topic_status)?;
        Ok(Response::new(proto::DeleteTopicResponse {}))
    }

    async fn get_topic(
        &self,
        request: Request<proto::GetTopicRequest>,
    ) -> Result<Response<proto::GetTopicResponse>, Status> {
        let proto::GetTopicRequest { shard, name } = request.into_inner();
        self.check_shard(shard)?;
        let record = self.sequencer.topic(&name).await.map_err(wire::topic_status)?;
        Ok(Response::new(proto::GetTopicResponse { topic: Some(wire::topic_message(&record)) }))
    }

    async fn list_topics(
        &self,
        request: Request<proto::ListTopicsRequest>,
    ) -> Result<Response<proto::ListTopicsResponse>, Status> {
        let proto::ListTopicsRequest { shard, after, max } = request.into_inner();
        self.check_shard(shard)?;
        let max = usize::try_from(max).map_err(|_| Malformed("the number of topics"))?;
        let topics = self.sequencer.topics(&after, max).await.map_err(wire::sequencer_status)?;
        let topics = topics.iter().map(wire::topic_message).collect();
        Ok(Response::new(proto::ListTopicsResponse { topics }))
    }

    async fn init_producer(
        &self,
        request: Request<proto::InitProducerRequest>,
    ) -> Result<Response<proto::InitProducerResponse>, Status> {
        self.check_shard(request.get_ref().shard)?;
        let id = self.sequencer.init_producer().await.map_err(wire::sequencer_status)?;
        Ok(Response::new(proto::InitProducerResponse { producer_id: id.0 }))
    }
}

fn incarnation<T>(request: &Request<T>) -> Result<u64, Status> {
    let entry = request.metadata().get(INCARNATION).and_then(|value| value.to_str().ok());
    let incarnation = entry.and_then(|text| text.parse().ok());
    incarnation.ok_or_else(|| Malformed("the incarnation of a commit stream").into())
}

/// Hands requests on until either side ends. An error: one of them makes no sense.
async fn pump(
    mut messages: Streaming<proto::CommitRequest>,
    requests: mpsc::Sender<CommitRequest>,
    shard: ShardId,
    incarnation: u64,
) -> Result<(), String> {
    loop {
        let message = match messages.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(()),
            Err(status) => {
                debug!(incarnation, %status, "commit stream lost");
                return Ok(());
            }
        };
        if message.shard != shard.0 {
            return Err(format!("it is for shard {}", message.shard));
        }
        let request = wire::commit_request(message).map_err(|malformed| malformed.to_string())?;
        if requests.send(request).await.is_err() {
            return Ok(());
        }
    }
}
