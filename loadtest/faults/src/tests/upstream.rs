//! A small service that keeps its promises: it checks sequences and CRCs and remembers what it was sent.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use eagre_loadtest_stubs::v1::{
    self, ErrorReason, FetchEnd, PartitionBounds, PartitionOffset, fetch_service_server::*,
    position::Position as Place, produce_request::Payload, produce_service_server::*, produce_stream_response::Outcome,
    topic_service_server::*,
};
use futures::{StreamExt, stream};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming, transport::Endpoint};

use crate::{
    batch::{self, Header},
    connection::Accepted,
    service::Answers,
};

/// Batches of a message.
const MESSAGE_BATCHES: usize = 3;

#[derive(Default)]
struct Log {
    batches: Vec<Bytes>,
    end: i64,
    /// Of each producer: what was appended under which sequence, and the next sequence.
    appended: BTreeMap<(i64, i32), i64>,
    next_sequence: BTreeMap<i64, i32>,
}

/// A running service with the topic `t`; clones are the same one.
#[derive(Clone)]
pub(super) struct Upstream {
    logs: Arc<Mutex<BTreeMap<u32, Log>>>,
    changes: Arc<watch::Sender<u64>>,
    connections: Arc<Mutex<CancellationToken>>,
    pub endpoint: String,
}

impl Upstream {
    pub async fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test's own service")]
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self {
            logs: Arc::default(),
            changes: Arc::new(watch::Sender::new(0)),
            connections: Arc::default(),
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
        };
        let server = tonic::transport::Server::builder()
            .add_service(TopicServiceServer::new(upstream.clone()))
            .add_service(ProduceServiceServer::new(upstream.clone()))
            .add_service(FetchServiceServer::new(upstream.clone()));
        let connections = upstream.connections.clone();
        let served = async move {
            let nowhere = Endpoint::from_static("http://127.0.0.1:9");
            let accepted = TcpListenerStream::new(listener).map(|stream| {
                let until = connections.lock().unwrap().clone();
                let stream: TcpStream = stream?;
                stream.set_nodelay(true)?;
                Ok::<_, io::Error>(Accepted::new(stream, nowhere.connect_lazy(), &until, TaskTracker::new().token()))
            });
            server.serve_with_incoming(accepted).await.unwrap();
        };
        tokio::spawn(served);
        upstream
    }

    /// Breaks all connections; new ones are taken.
    pub fn break_off(&self) {
        std::mem::take(&mut *self.connections.lock().unwrap()).cancel();
    }

    /// What is stored.
    pub fn stored(&self, partition: u32) -> Vec<Bytes> {
        self.logs.lock().unwrap().get(&partition).map(|log| log.batches.clone()).unwrap_or_default()
    }

    /// Appends without a client.
    pub fn append(&self, partition: u32, batch: &Bytes) -> Outcome {
        let mut logs = self.logs.lock().unwrap();
        let log = logs.entry(partition).or_default();
        let header = Header::parse(batch).unwrap();
        let mut stored = batch.to_vec();
        batch::mend_crc(&mut stored);
        if stored != batch.to_vec() {
            return error(ErrorReason::CorruptBatch);
        }
        let key = (header.producer_id, header.base_sequence);
        if let Some(base_offset) = log.appended.get(&key) {
            return Outcome::Response(v1::ProduceResponse {
                base_offset: *base_offset,
                duplicate: true,
                positions: vec![],
            });
        }
        let next = log.next_sequence.entry(header.producer_id).or_default();
        if header.base_sequence != *next {
            return error(ErrorReason::OutOfOrderSequence);
        }
        *next += header.offsets as i32;
        log.appended.insert(key, log.end);
        batch::set_base_offset(&mut stored, log.end);
        let base_offset = log.end;
        log.batches.push(stored.into());
        log.end += header.offsets;
        self.changes.send_modify(|changes| *changes += 1);
        Outcome::Response(v1::ProduceResponse { base_offset, ..Default::default() })
    }

    fn produced(&self, request: &v1::ProduceRequest) -> Outcome {
        match (&request.payload, request.partition) {
            (Some(Payload::Batch(batch)), Some(partition)) if request.topic == "t" => self.append(partition, batch),
            (_, _) => error(ErrorReason::UnknownTopic),
        }
    }

    fn end(&self, partition: u32) -> i64 {
        self.logs.lock().unwrap().get(&partition).map_or(0, |log| log.end)
    }

    /// Refuses what is out of range.
    fn resolve(&self, partition: &v1::FetchPartition) -> Result<PartitionOffset, Status> {
        if partition.topic != "t" {
            return Err(Status::not_found("no such topic"));
        }
        let end = self.end(partition.partition);
        let offset = match partition.position.and_then(|position| position.position) {
            Some(Place::Earliest(_)) => 0,
            Some(Place::Latest(_)) => end,
            Some(Place::Offset(offset)) if (0..=end).contains(&offset) => offset,
            Some(Place::Offset(offset)) => return Err(Status::out_of_range(format!("{offset} of {end}"))),
            Some(Place::Last(last)) => (end - last as i64).max(0),
            Some(Place::TimestampMs(_)) | None => return Err(Status::invalid_argument("position")),
        };
        Ok(PartitionOffset { offset, timestamp_ms: None, log_start_offset: 0, high_watermark: end })
    }

    /// The next message from an offset on, below an end.
    fn message(&self, index: u32, partition: u32, from: i64, end: i64) -> v1::FetchResponse {
        let wanted = self.stored(partition).into_iter().filter(|batch| {
            let header = Header::parse(batch).unwrap();
            header.end() > from && header.base_offset < end
        });
        let batches: Vec<Bytes> = wanted.take(MESSAGE_BATCHES).collect();
        let next_offset = batches.last().map_or(from, |batch| Header::parse(batch).unwrap().end());
        let high_watermark = self.end(partition);
        v1::FetchResponse { index, batches: batches.concat().into(), next_offset, high_watermark, ..Default::default() }
    }
}

fn error(reason: ErrorReason) -> Outcome {
    Outcome::Error(v1::ProduceError { reason: reason.into(), message: "no".into(), ..Default::default() })
}

#[tonic::async_trait]
impl TopicService for Upstream {
    async fn create_topic(
        &self,
        call: Request<v1::CreateTopicRequest>,
    ) -> Result<Response<v1::CreateTopicResponse>, Status> {
        Err(Status::already_exists(call.into_inner().name))
    }

    async fn describe_topic(
        &self,
        _: Request<v1::DescribeTopicRequest>,
    ) -> Result<Response<v1::DescribeTopicResponse>, Status> {
        let bounds = PartitionBounds { high_watermark: self.end(0), ..Default::default() };
        Ok(Response::new(v1::DescribeTopicResponse { topic: None, bounds: vec![bounds] }))
    }

    async fn list_topics(
        &self,
        call: Request<v1::ListTopicsRequest>,
    ) -> Result<Response<v1::ListTopicsResponse>, Status> {
        let said = call.metadata().get("x-say").map(|said| said.to_str().unwrap().to_owned());
        Ok(Response::new(v1::ListTopicsResponse { topics: vec![], next_page_token: said.unwrap_or_default() }))
    }

    async fn delete_topic(
        &self,
        _: Request<v1::DeleteTopicRequest>,
    ) -> Result<Response<v1::DeleteTopicResponse>, Status> {
        self.logs.lock().unwrap().clear();
        Ok(Response::new(v1::DeleteTopicResponse {}))
    }
}

#[tonic::async_trait]
impl ProduceService for Upstream {
    type ProduceStreamStream = Answers<v1::ProduceStreamResponse>;

    async fn init_producer(
        &self,
        _: Request<v1::InitProducerRequest>,
    ) -> Result<Response<v1::InitProducerResponse>, Status> {
        let identity = v1::InitProducerResponse { producer_id: 1, producer_epoch: 0, max_in_flight_per_partition: 5 };
        Ok(Response::new(identity))
    }

    async fn produce(&self, call: Request<v1::ProduceRequest>) -> Result<Response<v1::ProduceResponse>, Status> {
        match self.produced(&call.into_inner()) {
            Outcome::Response(response) => Ok(Response::new(response)),
            Outcome::Error(error) => Err(Status::not_found(error.message)),
        }
    }

    async fn produce_stream(
        &self,
        call: Request<Streaming<v1::ProduceStreamRequest>>,
    ) -> Result<Response<Self::ProduceStreamStream>, Status> {
        let (answers, stream) = tokio::sync::mpsc::channel(64);
        let (mut requests, upstream) = (call.into_inner(), self.clone());
        tokio::spawn(async move {
            while let Ok(Some(message)) = requests.message().await {
                let outcome = Some(upstream.produced(&message.request.unwrap()));
                let answer = v1::ProduceStreamResponse { request_id: message.request_id, outcome };
                if answers.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream).boxed()))
    }
}

#[tonic::async_trait]
impl FetchService for Upstream {
    type FetchStream = Answers<v1::FetchResponse>;

    async fn fetch(&self, call: Request<v1::FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let request = call.into_inner();
        let stop = request.end() == FetchEnd::Stop;
        let mut streams = Vec::new();
        for (index, asked) in (0u32..).zip(request.partitions) {
            let resolved = self.resolve(&asked)?;
            let (upstream, partition) = (self.clone(), asked.partition);
            let changes = self.changes.subscribe();
            let end = if stop { resolved.high_watermark } else { i64::MAX };
            streams.push(
                stream::unfold(Some(resolved.offset), move |from| {
                    let (upstream, mut changes) = (upstream.clone(), changes.clone());
                    async move {
                        let from = from?;
                        loop {
                            changes.borrow_and_update();
                            let mut message = upstream.message(index, partition, from, end);
                            let next_offset = message.next_offset;
                            message.end_reached = next_offset >= end;
                            if message.batches.is_empty() && !message.end_reached {
                                changes.changed().await.ok()?;
                                continue;
                            }
                            return Some((Ok(message), (next_offset < end).then_some(next_offset)));
                        }
                    }
                })
                .boxed(),
            );
        }
        Ok(Response::new(stream::select_all(streams).boxed()))
    }

    async fn list_offsets(
        &self,
        call: Request<v1::ListOffsetsRequest>,
    ) -> Result<Response<v1::ListOffsetsResponse>, Status> {
        let request = call.into_inner();
        let offsets = request.partitions.iter().map(|partition| self.resolve(partition));
        Ok(Response::new(v1::ListOffsetsResponse { offsets: offsets.collect::<Result<_, _>>()? }))
    }
}
