//! The sequencer over gRPC: the asking side.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use eagre_env::Network;
use eagre_model::{ProducerId, Run, ShardId, TopicConfig, TopicPartition, TopicRecord, UploadEpoch};
use eagre_proto::internal::v1::{self as proto, sequencer_service_client::SequencerServiceClient};
use eagre_transport::{ChannelSettings, MESSAGE_BYTES_MAX};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Streaming, transport::Channel};
use tracing::debug;

use crate::{
    CommitReply, CommitStream, CreateTopicError, INLINE_READ_RUNS_MAX, Joined, PartitionBounds, Peers, PingAnswer,
    Sequencer, SequencerError, TailUpdate, TailUpdates, TopicError,
    server::INCARNATION,
    wire::{self, Failure, Malformed},
};

/// How many requests of a commit stream wait on this side, and how many replies.
const STREAM_WAITING_MAX: usize = 64;
const UPDATES_WAITING_MAX: usize = 64;

/// A sequencer in another process.
///
/// An error of the connection is [`SequencerError::Unavailable`] where asking again harms nobody and
/// [`SequencerError::OutcomeUnknown`] everywhere else.
#[derive(Debug, Clone)]
pub struct RemoteSequencer {
    client: SequencerServiceClient<Channel>,
    shard: ShardId,
}

impl RemoteSequencer {
    /// The sequencer of a shard at the other end of a channel.
    pub fn new(channel: Channel, shard: ShardId) -> Self {
        let client = SequencerServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Self { client, shard }
    }

    fn client(&self) -> SequencerServiceClient<Channel> {
        self.client.clone()
    }

    async fn try_bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<PartitionBounds>>, Failure> {
        let asked = partitions.iter().map(|partition| wire::partition_message(*partition)).collect();
        let request = proto::BoundsRequest { shard: self.shard.0, partitions: asked };
        let bounds = self.client().bounds(request).await?.into_inner().bounds;
        if bounds.len() != partitions.len() {
            return Err(Malformed("the number of bounds").into());
        }
        Ok(bounds.iter().map(wire::bounds).collect::<Result<_, _>>()?)
    }

    async fn try_read_index(
        &self,
        partition: TopicPartition,
        offset: i64,
        max_rows: usize,
    ) -> Result<Vec<Run>, Failure> {
        let request = proto::ReadIndexRequest {
            shard: self.shard.0,
            partition: Some(wire::partition_message(partition)),
            offset,
            max_rows: u32::try_from(max_rows).unwrap_or(u32::MAX),
        };
        let runs = self.client().read_index(request).await?.into_inner().runs;
        Ok(runs.into_iter().map(wire::run).collect::<Result<_, _>>()?)
    }

    async fn try_read_inline(
        &self,
        partition: TopicPartition,
        last_offsets: &[i64],
    ) -> Result<Vec<Option<Bytes>>, Failure> {
        let asked = &last_offsets[..last_offsets.len().min(INLINE_READ_RUNS_MAX)];
        let partition = Some(wire::partition_message(partition));
        let request = proto::ReadInlineRequest { shard: self.shard.0, partition, last_offsets: asked.to_vec() };
        let answer = self.client().read_inline(request).await?.into_inner();
        Ok(wire::inline_response(answer, asked.len())?)
    }

    async fn try_find_by_time(&self, partition: TopicPartition, timestamp_ms: i64) -> Result<Option<Run>, Failure> {
        let partition = Some(wire::partition_message(partition));
        let request = proto::FindByTimeRequest { shard: self.shard.0, partition, timestamp_ms };
        let found = self.client().find_by_time(request).await?.into_inner().run;
        Ok(found.map(wire::run).transpose()?)
    }

    async fn try_topics(&self, after: &str, max: usize) -> Result<Vec<TopicRecord>, Failure> {
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        let request = proto::ListTopicsRequest { shard: self.shard.0, after: after.to_owned(), max };
        let topics = self.client().list_topics(request).await?.into_inner().topics;
        Ok(topics.into_iter().map(|topic| wire::topic(Some(topic))).collect::<Result<_, _>>()?)
    }
}

#[async_trait]
impl Sequencer for RemoteSequencer {
    async fn join(&self) -> Result<Joined, SequencerError> {
        let answer = self.client().join(proto::JoinRequest { shard: self.shard.0 }).await;
        // An incarnation that nobody came to know is lost, no more.
        let proto::JoinResponse { incarnation, upload_epoch, cluster_id } =
            answer.map_err(|status| wire::read_failure(status.into()))?.into_inner();
        Ok(Joined { incarnation, upload_epoch: UploadEpoch(upload_epoch), cluster_id })
    }

    async fn open_commits(&self, incarnation: u64) -> Result<CommitStream, SequencerError> {
        let (requests, outgoing) = mpsc::channel(STREAM_WAITING_MAX);
        let (incoming, replies) = mpsc::channel(STREAM_WAITING_MAX);
        let ended = CancellationToken::new();
        let shard = self.shard;
        let messages = ReceiverStream::new(outgoing)
            .map(move |request| wire::commit_request_message(shard, &request))
            .take_until(ended.clone().cancelled_owned());
        let mut call = Request::new(messages);
        call.metadata_mut().insert(INCARNATION, incarnation.into());
        let answers =
            self.client().commit(call).await.map_err(|status| wire::read_failure(status.into()))?.into_inner();
        tokio::spawn(async move {
            let _requests_end = ended.drop_guard();
            take_replies(answers, incoming).await;
        });
        Ok(CommitStream { requests, replies })
    }

    async fn subscribe(&self) -> Result<TailUpdates, SequencerError> {
        let (incoming, updates) = mpsc::channel(UPDATES_WAITING_MAX);
        let answer = self.client().subscribe(proto::SubscribeRequest { shard: self.shard.0 }).await;
        let stream = answer.map_err(|status| wire::read_failure(status.into()))?.into_inner();
        tokio::spawn(take_updates(stream, incoming));
        Ok(updates)
    }

    async fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<PartitionBounds>>, SequencerError> {
        self.try_bounds(partitions).await.map_err(wire::read_failure)
    }

    async fn read_index(
        &self,
        partition: TopicPartition,
        offset: i64,
        max_rows: usize,
    ) -> Result<Vec<Run>, SequencerError> {
        self.try_read_index(partition, offset, max_rows).await.map_err(wire::read_failure)
    }

    async fn read_inline(
        &self,
        partition: TopicPartition,
        last_offsets: &[i64],
    ) -> Result<Vec<Option<Bytes>>, SequencerError> {
        self.try_read_inline(partition, last_offsets).await.map_err(wire::read_failure)
    }

    async fn find_by_time(&self, partition: TopicPartition, timestamp_ms: i64) -> Result<Option<Run>, SequencerError> {
        self.try_find_by_time(partition, timestamp_ms).await.map_err(wire::read_failure)
    }

    async fn create_topic_with(
        &self,
        name: &str,
        partitions: Option<u32>,
        config: TopicConfig,
    ) -> Result<TopicRecord, CreateTopicError> {
        let TopicConfig { max_message_bytes } = config;
        let shard = self.shard.0;
        let request = proto::CreateTopicRequest { shard, name: name.to_owned(), partitions, max_message_bytes };
        let answer = self.client().create_topic(request).await.map_err(|status| wire::create_failure(status.into()))?;
        wire::topic(answer.into_inner().topic).map_err(|malformed| wire::create_failure(malformed.into()))
    }

    async fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        let request = proto::DeleteTopicRequest { shard: self.shard.0, name: name.to_owned() };
        let answer = self.client().delete_topic(request).await;
        answer.map(drop).map_err(|status| wire::topic_failure(status.into(), wire::write_failure))
    }

    async fn topic(&self, name: &str) -> Result<TopicRecord, TopicError> {
        let failed = |failure| wire::topic_failure(failure, wire::read_failure);
        let request = proto::GetTopicRequest { shard: self.shard.0, name: name.to_owned() };
        let answer = self.client().get_topic(request).await.map_err(|status| failed(status.into()))?;
        wire::topic(answer.into_inner().topic).map_err(|malformed| failed(malformed.into()))
    }

    async fn topics(&self, after: &str, max: usize) -> Result<Vec<TopicRecord>, SequencerError> {
        self.try_topics(after, max).await.map_err(wire::read_failure)
    }

    async fn init_producer(&self) -> Result<ProducerId, SequencerError> {
        let answer = self.client().init_producer(proto::InitProducerRequest { shard: self.shard.0 }).await;
        // As with incarnations.
        let id = answer.map_err(|status| wire::read_failure(status.into()))?.into_inner().producer_id;
        if id < 0 {
            return Err(wire::read_failure(Malformed("the producer id").into()));
        }
        Ok(ProducerId(id))
    }
}

/// Hands replies on until either side ends.
async fn take_replies(mut answers: Streaming<proto::CommitResponse>, incoming: mpsc::Sender<CommitReply>) {
    loop {
        let message = tokio::select! {
            biased;
            message = answers.message() => message,
            () = incoming.closed() => return,
        };
        let reply = match message {
            Ok(Some(message)) => wire::commit_reply(message),
            Ok(None) => return,
            Err(status) => {
                debug!(%status, "commit stream lost");
                return;
            }
        };
        match reply {
            Ok(reply) => {
                if incoming.send(reply).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "commit stream given up: a reply makes no sense");
                return;
            }
        }
    }
}

/// Hands updates on until either side ends, or one is missing.
async fn take_updates(mut stream: Streaming<proto::SubscribeResponse>, incoming: mpsc::Sender<Arc<TailUpdate>>) {
    let mut next_number = 0;
    loop {
        let message = tokio::select! {
            biased;
            message = stream.message() => message,
            () = incoming.closed() => return,
        };
        let update = match message {
            Ok(Some(message)) => wire::tail_update(message),
            Ok(None) => return,
            Err(status) => {
                debug!(%status, "subscription lost");
                return;
            }
        };
        match update {
            Ok(update) if update.number == next_number => {
                next_number += 1;
                if incoming.send(Arc::new(update)).await.is_err() {
                    return;
                }
            }
            Ok(update) => {
                tracing::error!(number = update.number, expected = next_number, "subscription given up: a gap");
                return;
            }
            Err(error) => {
                tracing::error!(%error, "subscription given up: an update makes no sense");
                return;
            }
        }
    }
}

/// Pings over gRPC, each on a connection of its own: they are few, and a broken connection is an answer too.
#[derive(Debug, Clone)]
pub struct GrpcPeers {
    network: Arc<dyn Network>,
}

impl GrpcPeers {
    /// Pings over this network.
    pub fn new(network: Arc<dyn Network>) -> Self {
        Self { network }
    }
}

#[async_trait]
impl Peers for GrpcPeers {
    async fn ping(&self, address: &str, shard: ShardId) -> Option<PingAnswer> {
        let channel = eagre_transport::channel(self.network.clone(), address, &ChannelSettings::default());
        let channel = channel.inspect_err(|error| debug!(%error, "cannot ping")).ok()?;
        let answer = SequencerServiceClient::new(channel).ping(proto::PingRequest { shard: shard.0 }).await;
        let answer = answer.inspect_err(|status| debug!(%status, address, "no answer to a ping")).ok()?;
        wire::ping_answer(answer.get_ref()).ok()
    }
}
