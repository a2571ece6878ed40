//! Starting and stopping.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use eagre_loadtest_stubs::v1::{
    fetch_service_server::FetchServiceServer, produce_service_server::ProduceServiceServer,
    topic_service_server::TopicServiceServer,
};
use futures::{StreamExt, future};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tonic::transport::{Endpoint, Server};

use crate::{
    Fault,
    connection::Accepted,
    fault::Means,
    ledger::Ledger,
    service::{Books, MESSAGE_BYTES_MAX, Service},
    survey::Surveys,
    tcp,
};

/// Of one stream, in bytes; large, so that the proxy is no brake.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// Of one connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const FRAME_BYTES: u32 = 256 << 10;

/// A running proxy; it stops when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    done: Arc<AtomicU64>,
    tasks: TaskTracker,
    stopped: DropGuard,
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The address to listen at cannot be had.
    #[error("cannot listen at {address}")]
    Listen {
        /// As it was given.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The upstream is not of the form `http://host:port`.
    #[error("{0:?} is not of the form http://host:port")]
    Upstream(String),
}

impl Proxy {
    /// Listens at `listen` (`host:port`; port 0 takes a free one) and forwards to `upstream` (`http://host:port`), which
    /// need not be there yet. The same fault and seed do the same to the same batches.
    pub async fn start(listen: &str, upstream: &str, fault: Fault, seed: u64) -> Result<Proxy, ProxyError> {
        let (endpoint, authority) = endpoint(upstream).ok_or_else(|| ProxyError::Upstream(upstream.to_owned()))?;
        #[expect(clippy::disallowed_methods, reason = "the load test stands outside of the service and its network")]
        let listening = TcpListener::bind(listen).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) =
            listening.map_err(|source| ProxyError::Listen { address: listen.to_owned(), source })?;
        let (tasks, stopped) = (TaskTracker::new(), CancellationToken::new());
        let done = Arc::new(AtomicU64::new(0));
        let means = fault.means();
        if let Means::Connections(hardship) = means {
            let serve = tcp::serve(listener, authority, hardship, tasks.clone(), stopped.clone(), done.clone());
            tasks.spawn(serve);
        } else {
            let survey = |alteration| Surveys::new(alteration, endpoint.connect_lazy(), tasks.clone(), stopped.clone());
            let service = Service {
                means,
                seed,
                ledger: if let Means::Answers(answer) = means { Some(Books::new(Ledger::new(answer))) } else { None },
                surveys: if let Means::Reading(alteration) = means { Some(survey(alteration)) } else { None },
                fetches: Arc::default(),
                done: done.clone(),
            };
            tasks.spawn(serve(listener, endpoint, service, tasks.clone(), stopped.clone()));
        }
        Ok(Proxy { address, done, tasks, stopped: stopped.drop_guard() })
    }

    /// Where clients reach it: `http://host:port`.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often the fault was committed: batches that were lied about, alterations that readers were shown (each reader
    /// counts), pieces that came late, connections that were cut, stalls. A run whose fault never happened proves nothing.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Cuts all connections and waits until nothing of it is left.
    pub async fn stop(self) {
        let Proxy { tasks, stopped, .. } = self;
        drop(stopped);
        tasks.close();
        tasks.wait().await;
    }
}

/// The upstream as an endpoint, and its host and port.
fn endpoint(upstream: &str) -> Option<(Endpoint, String)> {
    let endpoint = Endpoint::from_shared(upstream.to_owned()).ok()?;
    let uri = endpoint.uri();
    let is_whole = uri.scheme_str() == Some("http") && uri.port().is_some() && matches!(uri.path(), "" | "/");
    let authority = uri.authority().filter(|_| is_whole)?.to_string();
    let endpoint = endpoint
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .tcp_nodelay(true);
    Some((endpoint, authority))
}

async fn serve(
    listener: TcpListener,
    endpoint: Endpoint,
    service: Service,
    tasks: TaskTracker,
    stopped: CancellationToken,
) {
    let accepted = stopped.clone();
    let connections = TcpListenerStream::new(listener).filter_map(move |stream| {
        // A connection that could not be accepted concerns its client, who finds out.
        let connection = stream.ok().map(|stream| {
            // Should it fail, small messages only wait for others.
            let _ = stream.set_nodelay(true);
            Accepted::new(stream, endpoint.connect_lazy(), &accepted, tasks.token())
        });
        future::ready(connection.map(Ok::<_, io::Error>))
    });
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .add_service(TopicServiceServer::new(service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(ProduceServiceServer::new(service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(FetchServiceServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX));
    let connections = connections.take_until(stopped.cancelled_owned());
    // It fails only with an error of the stream of connections, which has none.
    let _ = server.serve_with_incoming(connections).await;
}
