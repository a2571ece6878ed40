//! The process stays within `--memory-limit`, whatever its clients do: all of it at once, at full speed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use eagre_proto::v1::{
    Earliest, FetchEncoding, FetchEnd, FetchPartition, FetchRequest, Position, ProduceRequest, ProduceStreamRequest,
    Record, RecordList, fetch_service_client::FetchServiceClient, position, produce_request::Payload,
    produce_service_client::ProduceServiceClient,
};
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;

use crate::support::{Server, dev};

const RECORD_BYTES: usize = 900 << 10;
const LARGE_PARTITIONS: u32 = 8;
const SMALL_PARTITIONS: u32 = 2_000;
const MIB: u64 = 1 << 10;

/// Producers of large and of small requests, readers of all kinds, those who do not read, and idle calls.
struct Load {
    endpoint: String,
    has_written: AtomicBool,
    /// What large requests have yet to write, together.
    /// JSON requests that were taken.
    posted: AtomicUsize,
    left: AtomicUsize,
}

/// Bytes that nothing makes smaller.
fn noise(bytes: usize, seed: u64) -> Bytes {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..bytes / 8 + 1).flat_map(|_| next().to_le_bytes()).take(bytes).collect()
}

fn records(topic: &str, partition: u32, values: &[Bytes]) -> ProduceRequest {
    let record = |value: &Bytes| Record { value: Some(value.clone()), ..Record::default() };
    let records = values.iter().map(record).collect();
    let payload = Some(Payload::Records(RecordList { records }));
    ProduceRequest { topic: topic.into(), partition: Some(partition), payload, producer: None, topic_id: None }
}

fn from_the_beginning(topic: &str, partitions: u32, end: FetchEnd, encoding: FetchEncoding) -> FetchRequest {
    let position = || Some(Position { position: Some(position::Position::Earliest(Earliest {})) });
    let at = |partition| FetchPartition { topic: topic.into(), partition, position: position() };
    FetchRequest { partitions: (0..partitions).map(at).collect(), end: end.into(), encoding: encoding.into() }
}

impl Load {
    async fn channel(&self) -> Channel {
        Channel::from_shared(self.endpoint.clone()).unwrap().connect().await.unwrap()
    }

    async fn fetch(&self) -> FetchServiceClient<Channel> {
        FetchServiceClient::new(self.channel().await).max_decoding_message_size(32 << 20)
    }

    /// Batches close to the largest, one request after the other; several of these run.
    async fn write_large(self: Arc<Self>, number: u32) {
        let mut service = ProduceServiceClient::new(self.channel().await).max_encoding_message_size(32 << 20);
        let values: Vec<_> = (0..8).map(|record| noise(RECORD_BYTES, u64::from(number * 8 + record) + 1)).collect();
        let bytes = values.len() * RECORD_BYTES;
        let take = |left: usize| (left >= bytes).then(|| left - bytes);
        while self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            // What is refused for want of room was not held.
            let _ = service.produce(records("large", number % LARGE_PARTITIONS, &values)).await;
        }
        self.has_written.store(true, Ordering::Relaxed);
    }

    /// Small requests to thousands of partitions as fast as they are taken, until the large ones are written.
    async fn write_small(self: Arc<Self>, number: u32) {
        let mut service = ProduceServiceClient::new(self.channel().await);
        let value = [noise(2_000, u64::from(number) + 1)];
        let load = self.clone();
        let requests = (0_u64..).map_while(move |request_id| {
            let partition = u32::try_from(request_id * 31 % u64::from(SMALL_PARTITIONS)).unwrap();
            let request = Some(records("small", partition, &value));
            (!load.has_written.load(Ordering::Relaxed)).then_some(ProduceStreamRequest { request_id, request })
        });
        let Ok(answers) = service.produce_stream(tokio_stream::iter(requests)).await else { return };
        let mut answers = answers.into_inner();
        // One of two takes its answers.
        if number.is_multiple_of(2) {
            while let Some(Ok(_)) = answers.next().await {}
        } else {
            self.written().await;
        }
    }

    /// Everything, again and again.
    async fn read(self: Arc<Self>, encoding: FetchEncoding) {
        let mut service = self.fetch().await;
        while !self.has_written.load(Ordering::Relaxed) {
            for (topic, partitions) in [("large", LARGE_PARTITIONS), ("small", SMALL_PARTITIONS)] {
                let request = from_the_beginning(topic, partitions, FetchEnd::Stop, encoding);
                let Ok(messages) = service.fetch(request).await else { continue };
                let mut messages = messages.into_inner();
                while let Some(Ok(_)) = messages.next().await {}
            }
        }
    }

    /// Asks for everything on many calls and takes none of it.
    async fn do_not_read(self: Arc<Self>, calls: usize) {
        let (mut service, mut held) = (self.fetch().await, Vec::new());
        for call in 0..calls {
            let encoding = if call % 2 == 0 { FetchEncoding::Records } else { FetchEncoding::Batches };
            let request = from_the_beginning("large", LARGE_PARTITIONS, FetchEnd::Follow, encoding);
            held.extend(service.fetch(request).await);
        }
        self.written().await;
    }

    /// Opens calls on which nothing is ever said.
    async fn idle(self: Arc<Self>, calls: usize) {
        let (mut service, mut held) = (ProduceServiceClient::new(self.channel().await), Vec::new());
        for _ in 0..calls {
            // Beyond what the service takes they are refused.
            held.extend(service.produce_stream(tokio_stream::pending()).await);
        }
        self.written().await;
    }

    async fn written(&self) {
        while !self.has_written.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// JSON in and out, and answers that nobody takes.
fn json(server: &Server, load: &Load, number: usize) {
    let value = "x".repeat(900 << 10);
    let body = format!(r#"{{"records":[{{"value":"{value}"}},{{"value":"{value}"}},{{"value":"{value}"}}]}}"#);
    let mut deaf = Vec::new();
    while !load.has_written.load(Ordering::Relaxed) {
        // Some are told that there is no room, or that they came too slowly.
        let posted = server.http("POST", "/v1/topics/json/records", "application/json", body.as_bytes());
        load.posted.fetch_add(usize::from(matches!(posted, Ok((200, _)))), Ordering::Relaxed);
        if number.is_multiple_of(2) {
            let _ = server.get("/v1/topics/json/records?max=10000");
        } else if deaf.len() < 50 {
            deaf.push(server.ask_and_do_not_read("/v1/topics/json/records?max=10000"));
        }
    }
}

/// With so many MiB of large requests, which bound the load in bytes and so in time.
fn stays_within(limit_mib: u64, large_mib: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = dev(folder.path().to_str().unwrap(), "127.0.0.1:0", "127.0.0.1:0");
    command.args(["--memory-limit", &format!("{limit_mib}MiB")]);
    let server = Server::spawn(&mut command);
    server.run(&["topic", "create", "large", "--partitions", &LARGE_PARTITIONS.to_string()]);
    server.run(&["topic", "create", "small", "--partitions", &SMALL_PARTITIONS.to_string()]);
    server.run(&["topic", "create", "json"]);
    let idle_kib = server.memory_kib("VmRSS");

    let load = Arc::new(Load {
        endpoint: server.endpoint(),
        has_written: AtomicBool::new(false),
        left: AtomicUsize::new(large_mib << 20),
        posted: AtomicUsize::new(0),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let (server, load) = (&server, &load);
            scope.spawn(move || json(server, load, number));
        }
        runtime.block_on(async {
            let mut all = JoinSet::new();
            (0..24).for_each(|number| drop(all.spawn(load.clone().write_large(number))));
            (0..16).for_each(|number| drop(all.spawn(load.clone().write_small(number))));
            for encoding in [FetchEncoding::Records, FetchEncoding::Batches] {
                (0..4).for_each(|_| drop(all.spawn(load.clone().read(encoding))));
            }
            (0..8).for_each(|_| drop(all.spawn(load.clone().do_not_read(100))));
            (0..10).for_each(|_| drop(all.spawn(load.clone().idle(1_000))));
            while let Some(ended) = all.join_next().await {
                ended.unwrap();
            }
        });
    });
    let (peak_kib, rss_kib) = (server.memory_kib("VmHWM"), server.memory_kib("VmRSS"));
    let (file_kib, left) = (server.memory_kib("RssFile"), load.left.load(Ordering::Relaxed));
    println!(
        "limit {limit_mib} MiB: idle {}, peak {}, at the end {} MiB, of them {} of files",
        idle_kib / MIB,
        peak_kib / MIB,
        rss_kib / MIB,
        file_kib / MIB
    );
    assert!(load.posted.load(Ordering::Relaxed) > 0, "no large JSON request was taken");
    assert!(left < 8 * RECORD_BYTES, "{left} bytes were never sent");
    assert!(peak_kib <= limit_mib * MIB, "{} MiB were taken of {limit_mib}", peak_kib / MIB);
    // It has not merely refused everything: what comes now is taken.
    server.run(&["topic", "create", "after"]);
    let (status, said) =
        server.http("POST", "/v1/topics/after/records", "application/json", br#"{"records":[{"value":"a"}]}"#).unwrap();
    assert_eq!(status, 200, "{said}");
}

#[test]
#[ignore = "loads a server for a minute; .ci/run runs it"]
fn memory_stays_within_the_usual_limit() {
    stays_within(512, 640);
}

#[test]
#[ignore = "loads a server for a minute; .ci/run runs it"]
fn memory_stays_within_the_smallest_limit() {
    // The least windows are small, and large requests come slowly.
    stays_within(362, 64);
}
