//! A service small enough to be right, and able to be wrong in one way at a time: it shows that the driver notices.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use eagre_proto::v1::{
    self, fetch_service_server::FetchService, fetch_service_server::FetchServiceServer, produce_request::Payload,
    produce_service_server::ProduceService, produce_service_server::ProduceServiceServer,
    produce_stream_response::Outcome, topic_service_server::TopicService, topic_service_server::TopicServiceServer,
};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

use crate::batch::walk;

/// What the fake does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Acknowledges the third batch of a partition without keeping it.
    Lost,
    /// Keeps the third batch of a partition twice.
    Twice,
    /// Flips a bit of the third batch of a partition.
    Flipped,
    /// Refuses the third batch of a partition.
    Refused,
}

#[derive(Default)]
struct Log {
    batches: Vec<Bytes>,
    next_offset: i64,
    received: u64,
}

/// The whole service over one map in memory.
#[derive(Clone)]
pub struct Fake(Arc<State>);

struct State {
    fault: Fault,
    logs: Mutex<BTreeMap<u32, Log>>,
    changes: watch::Sender<u64>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Fake {
    /// Serves on a free port of loopback; returns the endpoint.
    #[expect(clippy::disallowed_methods, reason = "a test server")]
    pub async fn serve(fault: Fault) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self(Arc::new(State { fault, logs: Mutex::default(), changes: watch::Sender::new(0) }));
        let server = tonic::transport::Server::builder()
            .add_service(TopicServiceServer::new(fake.clone()))
            .add_service(ProduceServiceServer::new(fake.clone()))
            .add_service(FetchServiceServer::new(fake));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        endpoint
    }
}

impl State {
    fn append(&self, request: &v1::ProduceRequest) -> Outcome {
        let Some(Payload::Batch(batch)) = &request.payload else { panic!("the driver sends ready batches") };
        let mut count = 0;
        walk(batch, |_, _| count += 1).unwrap();
        let mut logs = self.logs.lock().unwrap();
        let log = logs.entry(request.partition.unwrap()).or_default();
        log.received += 1;
        let fault = if log.received == 3 { self.fault } else { Fault::None };
        if fault == Fault::Refused {
            let error = v1::ProduceError { message: "no".into(), ..v1::ProduceError::default() };
            return Outcome::Error(error);
        }
        let base_offset = log.next_offset;
        let mut stored = batch.to_vec();
        stored[..8].copy_from_slice(&base_offset.to_be_bytes());
        if fault == Fault::Flipped {
            stored[70] ^= 1;
        }
        if fault != Fault::Lost {
            log.batches.push(stored.clone().into());
            log.next_offset += count;
        }
        if fault == Fault::Twice {
            stored[..8].copy_from_slice(&log.next_offset.to_be_bytes());
            log.batches.push(stored.into());
            log.next_offset += count;
        }
        self.changes.send_modify(|changes| *changes += 1);
        Outcome::Response(v1::ProduceResponse { base_offset, duplicate: false, ..Default::default() })
    }

    /// The batch at a place of a partition's log, if it is there.
    fn batch(&self, partition: u32, place: usize) -> Option<Bytes> {
        self.logs.lock().unwrap().get(&partition)?.batches.get(place).cloned()
    }
}

#[tonic::async_trait]
impl TopicService for Fake {
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
        Err(Status::unimplemented("the driver does not ask"))
    }

    async fn list_topics(&self, _: Request<v1::ListTopicsRequest>) -> Result<Response<v1::ListTopicsResponse>, Status> {
        Err(Status::unimplemented("the driver does not ask"))
    }

    async fn delete_topic(
        &self,
        _: Request<v1::DeleteTopicRequest>,
    ) -> Result<Response<v1::DeleteTopicResponse>, Status> {
        Ok(Response::new(v1::DeleteTopicResponse {}))
    }
}

#[tonic::async_trait]
impl ProduceService for Fake {
    type ProduceStreamStream = Answers<v1::ProduceStreamResponse>;

    async fn init_producer(
        &self,
        _: Request<v1::InitProducerRequest>,
    ) -> Result<Response<v1::InitProducerResponse>, Status> {
        let identity = v1::InitProducerResponse { producer_id: 1, producer_epoch: 0, max_in_flight_per_partition: 16 };
        Ok(Response::new(identity))
    }

    async fn produce(&self, _: Request<v1::ProduceRequest>) -> Result<Response<v1::ProduceResponse>, Status> {
        Err(Status::unimplemented("the driver streams"))
    }

    async fn produce_stream(
        &self,
        requests: Request<Streaming<v1::ProduceStreamRequest>>,
    ) -> Result<Response<Self::ProduceStreamStream>, Status> {
        let mut requests = requests.into_inner();
        let (answers, stream) = tokio::sync::mpsc::channel(64);
        let state = self.0.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = requests.message().await {
                let outcome = state.append(&message.request.unwrap());
                let answer = v1::ProduceStreamResponse { request_id: message.request_id, outcome: Some(outcome) };
                if answers.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(stream))))
    }
}

#[tonic::async_trait]
impl FetchService for Fake {
    type FetchStream = Answers<v1::FetchResponse>;

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let request = request.into_inner();
        let follows = request.end() == v1::FetchEnd::Follow;
        let partitions = (0u32..).zip(request.partitions);
        let streams = partitions.map(|(index, partition)| {
            let start = (self.0.clone(), self.0.changes.subscribe(), 0, false);
            stream::unfold(start, move |(state, mut changes, place, mut ended)| async move {
                loop {
                    changes.borrow_and_update();
                    let batch = state.batch(partition.partition, place);
                    let mut message = v1::FetchResponse { index, ..v1::FetchResponse::default() };
                    if let Some(batch) = batch {
                        walk_offsets(&batch, &mut message.next_offset);
                        message.batches = batch;
                    } else if follows {
                        changes.changed().await.ok()?;
                        continue;
                    } else if ended {
                        return None;
                    } else {
                        ended = true;
                        message.end_reached = true;
                    }
                    return Some((Ok(message), (state, changes, place + 1, ended)));
                }
            })
            .boxed()
        });
        Ok(Response::new(Box::pin(stream::select_all(streams.collect::<Vec<_>>()))))
    }

    async fn list_offsets(
        &self,
        _: Request<v1::ListOffsetsRequest>,
    ) -> Result<Response<v1::ListOffsetsResponse>, Status> {
        Err(Status::unimplemented("the driver does not ask"))
    }
}

/// The offset after a batch's last record, whether or not its CRC holds.
fn walk_offsets(batch: &[u8], next_offset: &mut i64) {
    let base = i64::from_be_bytes(batch[..8].try_into().unwrap());
    let last_delta = i32::from_be_bytes(batch[23..27].try_into().unwrap());
    *next_offset = base + i64::from(last_delta) + 1;
}

mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::{Load, Target, catch_up};

    fn load(rate: Option<u64>) -> Load {
        Load {
            mode: "test",
            topic: "t".into(),
            keep_topic: true,
            partitions: 4,
            connections: 2,
            streams: 2,
            record_bytes: 100,
            batch_bytes: 1_000,
            rate,
            max_bytes: None,
            linger: Duration::from_millis(1),
            in_flight: 4,
            warm_up: Duration::ZERO,
            time: Duration::from_millis(300),
            follow: true,
            catch_up: true,
            rss_every: None,
        }
    }

    async fn fails_with(fault: Fault, load: Load) -> String {
        let target = Target { endpoint: Fake::serve(fault).await, pid: None };
        format!("{:#}", load.run(&target).await.expect_err("the fault is noticed"))
    }

    #[tokio::test]
    async fn a_paced_run_sends_what_the_schedule_says_and_reads_it_back() {
        let target = Target { endpoint: Fake::serve(Fault::None).await, pid: Some(std::process::id()) };
        let report = load(Some(400_000)).run(&target).await.unwrap();
        // 4,000 records a second for 0.3 s; the last one may fall on the very end.
        assert!((1_200..=1_204).contains(&report.records_acked), "{report}");
        assert!(report.records_read >= report.records_acked, "{report}");
        assert_eq!(report.ack.unwrap().count, report.records_acked);
        let read = catch_up(&target, "t", 4, 3).await.unwrap();
        assert_eq!(read.records_read, report.records_acked);
    }

    #[tokio::test]
    async fn more_streams_than_partitions_share_them() {
        let target = Target { endpoint: Fake::serve(Fault::None).await, pid: None };
        let load = Load { streams: 50, linger: Duration::ZERO, ..load(Some(100_000)) };
        let report = load.run(&target).await.unwrap();
        assert!((300..=350).contains(&report.records_acked), "{report}");
    }

    #[tokio::test]
    async fn an_unpaced_run_stops_after_its_bytes() {
        let target = Target { endpoint: Fake::serve(Fault::None).await, pid: None };
        let load = Load { max_bytes: Some(400_000), time: Duration::from_secs(60), catch_up: false, ..load(None) };
        let report = load.run(&target).await.unwrap();
        assert_eq!((report.records_acked, report.records_read), (4_000, 4_000));
    }

    #[tokio::test]
    async fn what_a_service_does_wrong_is_noticed() {
        let paced = || load(Some(400_000));
        // A reader may find the lost batch before the next ack shows it; so nobody reads there.
        let unread = || Load { follow: false, catch_up: false, ..paced() };
        let cases = [
            (Fault::Refused, paced(), "refused"),
            (Fault::Flipped, paced(), "crc"),
            (Fault::Lost, unread(), "went back"),
            (Fault::Twice, paced(), "was next"),
        ];
        for (fault, load, expected) in cases {
            let found = fails_with(fault, load).await;
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }
}
