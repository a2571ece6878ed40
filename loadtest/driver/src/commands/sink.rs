//! `sink`: a service that only acknowledges, and keeps nothing. A run against it costs what the load test itself costs.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use anyhow::{Context, Result};
use eagre_loadtest_stubs::v1::{
    self, fetch_service_server::FetchService, fetch_service_server::FetchServiceServer, produce_request::Payload,
    produce_service_server::ProduceService, produce_service_server::ProduceServiceServer,
    produce_stream_response::Outcome, topic_service_server::TopicService, topic_service_server::TopicServiceServer,
};
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::{note, say};
use crate::cli::Sink;

/// Serves until it is ended.
#[expect(clippy::disallowed_methods, reason = "the network of a load test is the real one")]
pub async fn run(options: &Sink) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(&options.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", options.listen))?;
    let target = format!("grpc://{}", listener.local_addr()?);
    say(&target)?;
    note(&format!(
        "acknowledges and keeps nothing: eagre-loadtest run --target {target} --rate max --consumers 0 --no-read-back"
    ));
    let sink = Acknowledging::default();
    let server = tonic::transport::Server::builder()
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_frame_size(256 << 10)
        .add_service(TopicServiceServer::new(sink.clone()))
        .add_service(ProduceServiceServer::new(sink.clone()).max_decoding_message_size(16 << 20))
        .add_service(FetchServiceServer::new(sink));
    server.serve_with_incoming(TcpListenerStream::new(listener)).await?;
    Ok(())
}

#[derive(Clone, Default)]
struct Acknowledging(Arc<State>);

#[derive(Default)]
struct State {
    producers: AtomicI64,
    /// Next offset of each partition of any topic.
    ends: Mutex<std::collections::BTreeMap<(String, u32), i64>>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl State {
    fn append(&self, request: &v1::ProduceRequest) -> Result<i64, Status> {
        let Some(Payload::Batch(batch)) = &request.payload else {
            return Err(Status::invalid_argument("the sink takes ready batches"));
        };
        let count = batch.get(57..61).ok_or_else(|| Status::invalid_argument("a batch is 61 bytes long at least"))?;
        let count = i32::from_be_bytes([count[0], count[1], count[2], count[3]]);
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let end = ends.entry((request.topic.clone(), request.partition.unwrap_or(0))).or_default();
        *end += i64::from(count);
        Ok(*end - i64::from(count))
    }
}

#[tonic::async_trait]
impl ProduceService for Acknowledging {
    type ProduceStreamStream = Answers<v1::ProduceStreamResponse>;

    async fn init_producer(
        &self,
        _: Request<v1::InitProducerRequest>,
    ) -> Result<Response<v1::InitProducerResponse>, Status> {
        let producer_id = self.0.producers.fetch_add(1, Ordering::Relaxed);
        let identity = v1::InitProducerResponse { producer_id, producer_epoch: 0, max_in_flight_per_partition: 16 };
        Ok(Response::new(identity))
    }

    async fn produce(&self, request: Request<v1::ProduceRequest>) -> Result<Response<v1::ProduceResponse>, Status> {
        let base_offset = self.0.append(request.get_ref())?;
        Ok(Response::new(v1::ProduceResponse { base_offset, ..Default::default() }))
    }

    async fn produce_stream(
        &self,
        requests: Request<Streaming<v1::ProduceStreamRequest>>,
    ) -> Result<Response<Self::ProduceStreamStream>, Status> {
        let mut requests = requests.into_inner();
        let (answers, stream) = mpsc::channel(64);
        let state = self.0.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = requests.message().await {
                let appended = message.request.as_ref().map(|request| state.append(request));
                let answer =
                    appended.unwrap_or_else(|| Err(Status::invalid_argument("no request"))).map(|base_offset| {
                        let outcome = Outcome::Response(v1::ProduceResponse { base_offset, ..Default::default() });
                        v1::ProduceStreamResponse { request_id: message.request_id, outcome: Some(outcome) }
                    });
                if answers.send(answer).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

#[tonic::async_trait]
impl TopicService for Acknowledging {
    async fn create_topic(
        &self,
        _: Request<v1::CreateTopicRequest>,
    ) -> Result<Response<v1::CreateTopicResponse>, Status> {
        Ok(Response::new(v1::CreateTopicResponse::default()))
    }

    async fn describe_topic(
        &self,
        _: Request<v1::DescribeTopicRequest>,
    ) -> Result<Response<v1::DescribeTopicResponse>, Status> {
        Err(Status::unimplemented(NOTHING_KEPT))
    }

    async fn list_topics(&self, _: Request<v1::ListTopicsRequest>) -> Result<Response<v1::ListTopicsResponse>, Status> {
        Err(Status::unimplemented(NOTHING_KEPT))
    }

    async fn delete_topic(
        &self,
        _: Request<v1::DeleteTopicRequest>,
    ) -> Result<Response<v1::DeleteTopicResponse>, Status> {
        Ok(Response::new(v1::DeleteTopicResponse {}))
    }
}

const NOTHING_KEPT: &str = "the sink keeps nothing, so it is only for `run` with --consumers 0 --no-read-back";

#[tonic::async_trait]
impl FetchService for Acknowledging {
    type FetchStream = Answers<v1::FetchResponse>;

    async fn fetch(&self, _: Request<v1::FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        Err(Status::unimplemented(NOTHING_KEPT))
    }

    async fn list_offsets(
        &self,
        _: Request<v1::ListOffsetsRequest>,
    ) -> Result<Response<v1::ListOffsetsResponse>, Status> {
        Err(Status::unimplemented(NOTHING_KEPT))
    }
}
