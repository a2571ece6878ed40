//! The connection to the service.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use eagre_env::Env;
use eagre_proto::v1::{
    fetch_service_client::FetchServiceClient, produce_service_client::ProduceServiceClient,
    topic_service_client::TopicServiceClient,
};
use eagre_transport::{ChannelSettings, InvalidEndpoint, MESSAGE_BYTES_MAX, channel};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Response, Status, transport::Channel};
use tracing::warn;

use crate::{
    ConsumerBuilder, Producer, ProducerSettings, Reports, Topics,
    backoff::Backoff,
    error::{CallFailure, FailureKind},
};

/// A call that is not answered for so long has failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(10);

/// A client of the service. Cheap to clone; all clones share their connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    env: Env,
    endpoints: Vec<Endpoint>,
    /// Which endpoint is used; any gateway serves any partition.
    current: AtomicUsize,
    patience: Duration,
}

/// A gateway.
#[derive(Clone)]
pub(crate) struct Endpoint {
    url: Arc<str>,
    channel: Channel,
}

/// Makes a [`Client`].
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    endpoints: Vec<String>,
    env: Env,
    patience: Duration,
}

impl ClientBuilder {
    /// More gateways of the same service, for when those before them cannot be reached.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::Client;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder("http://127.0.0.1:1").endpoints([endpoint]).build()?;
    /// // The first gateway cannot be reached, so the next one is asked.
    /// assert_eq!(client.topics().list().await?.len(), 1);
    /// # Ok(()) }) }
    /// ```
    pub fn endpoints(mut self, endpoints: impl IntoIterator<Item: Into<String>>) -> Self {
        self.endpoints.extend(endpoints.into_iter().map(Into::into));
        self
    }

    /// Time, randomness and network to be used instead of the machine's own.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::Client;
    /// use eagre_env::Env;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// // A clock or a network of your own, as for tests, take the places of these.
    /// let client = Client::builder(endpoint).env(Env::system()).build()?;
    /// assert_eq!(client.topics().list().await?.len(), 1);
    /// # Ok(()) }) }
    /// ```
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// For how long a call is made again while the service cannot be reached or is not ready: 10 seconds. A call whose
    /// outcome is unknown is made again only where that does no harm. Producers have a delivery timeout instead.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use std::time::Duration;
    /// use eagre_client::{Client, TopicError};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder("http://127.0.0.1:1").patience(Duration::from_millis(10)).build()?;
    /// let refused = client.topics().list().await.unwrap_err();
    /// assert!(matches!(refused, TopicError::Unavailable(_)));
    /// # Ok(()) }) }
    /// ```
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Makes the client, within a tokio runtime. It connects with its first call.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::Client;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// assert!(Client::builder("there:8070").build().is_err(), "http:// is missing");
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// An endpoint is not of the form `http://host:port`.
    pub fn build(self) -> Result<Client, InvalidEndpoint> {
        let endpoints = self.endpoints.iter().map(|url| {
            let channel = channel(self.env.network.clone(), url, &ChannelSettings::default())?;
            Ok(Endpoint { url: url.as_str().into(), channel })
        });
        let endpoints = endpoints.collect::<Result<_, _>>()?;
        let Self { env, patience, .. } = self;
        Ok(Client { inner: Arc::new(Inner { env, endpoints, current: AtomicUsize::new(0), patience }) })
    }
}

impl Client {
    /// A client of the service at `http://host:port`.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::Client;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// assert_eq!(client.topics().list().await?[0].name, "orders");
    /// # Ok(()) }) }
    /// ```
    pub fn builder(endpoint: impl Into<String>) -> ClientBuilder {
        ClientBuilder { endpoints: vec![endpoint.into()], env: Env::system(), patience: PATIENCE }
    }

    /// Creating, listing, describing and deleting topics.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::Client;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// let topic = client.topics().create("payments", None).await?;
    /// assert_eq!(topic.placement.partitions(), 4, "an elastic topic begins with four");
    /// # Ok(()) }) }
    /// ```
    pub fn topics(&self) -> Topics {
        Topics::new(self.clone())
    }

    /// A producer, see [`Producer`]. Called within a tokio runtime.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, Compression, ProducerSettings, Record};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// let producer = client.producer(&ProducerSettings { compression: Compression::Zstd, ..ProducerSettings::default() });
    /// let orders = producer.topic("orders").await?;
    /// orders.send(Record::new("3 apples")).await?.await?;
    /// # Ok(()) }) }
    /// ```
    pub fn producer(&self, settings: &ProducerSettings) -> Producer {
        Producer::start(self.clone(), settings, false).0
    }

    /// A producer with reports of what was handed over by [`TopicProducer::enqueue`](crate::TopicProducer::enqueue). The
    /// reports are to be read all the time, or the producer stops when its memory is full. Called within a tokio runtime.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, ProducerSettings, Record};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// let (producer, mut reports) = client.producer_with_reports(&ProducerSettings::default());
    /// let orders = producer.topic("orders").await?;
    /// let reading = tokio::spawn(async move {
    ///     let mut acked = 0;
    ///     while let Some(report) = reports.next().await {
    ///         acked += report.acks().count();
    ///     }
    ///     acked
    /// });
    /// for tag in 0..1_000 {
    ///     orders.enqueue(Record::new(format!("order {tag}")), tag).await?;
    /// }
    /// // The reports end when every handle is gone and everything is settled.
    /// drop((producer, orders));
    /// assert_eq!(reading.await?, 1_000);
    /// # Ok(()) }) }
    /// ```
    pub fn producer_with_reports(&self, settings: &ProducerSettings) -> (Producer, Reports) {
        Producer::start(self.clone(), settings, true)
    }

    /// Reading, see [`Consumer`](crate::Consumer).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/service.rs"));
    /// use eagre_client::{Client, Position};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { with_service(async |endpoint| {
    /// let client = Client::builder(endpoint).build()?;
    /// let mut consumer = client.consumer().topic("orders", Position::Beginning).until_end().open().await?;
    /// assert!(consumer.next().await.is_none(), "nothing was written yet");
    /// # Ok(()) }) }
    /// ```
    pub fn consumer(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(self.clone())
    }

    pub(crate) fn env(&self) -> &Env {
        &self.inner.env
    }

    pub(crate) fn patience(&self) -> Duration {
        self.inner.patience
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        let index = self.inner.current.load(Ordering::Relaxed) % self.inner.endpoints.len();
        &self.inner.endpoints[index]
    }

    /// The present endpoint has failed.
    pub(crate) fn try_another_endpoint(&self) {
        self.inner.current.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn produce_service(&self) -> (ProduceServiceClient<Channel>, &Endpoint) {
        let endpoint = self.endpoint();
        let service = ProduceServiceClient::new(endpoint.channel.clone());
        (service.max_decoding_message_size(MESSAGE_BYTES_MAX), endpoint)
    }

    pub(crate) fn fetch_service(&self) -> (FetchServiceClient<Channel>, &Endpoint) {
        let endpoint = self.endpoint();
        (Self::fetch_service_of(endpoint.channel.clone()), endpoint)
    }

    /// Makes a unary call, again and again until `until` while that may help. `repeatable`: making it twice does no harm.
    pub(crate) async fn call<T, F>(
        &self,
        until: Instant,
        repeatable: bool,
        make: impl Fn(Channel) -> F,
    ) -> Result<T, CallFailure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut backoff = Backoff::default();
        let mut said: Option<CallFailure> = None;
        let mut is_troubled = false;
        loop {
            let endpoint = self.endpoint();
            let left = until.saturating_duration_since(Instant::now());
            // A time that is over stands for a single attempt.
            let limit = if left.is_zero() { CALL_TIMEOUT } else { left.min(CALL_TIMEOUT) };
            let failure = match endpoint.answer_within(limit, make(endpoint.channel.clone())).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure.after(said.as_ref(), repeatable),
            };
            let pause = backoff.next(self.env().random.as_ref());
            if !failure.is_worth_repeating(repeatable) || Instant::now() + pause > until {
                return Err(failure);
            }
            if !std::mem::replace(&mut is_troubled, true) {
                warn!("{}; trying again", failure.message);
            }
            match failure.kind {
                FailureKind::Unreachable | FailureKind::Broken => self.try_another_endpoint(),
                FailureKind::Answered(_) | FailureKind::Foreign => said = Some(failure),
            }
            sleep(pause).await;
        }
    }

    pub(crate) fn fetch_service_of(channel: Channel) -> FetchServiceClient<Channel> {
        FetchServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn topic_service(channel: Channel) -> TopicServiceClient<Channel> {
        TopicServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

impl Endpoint {
    pub fn failure(&self, status: &Status) -> CallFailure {
        CallFailure::of_status(status, &self.url)
    }

    /// The answer to one call, if it comes in time.
    pub async fn answer<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, CallFailure> {
        self.answer_within(CALL_TIMEOUT, call).await
    }

    async fn answer_within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, CallFailure> {
        match timeout(limit, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.failure(&status)),
            Err(_) => Err(CallFailure::broken(format!("{} did not answer for {:.1} s", self.url, limit.as_secs_f64()))),
        }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let endpoints = self.inner.endpoints.iter().map(|endpoint| &endpoint.url);
        f.debug_list().entries(endpoints).finish()
    }
}
