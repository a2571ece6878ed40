//! A service in memory that keeps the rules of `eagre.v1` and can be told to misbehave.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use eagre_env::{Network as _, TcpNetwork};
use eagre_model::{
    batch::{Limits, advance_sequence, validate, with_base_offset},
    records::decode,
};
use eagre_proto::v1::{self, produce_request::Payload, produce_stream_response::Outcome};
use eagre_transport::{ServerSettings, serve};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Response, Status, Streaming, async_trait, service::Routes};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The only topic.
pub const TOPIC: &str = "orders";

#[derive(Default)]
struct Partition {
    /// Batches with their base offsets.
    batches: Vec<(i64, Bytes)>,
    next_offset: i64,
    /// Epoch, next sequence, and base offsets of first sequences, by producer.
    producers: BTreeMap<i64, (i16, i32, BTreeMap<i32, i64>)>,
}

#[derive(Default)]
struct State {
    topic_id: String,
    partitions: Vec<Partition>,
    producers: i64,
    /// Producers with lower ids begin nowhere.
    forgotten_below: i64,
    /// A produce stream breaks after so many requests, every other time before the last one's answer.
    requests_per_stream: Option<u64>,
    /// A fetch stream breaks after so many messages.
    messages_per_stream: Option<usize>,
    streams: u64,
    max_message_bytes: Option<u32>,
}

/// See the module. Stops when dropped.
pub struct Fake {
    shared: Arc<Shared>,
    pub endpoint: String,
    _stop: DropGuard,
}

struct Shared {
    state: Mutex<State>,
    /// Grows with every change of a log or of what is told.
    changed: watch::Sender<u64>,
    /// Nothing is answered while it is true.
    is_silent: watch::Sender<bool>,
}

impl Fake {
    pub async fn start(partitions: usize) -> Self {
        let mut state = State { topic_id: "first".to_owned(), ..State::default() };
        state.partitions.resize_with(partitions, Partition::default);
        let (changed, is_silent) = (watch::Sender::new(0), watch::Sender::new(false));
        let shared = Arc::new(Shared { state: Mutex::new(state), changed, is_silent });
        let listener = TcpNetwork.listen("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr());
        let mut routes = Routes::builder();
        routes.add_service(v1::topic_service_server::TopicServiceServer::new(Service(shared.clone())));
        let produce = v1::produce_service_server::ProduceServiceServer::new(Service(shared.clone()));
        routes.add_service(produce.max_decoding_message_size(eagre_transport::MESSAGE_BYTES_MAX));
        routes.add_service(v1::fetch_service_server::FetchServiceServer::new(Service(shared.clone())));
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, routes.routes(), ServerSettings::default(), stop.clone().cancelled_owned()));
        Self { shared, endpoint, _stop: stop.drop_guard() }
    }

    pub fn break_produce_streams_after(&self, requests: u64) {
        self.shared.state().requests_per_stream = Some(requests);
    }

    pub fn break_fetch_streams_after(&self, messages: usize) {
        self.shared.state().messages_per_stream = Some(messages);
    }

    /// Forgets all producers that there are.
    pub fn forget_producers(&self) {
        let mut state = self.shared.state();
        state.forgotten_below = state.producers + 1;
        state.partitions.iter_mut().for_each(|partition| partition.producers.clear());
    }

    /// Ids that were given out.
    pub fn producers(&self) -> i64 {
        self.shared.state().producers
    }

    pub fn silence(&self, is_silent: bool) {
        self.shared.is_silent.send_replace(is_silent);
    }

    /// The topic takes no larger batches.
    pub fn limit_batches(&self, max_message_bytes: u32) {
        self.shared.state().max_message_bytes = Some(max_message_bytes);
    }

    /// Deletes the topic and makes another one of the same name; breaks what is being fetched.
    pub fn recreate_topic(&self) {
        let mut state = self.shared.state();
        state.topic_id.push('x');
        state.messages_per_stream = Some(0);
        drop(state);
        self.shared.changed.send_modify(|changes| *changes += 1);
    }

    /// Streams opened to produce.
    pub fn streams(&self) -> u64 {
        self.shared.state().streams
    }

    /// The values of a partition's records, in the order of their offsets.
    pub fn log(&self, partition: usize) -> Vec<String> {
        let state = self.shared.state();
        let batches = state.partitions[partition].batches.iter();
        let records = batches.flat_map(|(_, batch)| decode(batch, &Limits::default()).unwrap());
        records.map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap()).collect()
    }
}

#[derive(Clone)]
struct Service(Arc<Shared>);

fn refusal(code: tonic::Code, reason: v1::ErrorReason) -> Status {
    let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
    let mut details = ErrorDetails::new();
    details.set_error_info(name, "eagre", []);
    Status::with_error_details(code, name, details)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn topic(&self) -> v1::Topic {
        let state = self.state();
        let partitions = (0u32..).zip(&state.partitions);
        let partitions = partitions.map(|(partition, _)| v1::TopicPartition { partition, residue_class: None });
        v1::Topic {
            name: TOPIC.to_owned(),
            id: state.topic_id.clone(),
            placement: v1::Placement::Kafka.into(),
            partitions: partitions.collect(),
            max_message_bytes: state.max_message_bytes,
            ..Default::default()
        }
    }

    fn append(&self, request: v1::ProduceRequest) -> Outcome {
        let Some(Payload::Batch(batch)) = request.payload else { panic!("the client sends batches") };
        let header = validate(&batch, &Limits::default()).expect("a valid batch").header;
        let mut state = self.state();
        let most = state.max_message_bytes.unwrap_or(u32::MAX);
        assert!(batch.len() <= most as usize, "a batch of {} bytes", batch.len());
        let forgotten_below = state.forgotten_below;
        let partition = &mut state.partitions[request.partition.unwrap() as usize];
        let error = |reason: v1::ErrorReason| {
            Outcome::Error(v1::ProduceError { reason: reason.into(), message: "no".to_owned(), ..Default::default() })
        };
        if header.producer_id < forgotten_below && !partition.producers.contains_key(&header.producer_id) {
            let reason = v1::ErrorReason::UnknownProducerId.into();
            return Outcome::Error(v1::ProduceError { reason, outcome_unknown: true, ..Default::default() });
        }
        let (epoch, next, window) = partition.producers.entry(header.producer_id).or_default();
        if header.producer_epoch < *epoch {
            return error(v1::ErrorReason::ProducerFenced);
        }
        if header.producer_epoch > *epoch {
            (*epoch, *next) = (header.producer_epoch, 0);
            window.clear();
        }
        if let Some(&base_offset) = window.get(&header.base_sequence) {
            return Outcome::Response(v1::ProduceResponse { base_offset, duplicate: true, ..Default::default() });
        }
        if header.base_sequence != *next {
            return error(v1::ErrorReason::OutOfOrderSequence);
        }
        let (base_offset, records) = (partition.next_offset, header.record_count.unsigned_abs());
        *next = advance_sequence(*next, records);
        window.insert(header.base_sequence, base_offset);
        let mut batch = batch.to_vec();
        with_base_offset(&mut batch, base_offset);
        partition.batches.push((base_offset, batch.into()));
        partition.next_offset += i64::from(records);
        drop(state);
        self.changed.send_modify(|changes| *changes += 1);
        Outcome::Response(v1::ProduceResponse { base_offset, duplicate: false, ..Default::default() })
    }

    fn resolve(&self, asked: &v1::FetchPartition) -> v1::PartitionOffset {
        let high_watermark = self.state().partitions[asked.partition as usize].next_offset;
        let offset = match asked.position.unwrap().position.unwrap() {
            v1::position::Position::Earliest(_) => 0,
            v1::position::Position::Offset(offset) => offset,
            v1::position::Position::Last(records) => (high_watermark - i64::try_from(records).unwrap()).max(0),
            v1::position::Position::Latest(_) | v1::position::Position::TimestampMs(_) => high_watermark,
        };
        v1::PartitionOffset { offset, timestamp_ms: None, log_start_offset: 0, high_watermark }
    }

    /// The messages of a fetch stream, one batch each.
    async fn feed(self: Arc<Self>, request: v1::FetchRequest, out: mpsc::Sender<Result<v1::FetchResponse, Status>>) {
        let mut next: Vec<i64> = request.partitions.iter().map(|asked| self.resolve(asked).offset).collect();
        let mut changed = self.changed.subscribe();
        let mut sent = 0;
        loop {
            let mut messages = Vec::new();
            for ((index, asked), next) in (0..).zip(&request.partitions).zip(&mut next) {
                let state = self.state();
                let partition = &state.partitions[asked.partition as usize];
                for (base, batch) in &partition.batches {
                    let last = validate(batch, &Limits::default()).unwrap().header.last_offset();
                    if last < *next {
                        continue;
                    }
                    *next = last + 1;
                    messages.push(v1::FetchResponse {
                        index,
                        batches: batch.clone(),
                        next_offset: last + 1,
                        high_watermark: partition.next_offset.max(*base),
                        ..Default::default()
                    });
                }
            }
            for message in messages {
                if self.state().messages_per_stream.is_some_and(|most| sent >= most) {
                    break;
                }
                sent += 1;
                if out.send(Ok(message)).await.is_err() {
                    return;
                }
            }
            if self.state().messages_per_stream.is_some_and(|most| sent >= most) {
                let _ = out.send(Err(Status::unavailable("the connection broke"))).await;
                return;
            }
            if request.end() == v1::FetchEnd::Stop || changed.changed().await.is_err() {
                return;
            }
        }
    }
}

#[async_trait]
impl v1::topic_service_server::TopicService for Service {
    async fn create_topic(
        &self,
        _: Request<v1::CreateTopicRequest>,
    ) -> Result<Response<v1::CreateTopicResponse>, Status> {
        Err(refusal(tonic::Code::AlreadyExists, v1::ErrorReason::TopicExists))
    }

    async fn describe_topic(
        &self,
        request: Request<v1::DescribeTopicRequest>,
    ) -> Result<Response<v1::DescribeTopicResponse>, Status> {
        if request.get_ref().name != TOPIC {
            return Err(refusal(tonic::Code::NotFound, v1::ErrorReason::UnknownTopic));
        }
        Ok(Response::new(v1::DescribeTopicResponse { topic: Some(self.0.topic()), bounds: Vec::new() }))
    }

    async fn list_topics(
        &self,
        request: Request<v1::ListTopicsRequest>,
    ) -> Result<Response<v1::ListTopicsResponse>, Status> {
        // One topic a page.
        let (topics, next_page_token) = match request.get_ref().page_token.as_str() {
            "" => (vec![self.0.topic()], "second".to_owned()),
            _ => (vec![v1::Topic { name: "second".to_owned(), ..self.0.topic() }], String::new()),
        };
        Ok(Response::new(v1::ListTopicsResponse { topics, next_page_token }))
    }

    async fn delete_topic(
        &self,
        _: Request<v1::DeleteTopicRequest>,
    ) -> Result<Response<v1::DeleteTopicResponse>, Status> {
        Ok(Response::new(v1::DeleteTopicResponse {}))
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[async_trait]
impl v1::produce_service_server::ProduceService for Service {
    type ProduceStreamStream = Answers<v1::ProduceStreamResponse>;

    async fn init_producer(
        &self,
        _: Request<v1::InitProducerRequest>,
    ) -> Result<Response<v1::InitProducerResponse>, Status> {
        let mut state = self.0.state();
        state.producers += 1;
        let answer = v1::InitProducerResponse {
            producer_id: state.producers,
            producer_epoch: 0,
            max_in_flight_per_partition: 4,
        };
        Ok(Response::new(answer))
    }

    async fn produce(&self, _: Request<v1::ProduceRequest>) -> Result<Response<v1::ProduceResponse>, Status> {
        Err(Status::unimplemented("the client has no use for it"))
    }

    async fn produce_stream(
        &self,
        requests: Request<Streaming<v1::ProduceStreamRequest>>,
    ) -> Result<Response<Self::ProduceStreamStream>, Status> {
        let (number, most) = {
            let mut state = self.0.state();
            state.streams += 1;
            (state.streams, state.requests_per_stream)
        };
        let answers = stream::unfold(
            (self.0.clone(), requests.into_inner(), 0),
            move |(shared, mut requests, taken)| async move {
                if most.is_some_and(|most| taken >= most) {
                    return None;
                }
                let message = requests.next().await?.ok()?;
                let outcome = shared.append(message.request?);
                if number.is_multiple_of(2) && most == Some(taken + 1) {
                    return None;
                }
                let mut is_silent = shared.is_silent.subscribe();
                is_silent.wait_for(|is_silent| !is_silent).await.ok()?;
                let answer = v1::ProduceStreamResponse { request_id: message.request_id, outcome: Some(outcome) };
                Some((Ok(answer), (shared, requests, taken + 1)))
            },
        );
        Ok(Response::new(Box::pin(answers)))
    }
}

#[async_trait]
impl v1::fetch_service_server::FetchService for Service {
    type FetchStream = Answers<v1::FetchResponse>;

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let (out, messages) = mpsc::channel(4);
        tokio::spawn(self.0.clone().feed(request.into_inner(), out));
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }

    async fn list_offsets(
        &self,
        request: Request<v1::ListOffsetsRequest>,
    ) -> Result<Response<v1::ListOffsetsResponse>, Status> {
        let offsets = request.get_ref().partitions.iter().map(|asked| self.0.resolve(asked)).collect();
        Ok(Response::new(v1::ListOffsetsResponse { offsets }))
    }
}
