//! Serving and reaching a server over pipes in memory.

#![expect(clippy::unwrap_used, reason = "a test fails where something unexpected happens")]

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use eagre_env::{Connection, Listener, Network};
use eagre_proto::v1::{
    topic_service_client::TopicServiceClient,
    topic_service_server::{TopicService, TopicServiceServer},
    *,
};
use eagre_transport::{ChannelSettings, ServerSettings, channel, serve};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tonic::{Code, Request, Response, Status, service::Routes, transport::Channel};

/// Answers a call once it is let go.
struct Service(Arc<Semaphore>);

#[async_trait]
impl TopicService for Service {
    async fn delete_topic(&self, _: Request<DeleteTopicRequest>) -> Result<Response<DeleteTopicResponse>, Status> {
        self.0.acquire().await.unwrap().forget();
        Ok(Response::new(DeleteTopicResponse {}))
    }
    async fn create_topic(&self, _: Request<CreateTopicRequest>) -> Result<Response<CreateTopicResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn describe_topic(
        &self,
        _: Request<DescribeTopicRequest>,
    ) -> Result<Response<DescribeTopicResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn list_topics(&self, request: Request<ListTopicsRequest>) -> Result<Response<ListTopicsResponse>, Status> {
        let next_page_token = request.into_inner().page_token;
        Ok(Response::new(ListTopicsResponse { topics: Vec::new(), next_page_token }))
    }
}

#[derive(Debug, Default)]
struct Pipes(Mutex<Option<mpsc::Sender<Box<dyn Connection>>>>);

struct PipeListener {
    connections: mpsc::Receiver<Box<dyn Connection>>,
    /// Come before any connection.
    errors: VecDeque<io::Error>,
}

#[async_trait]
impl Network for Pipes {
    async fn listen(&self, _address: &str) -> io::Result<Box<dyn Listener>> {
        let (sender, connections) = mpsc::channel(1);
        *self.0.lock().unwrap() = Some(sender);
        // EMFILE: the process has no file handle left.
        let errors = VecDeque::from([io::Error::from_raw_os_error(24), io::ErrorKind::ConnectionAborted.into()]);
        Ok(Box::new(PipeListener { connections, errors }))
    }

    async fn connect(&self, _host: &str, _port: u16) -> io::Result<Box<dyn Connection>> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let listener = self.0.lock().unwrap().clone().ok_or_else(refused)?;
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        listener.send(Box::new(theirs)).await.map_err(|_| refused())?;
        Ok(Box::new(ours))
    }
}

#[async_trait]
impl Listener for PipeListener {
    fn local_addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 1))
    }

    async fn accept(&mut self) -> io::Result<(Box<dyn Connection>, SocketAddr)> {
        if let Some(error) = self.errors.pop_front() {
            return Err(error);
        }
        match self.connections.recv().await {
            Some(connection) => Ok((connection, self.local_addr())),
            None => std::future::pending().await,
        }
    }
}

struct World {
    network: Arc<Pipes>,
    go: Arc<Semaphore>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl World {
    async fn new(settings: ServerSettings) -> Self {
        let network = Arc::new(Pipes::default());
        let go = Arc::new(Semaphore::new(0));
        let routes = Routes::new(TopicServiceServer::new(Service(go.clone())));
        let listener = network.listen("").await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, routes, settings, async {
            let _ = stopped.await;
        }));
        Self { network, go, stop, server }
    }

    fn client(&self) -> TopicServiceClient<Channel> {
        let channel = channel(self.network.clone(), "http://server:1", &ChannelSettings::default());
        TopicServiceClient::new(channel.unwrap())
    }
}

fn echo(text: &str) -> ListTopicsRequest {
    ListTopicsRequest { page_size: 0, page_token: text.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn errors_of_accepting_do_not_end_the_loop() {
    let world = World::new(ServerSettings::default()).await;
    let answer = world.client().list_topics(echo("here")).await.unwrap().into_inner();
    assert_eq!(answer.next_page_token, "here");
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_limit_wait() {
    let world = World::new(ServerSettings { connections_max: 2, ..ServerSettings::default() }).await;
    let (mut first, mut second, mut third) = (world.client(), world.client(), world.client());
    first.list_topics(echo("1")).await.unwrap();
    second.list_topics(echo("2")).await.unwrap();
    assert!(timeout(Duration::from_secs(4), third.list_topics(echo("3"))).await.is_err());
    drop(first);
    third.list_topics(echo("3")).await.unwrap();
    second.list_topics(echo("2")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_calls_in_flight_finish() {
    let World { network, go, stop, mut server } = World::new(ServerSettings::default()).await;
    let channel = channel(network.clone(), "http://server:1", &ChannelSettings::default()).unwrap();
    let mut client = TopicServiceClient::new(channel);
    client.list_topics(echo("connected")).await.unwrap();
    let call = tokio::spawn(async move { client.delete_topic(DeleteTopicRequest::default()).await });
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    stop.send(()).unwrap();
    assert!(timeout(Duration::from_secs(1), &mut server).await.is_err(), "a call is in flight");
    go.add_permits(1);
    call.await.unwrap().unwrap();
    server.await.unwrap();
    let late = eagre_transport::channel(network, "http://server:1", &ChannelSettings::default()).unwrap();
    let refused = TopicServiceClient::new(late).list_topics(echo("late")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
}

#[test]
fn endpoints_are_checked() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = runtime.enter();
    let network: Arc<dyn Network> = Arc::new(Pipes::default());
    let check = |endpoint| channel(network.clone(), endpoint, &ChannelSettings::default()).map(drop);
    for good in ["http://localhost:8070", "http://localhost", "http://127.0.0.1:1/", "http://[::1]:8070"] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "localhost:8070",
        "https://localhost:8070",
        "http://",
        "http://a:b",
        "http://a:99999",
        "http://u@a:1",
        "http://:1",
        "http://a/b",
        "http://a?b",
        "a b",
    ] {
        let error = check(bad).expect_err(bad).to_string();
        assert!(error.contains("http://host:port"), "{bad}: {error}");
    }
}
