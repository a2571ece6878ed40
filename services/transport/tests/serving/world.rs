//! A server over pipes in memory, its clients and whoever else connects.

use std::{
    collections::VecDeque,
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
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
    io::DuplexStream,
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};
use tonic::{Request, Response, Status, service::Routes, transport::Channel};

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

type Accepted = (Box<dyn Connection>, SocketAddr);

#[derive(Default)]
pub struct Pipes(Mutex<Option<mpsc::Sender<Accepted>>>);

struct PipeListener {
    connections: mpsc::Receiver<Accepted>,
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
        Ok(Box::new(self.connect_from(Ipv4Addr::LOCALHOST.into()).await?))
    }
}

impl fmt::Debug for Pipes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipes")
    }
}

impl Pipes {
    /// A connection of somebody else.
    pub async fn connect_from(&self, address: IpAddr) -> io::Result<DuplexStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let listener = self.0.lock().unwrap().clone().ok_or_else(refused)?;
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        listener.send((Box::new(theirs), SocketAddr::new(address, 1))).await.map_err(|_| refused())?;
        Ok(ours)
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
            Some(accepted) => Ok(accepted),
            None => std::future::pending().await,
        }
    }
}

pub struct World {
    pub network: Arc<Pipes>,
    pub go: Arc<Semaphore>,
    pub stop: oneshot::Sender<()>,
    pub server: JoinHandle<()>,
}

impl World {
    pub async fn new(settings: ServerSettings) -> Self {
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

    pub fn client(&self) -> TopicServiceClient<Channel> {
        let channel = channel(self.network.clone(), "http://server:1", &ChannelSettings::default());
        TopicServiceClient::new(channel.unwrap())
    }
}

pub fn echo(text: &str) -> ListTopicsRequest {
    ListTopicsRequest { page_size: 0, page_token: text.to_owned() }
}
