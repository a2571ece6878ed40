//! A raw client of stubs: no checks, no repetition.

use bytes::Bytes;
use eagre_loadtest_stubs::v1::{
    Earliest, FetchEncoding, FetchEnd, FetchPartition, FetchRequest, FetchResponse, Latest, ListOffsetsRequest,
    PartitionOffset, Position, ProduceRequest, ProduceResponse, ProduceStreamRequest,
    fetch_service_client::FetchServiceClient, position::Position as Place, produce_request::Payload,
    produce_service_client::ProduceServiceClient, produce_stream_response::Outcome,
    topic_service_client::TopicServiceClient,
};
use futures::stream;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::{
    Proxy,
    batch::{
        self, Header,
        build::{Of, batch},
    },
};

/// Records of a batch.
pub(super) const RECORDS: i32 = 2;

/// The batch of a producer in a place of its order.
pub(super) fn of_producer(producer_id: i64, place: i32) -> Bytes {
    let values = [0, 1].map(|record| format!("{producer_id}/{place}/{record}"));
    let of = Of { base_offset: 0, producer_id, base_sequence: place * RECORDS };
    batch(of, &[values[0].as_bytes(), values[1].as_bytes()])
}

pub(super) struct Client {
    pub topics: TopicServiceClient<Channel>,
    pub produce: ProduceServiceClient<Channel>,
    pub fetch: FetchServiceClient<Channel>,
}

/// A batch as a reader finds it: base offset, producer id, place in its producer's order as it was sent.
pub(super) type Found = (i64, i64, i32);

pub(super) fn request(partition: u32, batch: Bytes) -> ProduceRequest {
    let payload = Some(Payload::Batch(batch));
    ProduceRequest { topic: "t".into(), partition: Some(partition), payload, ..Default::default() }
}

pub(super) fn at(partition: u32, place: Place) -> FetchPartition {
    FetchPartition { topic: "t".into(), partition, position: Some(Position { position: Some(place) }) }
}

pub(super) const EARLIEST: Place = Place::Earliest(Earliest {});
pub(super) const LATEST: Place = Place::Latest(Latest {});

impl Client {
    pub async fn of(proxy: &Proxy) -> Self {
        let channel = Endpoint::new(proxy.address()).unwrap().connect().await.unwrap();
        Self {
            topics: TopicServiceClient::new(channel.clone()),
            produce: ProduceServiceClient::new(channel.clone()),
            fetch: FetchServiceClient::new(channel),
        }
    }

    /// Sends batches over one stream, all at once; the answers in the order in which they came.
    pub async fn stream(&mut self, batches: Vec<(u32, Bytes)>) -> Vec<(u64, Outcome)> {
        let requests = (0u64..).zip(batches).map(|(request_id, (partition, batch))| ProduceStreamRequest {
            request_id,
            request: Some(request(partition, batch)),
        });
        let requests: Vec<_> = requests.collect();
        let mut answers = self.produce.produce_stream(stream::iter(requests)).await.unwrap().into_inner();
        let mut outcomes = Vec::new();
        while let Some(answer) = answers.message().await.unwrap() {
            outcomes.push((answer.request_id, answer.outcome.unwrap()));
        }
        outcomes
    }

    /// Sends one batch.
    pub async fn send(&mut self, batch: Bytes) -> Result<ProduceResponse, Status> {
        self.produce.produce(request(0, batch)).await.map(|answer| answer.into_inner())
    }

    /// Opens a reader of partition 0.
    pub async fn open(&mut self, from: Place, end: FetchEnd) -> Result<Streaming<FetchResponse>, Status> {
        let request =
            FetchRequest { partitions: vec![at(0, from)], end: end.into(), encoding: FetchEncoding::Batches.into() };
        self.fetch.fetch(request).await.map(|answer| answer.into_inner())
    }

    /// Reads partition 0 to its end: the bytes, whose last message must end where its watermark says.
    pub async fn bytes(&mut self, from: Place) -> Bytes {
        let mut messages = self.open(from, FetchEnd::Stop).await.unwrap();
        let mut read = Vec::new();
        let mut last = None;
        while let Some(message) = messages.message().await.unwrap() {
            assert!(message.next_offset <= message.high_watermark);
            read.extend(message.batches.clone());
            last = Some(message);
        }
        let last = last.unwrap();
        assert!(last.end_reached);
        assert_eq!(last.next_offset, last.high_watermark);
        read.into()
    }

    /// Reads partition 0 to its end.
    pub async fn read(&mut self, from: Place) -> Vec<Found> {
        found(self.bytes(from).await)
    }

    pub async fn offset(&mut self, place: Place) -> Result<PartitionOffset, Status> {
        let request = ListOffsetsRequest { partitions: vec![at(0, place)] };
        self.fetch.list_offsets(request).await.map(|answer| answer.into_inner().offsets[0])
    }
}

/// What is in a row of batches.
pub(super) fn found(row: Bytes) -> Vec<Found> {
    let place = |header: Header| (header.base_offset, header.producer_id, header.base_sequence / RECORDS);
    batch::split(row).unwrap().into_iter().map(|(header, _)| place(header)).collect()
}

/// The offset of an ack.
pub(super) fn acked(outcome: &Outcome) -> Option<i64> {
    match outcome {
        Outcome::Response(response) => Some(response.base_offset),
        Outcome::Error(_) => None,
    }
}
