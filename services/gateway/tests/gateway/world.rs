//! A gateway over memory: bucket, sequencer and network of one test. Time is tokio's, paused.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_cache::{CacheSettings, PageCaches};
use eagre_env::{Clock, Connection, Env, HostIdentity, Listener, Network, SeededRandomness};
use eagre_gateway::{Gateway, GatewaySettings};
use eagre_log::{ReaderSettings, RunReader};
use eagre_model::{
    TopicPartition as PartitionId,
    records::{BatchBuilder, ProducerFields},
};
use eagre_objects::{Bucket, BucketKind};
use eagre_proto::v1::{
    fetch_service_client::FetchServiceClient, produce_service_client::ProduceServiceClient,
    topic_service_client::TopicServiceClient, *,
};
use eagre_transport::{ChannelSettings, MESSAGE_BYTES_MAX, ServerSettings};
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult, memory::InMemory, path::Path,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tonic::transport::Channel;

use crate::sequencer::{FakeSequencer, Mood};

pub const NOW_MS: i64 = 1_800_000_000_000;

/// Everything of one test.
pub struct World {
    pub sequencer: Arc<FakeSequencer>,
    pub store: Arc<TestStore>,
    pub gateway: Arc<Gateway>,
    pub network: Arc<DuplexNetwork>,
    stop: Option<oneshot::Sender<()>>,
    pub server: JoinHandle<()>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(adjust: impl FnOnce(&mut GatewaySettings)) -> Self {
        let world = Self::starting(adjust, |_| {}).await;
        world.gateway.ready().await;
        world
    }

    /// A world whose gateway puts small objects inside of their commits, and keeps no bytes for readers.
    pub async fn inline() -> Self {
        let none = CacheSettings { written_bytes: 0, pages_bytes: 0, disk: None };
        let adjust = |settings: &mut GatewaySettings| settings.inline_bytes_max = 10 << 10;
        let world = Self::cached(none, adjust, |_| {}).await;
        world.sequencer.state().takes_inline = true;
        world.gateway.ready().await;
        world
    }

    /// A world whose gateway has been started, with a sequencer in this mood.
    pub async fn starting(adjust: impl FnOnce(&mut GatewaySettings), mood: impl FnOnce(&mut Mood)) -> Self {
        Self::cached(CacheSettings::default(), adjust, mood).await
    }

    /// The same, with caches of a given size.
    pub async fn cached(
        caches: CacheSettings,
        adjust: impl FnOnce(&mut GatewaySettings),
        mood: impl FnOnce(&mut Mood),
    ) -> Self {
        let network = Arc::new(DuplexNetwork::default());
        let host = HostIdentity { machine: String::new(), process: 1, started: 0 };
        let env = Env::new(Arc::new(TestClock), Arc::new(SeededRandomness::new(1)), network.clone(), host);
        let store = Arc::new(TestStore::new());
        let bucket = Bucket::from_store(&env, store.clone(), BucketKind::Memory).await.unwrap();
        let caches = PageCaches::plain(&caches);
        let reader = RunReader::new(&env, bucket.clone(), caches, &ReaderSettings::default());
        let sequencer = FakeSequencer::new();
        sequencer.change(mood);
        let mut settings = GatewaySettings::for_bucket(BucketKind::Folder);
        // Most tests are about uploads.
        settings.inline_bytes_max = 0;
        adjust(&mut settings);
        let gateway = Arc::new(Gateway::start(env.clone(), bucket, reader, sequencer.clone(), settings).unwrap());
        let listener = network.listen("gateway:1").await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = eagre_transport::serve(listener, gateway.routes(), ServerSettings::default(), async {
            let _ = stopped.await;
        });
        let server = tokio::spawn(serving);
        Self { sequencer, store, gateway, network, stop: Some(stop), server }
    }

    pub fn channel(&self) -> Channel {
        eagre_transport::channel(self.network.clone(), "http://gateway:1", &ChannelSettings::default()).unwrap()
    }

    pub fn topics(&self) -> TopicServiceClient<Channel> {
        TopicServiceClient::new(self.channel())
    }

    pub fn produce(&self) -> ProduceServiceClient<Channel> {
        ProduceServiceClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub fn fetch(&self) -> FetchServiceClient<Channel> {
        FetchServiceClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub async fn topic(&self, name: &str, partitions: u32) {
        let request = CreateTopicRequest { name: name.into(), partitions: Some(partitions), ..Default::default() };
        self.topics().create_topic(request).await.unwrap();
    }

    /// Appends one batch of records with these values.
    pub async fn append(&self, topic: &str, partition: u32, values: &[&str]) -> i64 {
        let answer = self.produce().produce(records(topic, partition, values)).await;
        answer.unwrap().into_inner().base_offset
    }

    /// Opens a produce stream: where requests go in and where answers come out.
    pub async fn stream(&self) -> (mpsc::Sender<ProduceStreamRequest>, tonic::Streaming<ProduceStreamResponse>) {
        let (requests, outgoing) = mpsc::channel(16);
        let outgoing = futures::stream::unfold(outgoing, |mut outgoing| async {
            let next = outgoing.recv().await?;
            Some((next, outgoing))
        });
        let answers = self.produce().produce_stream(outgoing).await.unwrap().into_inner();
        (requests, answers)
    }

    /// Everything from the beginning to the end of a partition: offsets and values.
    pub async fn read_all(&self, topic: &str, partition: u32) -> Vec<(i64, String)> {
        let request = fetch_request(topic, partition, earliest(), FetchEnd::Stop, FetchEncoding::Records);
        let mut messages = self.fetch().fetch(request).await.unwrap().into_inner();
        let mut read = Vec::new();
        while let Some(message) = messages.message().await.unwrap() {
            read.extend(message.records.into_iter().map(|record| (record.offset, text(record.value))));
        }
        read
    }

    /// Renames the objects of a partition, in the bucket and in the index, as a merge of objects would.
    pub async fn move_objects(&self, topic: &str, partition: u32) {
        let topic = eagre_sequencer_api::Sequencer::topic(&*self.sequencer, topic).await.unwrap().number;
        let moved = self.sequencer.state().move_objects(PartitionId { topic, partition });
        for (old, new) in moved {
            let (old, new) = (Path::from(old.key()), Path::from(new.key()));
            self.store.inner.rename(&old, &new).await.unwrap();
        }
    }

    /// Moves the inline runs of a partition into objects.
    pub async fn spill(&self, topic: &str, partition: u32) {
        let topic = eagre_sequencer_api::Sequencer::topic(&*self.sequencer, topic).await.unwrap().number;
        let stored = self.sequencer.state().spill(PartitionId { topic, partition });
        for (object, bytes) in stored {
            self.store.inner.put(&Path::from(object.key()), bytes.into()).await.unwrap();
        }
    }

    pub fn stop_listening(&mut self) {
        drop(self.stop.take());
    }
}

pub fn text(value: Option<Bytes>) -> String {
    String::from_utf8(value.unwrap().to_vec()).unwrap()
}

pub fn earliest() -> Position {
    at(position::Position::Earliest(Earliest {}))
}

pub fn at(position: position::Position) -> Position {
    Position { position: Some(position) }
}

pub fn fetch_request(
    topic: &str,
    partition: u32,
    position: Position,
    end: FetchEnd,
    encoding: FetchEncoding,
) -> FetchRequest {
    FetchRequest {
        partitions: vec![FetchPartition { topic: topic.into(), partition, position: Some(position) }],
        end: end.into(),
        encoding: encoding.into(),
    }
}

pub fn record(value: &str) -> Record {
    Record { value: Some(Bytes::copy_from_slice(value.as_bytes())), ..Record::default() }
}

pub fn records(topic: &str, partition: u32, values: &[&str]) -> ProduceRequest {
    let records = values.iter().map(|value| record(value)).collect();
    let payload = Some(produce_request::Payload::Records(RecordList { records }));
    ProduceRequest { topic: topic.into(), partition: Some(partition), payload, producer: None, topic_id: None }
}

pub fn batch(values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(ProducerFields::NONE);
    for value in values {
        let headers = std::iter::empty();
        builder.push_parts(None, Some(value.as_bytes()), headers, NOW_MS).unwrap();
    }
    builder.finish(eagre_model::batch::Compression::None).unwrap().bytes.to_vec()
}

pub fn of_batch(topic: &str, partition: u32, batch: Vec<u8>) -> ProduceRequest {
    let payload = Some(produce_request::Payload::Batch(batch.into()));
    ProduceRequest { topic: topic.into(), partition: Some(partition), payload, producer: None, topic_id: None }
}

/// Runs what is ready until `holds`.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never came true: {what}");
}

#[derive(Debug)]
struct TestClock;

impl Clock for TestClock {
    fn unix_ms(&self) -> i64 {
        NOW_MS
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

type Incoming = mpsc::Sender<Box<dyn Connection>>;

/// Pipes in memory; a name is an address.
#[derive(Default)]
pub struct DuplexNetwork {
    listeners: Mutex<Vec<(String, Incoming)>>,
    pub connections: AtomicUsize,
}

impl std::fmt::Debug for DuplexNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DuplexNetwork")
    }
}

struct DuplexListener(mpsc::Receiver<Box<dyn Connection>>);

#[async_trait]
impl Network for DuplexNetwork {
    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let (sender, receiver) = mpsc::channel(16);
        self.listeners.lock().unwrap().push((address.to_owned(), sender));
        Ok(Box::new(DuplexListener(receiver)))
    }

    async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Connection>> {
        let address = format!("{host}:{port}");
        let listener = {
            let listeners = self.listeners.lock().unwrap();
            listeners.iter().find(|listener| listener.0 == address).map(|listener| listener.1.clone())
        };
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        listener.ok_or_else(refused)?.send(Box::new(theirs)).await.map_err(|_| refused())?;
        self.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(ours))
    }
}

#[async_trait]
impl Listener for DuplexListener {
    fn local_addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 1))
    }

    async fn accept(&mut self) -> io::Result<(Box<dyn Connection>, SocketAddr)> {
        match self.0.recv().await {
            Some(connection) => Ok((connection, self.local_addr())),
            None => std::future::pending().await,
        }
    }
}

/// How uploads of WAL objects fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Uploads {
    #[default]
    Succeed,
    /// Wait until that changes.
    Hang,
    /// The device is full.
    Full,
    /// An error that may pass.
    Fail,
}

/// Memory whose uploads a test controls.
#[derive(Debug)]
pub struct TestStore {
    inner: InMemory,
    uploads: watch::Sender<Uploads>,
    /// Keys of WAL objects in the order in which their PUTs ended well.
    pub uploaded: Mutex<Vec<String>>,
    pub attempts: AtomicUsize,
}

impl std::fmt::Display for TestStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestStore")
    }
}

impl TestStore {
    fn new() -> Self {
        Self {
            inner: InMemory::new(),
            uploads: watch::channel(Uploads::Succeed).0,
            uploaded: Mutex::default(),
            attempts: AtomicUsize::new(0),
        }
    }

    pub fn uploads(&self, uploads: Uploads) {
        self.uploads.send_replace(uploads);
    }
}

#[async_trait]
impl ObjectStore for TestStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> StoreResult<PutResult> {
        if location.as_ref().starts_with("wal/") {
            self.attempts.fetch_add(1, Ordering::Relaxed);
            let mut uploads = self.uploads.subscribe();
            let uploads = *uploads.wait_for(|uploads| *uploads != Uploads::Hang).await.unwrap();
            let kind = match uploads {
                Uploads::Full => Some(io::ErrorKind::StorageFull),
                Uploads::Fail => Some(io::ErrorKind::TimedOut),
                Uploads::Succeed | Uploads::Hang => None,
            };
            if let Some(kind) = kind {
                return Err(object_store::Error::Generic { store: "test", source: Box::new(io::Error::from(kind)) });
            }
            self.uploaded.lock().unwrap().push(location.to_string());
        }
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
