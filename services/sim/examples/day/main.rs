//! Hours of a service under a steady load, in simulated time: what grows, and how a process starts on what is there then.
//!
//! 2,000 numbered producers write 1 MiB/s into 1,000 partitions through the whole service, from the gRPC services down; only the clock, the network
//! and the bucket are others. It prints a line an hour and ends with a failure where one of the [`BOUNDS`] is broken. A day takes about
//! half an hour and 2 GiB of memory:
//!
//! ```text
//! cargo run --release -p eagre-sim --example day -- --hours 24
//! ```

mod store;

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_cache::{CacheSettings, PageCaches};
use eagre_env::{Clock, Connection, Env, HostIdentity, Listener, Network, SeededRandomness, SystemClock};
use eagre_model::{
    batch::Compression,
    records::{BatchBuilder, ProducerFields},
};
use eagre_objects::{Bucket, BucketKind};
use eagre_proto::v1::{
    CreateTopicRequest, Earliest, FetchEncoding, FetchEnd, FetchPartition, FetchRequest, InitProducerRequest, Position,
    ProduceRequest, fetch_service_client::FetchServiceClient, position, produce_request::Payload,
    produce_service_client::ProduceServiceClient, topic_service_client::TopicServiceClient,
};
use eagre_runtime::{Node, NodeParts, NodeSettings};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use store::{FoldedStore, Requests};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What must hold, whatever the number of hours.
const BOUNDS: Bounds = Bounds {
    metadata_objects_max: 5_000,
    // Inline runs become objects of 5 MiB each.
    record_objects_per_gib_max: 300,
    puts_per_second_max: 25.0,
    // Beside the bucket, which is in the same process here.
    memory_mib_max: 512,
    open_seconds_max: 10.0,
    open_gets_max: 500,
    // For a thousand records, far behind.
    read_gets_max: 400,
    // Of an hour.
    idle_puts_max: 0,
    idle_lists_max: 40,
    idle_gets_max: 360,
};

struct Bounds {
    metadata_objects_max: usize,
    record_objects_per_gib_max: u64,
    puts_per_second_max: f64,
    memory_mib_max: u64,
    open_seconds_max: f64,
    open_gets_max: u64,
    read_gets_max: u64,
    idle_puts_max: u64,
    idle_lists_max: u64,
    idle_gets_max: u64,
}

const TOPIC: &str = "day";
const PARTITIONS: u32 = 1_000;
const PRODUCERS: u32 = 2_000;
const RECORD_BYTES: usize = 1 << 10;
const RECORDS_A_BATCH: usize = 4;
/// Of one producer: 2,000 of them make 1 MiB/s.
const BATCH_INTERVAL: Duration = Duration::from_micros(7_812_500);
/// Between the last record and the idle hour: compaction and deletion that follow from it are over then.
const SETTLING: Duration = Duration::from_secs(6 * 60);
const HOUR: Duration = Duration::from_secs(3_600);
/// 2026-01-01T00:00:00Z.
const BEGIN_MS: i64 = 1_767_225_600_000;
const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

fn main() -> Result<(), Failure> {
    let hours = hours()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let broken = runtime.block_on(run(hours))?;
    if broken.is_empty() {
        say(&format!("all bounds held for {hours} simulated hours"));
        return Ok(());
    }
    Err(format!("broken: {}", broken.join("; ")).into())
}

fn hours() -> Result<f64, Failure> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (None, _, _) => Ok(24.0),
        (Some("--hours"), Some(hours), None) => {
            let hours: f64 = hours.parse()?;
            if hours > 0.0 && hours <= 1_000.0 { Ok(hours) } else { Err("--hours takes up to 1000".into()) }
        }
        _ => Err("usage: day [--hours N]".into()),
    }
}

async fn run(hours: f64) -> Result<Vec<String>, Failure> {
    let env = env();
    let store = FoldedStore::new(env.clock.clone());
    let node = start(&env, &store).await?;
    let routes = node.api().prepare();
    let create = CreateTopicRequest { name: TOPIC.into(), partitions: Some(PARTITIONS), ..Default::default() };
    TopicServiceClient::new(routes.clone()).create_topic(create).await?;
    let acks = Arc::new(Acks::default());
    let end = Instant::now() + HOUR.mul_f64(hours);
    let mut producers = JoinSet::new();
    for number in 0..PRODUCERS {
        producers.spawn(produce(ProduceServiceClient::new(routes.clone()), number, end, acks.clone()));
    }
    let mut broken = Vec::new();
    let (mut watch, begun) = (Watch::begin(&store), Instant::now());
    while Instant::now() < end {
        sleep_until((Instant::now() + HOUR).min(end)).await;
        watch.report(&store, &acks, begun.elapsed(), &mut broken);
    }
    while let Some(ended) = producers.join_next().await {
        ended??;
    }
    rest(&store, &mut broken).await;
    say("the process dies, and another one starts");
    let store = store.die();
    drop(node);
    let before = (store.requests(), Instant::now(), SystemClock.monotonic());
    let node = start(&env, &store).await?;
    let gets = store.requests().gets - before.0.gets;
    let (virtual_s, real) = (before.1.elapsed().as_secs_f64(), SystemClock.monotonic().saturating_sub(before.2));
    say(&format!("start to ready: {virtual_s:.2} s, {gets} GETs ({real:.2?} of this machine)"));
    check(&mut broken, "start, seconds", virtual_s, BOUNDS.open_seconds_max);
    check(&mut broken, "start, GETs", gets as f64, BOUNDS.open_gets_max as f64);
    read(&node, &store, acks.batches.load(Ordering::Relaxed), &mut broken).await?;
    node.stop().await;
    Ok(broken)
}

/// An hour in which nothing is written, after some minutes in which what was is put in order.
async fn rest(store: &FoldedStore, broken: &mut Vec<String>) {
    sleep(SETTLING).await;
    let before = store.requests();
    sleep(HOUR).await;
    let now = store.requests();
    let (puts, lists, gets) = (now.puts - before.puts, now.lists - before.lists, now.gets - before.gets);
    say(&format!("an idle hour: {puts} PUTs, {lists} LISTs, {gets} GETs"));
    check(broken, "idle: PUTs", puts as f64, BOUNDS.idle_puts_max as f64);
    check(broken, "idle: LISTs", lists as f64, BOUNDS.idle_lists_max as f64);
    check(broken, "idle: GETs", gets as f64, BOUNDS.idle_gets_max as f64);
}

async fn start(env: &Env, store: &FoldedStore) -> Result<Node, Failure> {
    let settings = NodeSettings::for_bucket(BucketKind::Remote);
    let parts = NodeParts {
        bucket: Bucket::from_store(env, Arc::new(store.clone()), BucketKind::Remote).await?,
        caches: PageCaches::plain(&CacheSettings::default()),
        grpc: env.network.listen("nobody:1").await?,
        advertised: "http://nobody:1".into(),
        background: None,
        stop_limit: Duration::from_secs(5),
        env: env.clone(),
        settings,
    };
    Ok(Node::start(parts).await?)
}

/// One producer: a batch an interval, each when the one before is acknowledged.
async fn produce<T>(
    mut client: ProduceServiceClient<T>,
    number: u32,
    end: Instant,
    acks: Arc<Acks>,
) -> Result<(), Failure>
where
    T: tonic::client::GrpcService<tonic::body::Body>,
    T::Error: Into<Failure>,
    T::ResponseBody: tonic::codegen::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as tonic::codegen::Body>::Error: Into<Failure> + Send,
{
    let identity = client.init_producer(InitProducerRequest::default()).await?.into_inner();
    let value = vec![0; RECORD_BYTES];
    let mut due = Instant::now() + BATCH_INTERVAL * number / PRODUCERS;
    let mut base_sequence = 0;
    while due < end {
        sleep_until(due).await;
        let producer = ProducerFields {
            producer_id: identity.producer_id,
            producer_epoch: i16::try_from(identity.producer_epoch)?,
            base_sequence,
        };
        let mut builder = BatchBuilder::with_capacity(producer, (RECORD_BYTES + 32) * RECORDS_A_BATCH);
        for _ in 0..RECORDS_A_BATCH {
            builder.push_parts(None, Some(&value), std::iter::empty(), 0)?;
        }
        let request = ProduceRequest {
            topic: TOPIC.into(),
            partition: Some(number % PARTITIONS),
            payload: Some(Payload::Batch(builder.finish(Compression::None)?.bytes)),
            ..Default::default()
        };
        client.produce(request).await?;
        acks.note(due.elapsed());
        base_sequence += i32::try_from(RECORDS_A_BATCH)?;
        due += BATCH_INTERVAL;
    }
    Ok(())
}

/// Reads a thousand records of one partition from its first one on.
async fn read(node: &Node, store: &FoldedStore, batches: u64, broken: &mut Vec<String>) -> Result<(), Failure> {
    let partition = FetchPartition {
        topic: TOPIC.into(),
        partition: 7,
        position: Some(Position { position: Some(position::Position::Earliest(Earliest {})) }),
    };
    let request = FetchRequest {
        partitions: vec![partition],
        end: FetchEnd::Stop.into(),
        encoding: FetchEncoding::Batches.into(),
    };
    let mut client = FetchServiceClient::new(node.api().prepare()).max_decoding_message_size(64 << 20);
    let (gets, begun) = (store.requests().gets, Instant::now());
    let mut first = None;
    let mut next_offset = 0;
    let mut stream = client.fetch(request).await?.into_inner();
    let wanted = 1_000.min(i64::try_from(batches)? * i64::try_from(RECORDS_A_BATCH)? / i64::from(PARTITIONS));
    while next_offset < wanted {
        let message = stream.message().await?.ok_or("the stream ended before its records did")?;
        if !message.batches.is_empty() {
            first.get_or_insert_with(|| begun.elapsed());
        }
        next_offset = next_offset.max(message.next_offset);
    }
    let gets = store.requests().gets - gets;
    say(&format!(
        "{next_offset} records of one partition from its beginning: first after {:.2} s, all after {:.2} s, {gets} GETs",
        first.unwrap_or_default().as_secs_f64(),
        begun.elapsed().as_secs_f64()
    ));
    check(broken, "reading a partition from its beginning, GETs", gets as f64, BOUNDS.read_gets_max as f64);
    Ok(())
}

/// What was acknowledged.
#[derive(Default)]
struct Acks {
    batches: AtomicU64,
    /// Of the present hour.
    latencies_ms: Mutex<Vec<u32>>,
}

impl Acks {
    fn note(&self, took: Duration) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        let took_ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        self.latencies_ms.lock().unwrap_or_else(PoisonError::into_inner).push(took_ms);
    }

    /// p50 and p99 since the last call.
    fn percentiles_ms(&self) -> (u32, u32) {
        let mut latencies = std::mem::take(&mut *self.latencies_ms.lock().unwrap_or_else(PoisonError::into_inner));
        latencies.sort_unstable();
        let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied().unwrap_or_default();
        (at(50), at(99))
    }
}

/// What there was an hour ago.
struct Watch {
    requests: Requests,
    at: Duration,
    real: Duration,
}

impl Watch {
    fn begin(store: &FoldedStore) -> Self {
        Self { requests: store.requests(), at: Duration::ZERO, real: SystemClock.monotonic() }
    }

    fn report(&mut self, store: &FoldedStore, acks: &Acks, at: Duration, broken: &mut Vec<String>) {
        let (held, requests, real) = (store.holdings(), store.requests(), SystemClock.monotonic());
        let seconds = at.saturating_sub(self.at).as_secs_f64().max(1.0);
        let a_second = |now: u64, before: u64| (now - before) as f64 / seconds;
        let puts = a_second(requests.puts, self.requests.puts);
        let resident_mib = resident_bytes() / MIB;
        let memory_mib = resident_mib.saturating_sub(held.folded_bytes / MIB);
        let (p50, p99) = acks.percentiles_ms();
        say(&format!(
            "hour {:.1}: ack p50 {p50} p99 {p99} ms, {:.2} GiB in {} objects, metadata {:.0} MiB in {} objects ({} of the log, {} tables of {:.0} MiB), PUT/s {puts:.1}, GET/s \
             {:.2}, LIST/s {:.3}, DELETE/s {:.1}, memory {memory_mib} MiB and {} MiB of bucket, took {:.0?}",
            at.as_secs_f64() / HOUR.as_secs_f64(),
            held.record_bytes as f64 / GIB as f64,
            held.record_objects,
            held.other_bytes as f64 / MIB as f64,
            held.other_objects,
            held.log_objects,
            held.table_objects,
            held.table_bytes as f64 / MIB as f64,
            a_second(requests.gets, self.requests.gets),
            a_second(requests.lists, self.requests.lists),
            a_second(requests.deletes, self.requests.deletes),
            held.folded_bytes / MIB,
            real.saturating_sub(self.real),
        ));
        *self = Self { requests, at, real };
        let record_objects_max = 100 + held.record_bytes * BOUNDS.record_objects_per_gib_max / GIB;
        check(broken, "metadata objects", held.other_objects as f64, BOUNDS.metadata_objects_max as f64);
        check(broken, "objects of records", held.record_objects as f64, record_objects_max as f64);
        check(broken, "PUT a second", puts, BOUNDS.puts_per_second_max);
        check(broken, "memory, MiB", memory_mib as f64, BOUNDS.memory_mib_max as f64);
    }
}

fn check(broken: &mut Vec<String>, what: &str, seen: f64, most: f64) {
    if seen > most {
        broken.push(format!("{what}: {seen:.1} where {most} is the most"));
    }
}

fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|statm| statm.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * 4_096
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn env() -> Env {
    let host = HostIdentity { machine: String::new(), process: 1, started: 0 };
    let clock = Arc::new(PausedClock(Instant::now()));
    Env::new(clock, Arc::new(SeededRandomness::new(1)), Arc::new(Nobody), host)
}

/// tokio's paused clock.
#[derive(Debug)]
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn unix_ms(&self) -> i64 {
        BEGIN_MS + i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A network in which nobody calls: the services are called in this process.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Network for Nobody {
    async fn listen(&self, _: &str) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(Silence))
    }

    async fn connect(&self, _: &str, _: u16) -> io::Result<Box<dyn Connection>> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

struct Silence;

#[async_trait]
impl Listener for Silence {
    fn local_addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1))
    }

    async fn accept(&mut self) -> io::Result<(Box<dyn Connection>, SocketAddr)> {
        sleep(HOUR * 24 * 365).await;
        Err(io::ErrorKind::TimedOut.into())
    }
}
