//! Serving.

use std::{io, pin::pin, time::Duration};

use eagre_env::Listener;
use futures::stream::{self, StreamExt};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use tonic::{service::Routes, transport::Server};
use tracing::debug;

use crate::{
    Acceptor, ConnectionBounds, FRAME_BYTES, Port,
    calls::ConnectionCalls,
    connection::Io,
    guarded::Guarded,
    peers::PeerMemory,
    windows::{WindowBudget, WindowLease},
};

/// The bounds of a server.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// How many bytes all clients together may have in flight to this server, beside the least window of each.
    pub windows_total_bytes: usize,
    /// How many of them one connection may have.
    pub connection_window_bytes_max: u32,
    /// How many of them one stream may have.
    pub stream_window_bytes_max: u32,
    /// What connections and open calls may take, beside that of other ports.
    pub peers: PeerMemory,
    /// So many connections beyond the windows' budget have HTTP/2's least window for one stream too; later ones an eighth of it.
    pub least_windows_max: usize,
    /// Who may connect.
    pub connections: ConnectionBounds,
    /// Open calls of one connection.
    pub streams_per_connection_max: u32,
    /// The headers of one call, names and values, with 32 bytes for each.
    pub header_list_bytes_max: u32,
    /// Calls of one connection that the client reset and we have not seen the end of; beyond, the connection is closed.
    pub reset_streams_max: usize,
    /// How often a connection is probed.
    pub keepalive_interval: Duration,
    /// After so long without an answer to a probe the connection is closed.
    pub keepalive_timeout: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            windows_total_bytes: 64 << 20,
            connection_window_bytes_max: 8 << 20,
            stream_window_bytes_max: 4 << 20,
            peers: PeerMemory::default(),
            least_windows_max: 1_024,
            connections: ConnectionBounds::default(),
            streams_per_connection_max: 4_096,
            header_list_bytes_max: 16 << 10,
            reset_streams_max: 256,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}

/// What is held while a connection lives.
struct Held {
    _window: WindowLease,
    _closed: oneshot::Sender<()>,
}

/// Serves `routes` to everyone who connects. When `shutdown` ends it stops listening, tells the clients to go away, and
/// returns when the calls in flight are done; the caller bounds that wait.
pub async fn serve(
    listener: Box<dyn Listener>,
    routes: Routes,
    settings: ServerSettings,
    shutdown: impl Future<Output = ()> + Send,
) {
    let budget = WindowBudget::new(
        settings.windows_total_bytes,
        settings.connection_window_bytes_max,
        settings.least_windows_max,
    );
    let mut acceptor = Acceptor::new(listener, Port::Grpc, settings.connections, settings.peers.clone());
    let (stop, stopped) = watch::channel(false);
    let routes = routes.prepare();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let stream = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = acceptor.next() => accepted,
        };
        let served = (routes.clone(), ConnectionCalls::new(settings.peers.clone()));
        connections.spawn(connection(stream, budget.lease(), served, settings.clone(), stopped.clone()));
    }
    drop(acceptor);
    let _ = stop.send(true);
    while connections.join_next().await.is_some() {}
}

/// One connection has its own tonic server, because windows are settings of a server.
async fn connection(
    stream: Guarded,
    window: WindowLease,
    (routes, calls): (Routes, ConnectionCalls),
    settings: ServerSettings,
    mut stopped: watch::Receiver<bool>,
) {
    let (closed, until_closed) = oneshot::channel();
    let server = Server::builder()
        .initial_connection_window_size(window.bytes)
        .initial_stream_window_size(window.stream_bytes.min(settings.stream_window_bytes_max))
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_streams(settings.streams_per_connection_max)
        .http2_max_header_list_size(settings.header_list_bytes_max)
        .http2_max_pending_accept_reset_streams(Some(settings.reset_streams_max))
        .http2_max_local_error_reset_streams(Some(settings.reset_streams_max))
        .http2_keepalive_interval(Some(settings.keepalive_interval))
        .http2_keepalive_timeout(Some(settings.keepalive_timeout))
        .layer(calls);
    let io = Io::new(Box::new(stream), Held { _window: window, _closed: closed });
    let incoming = stream::iter([Ok::<_, io::Error>(io)]).chain(stream::pending());
    let ended = async move {
        tokio::select! {
            biased;
            _ = until_closed => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    };
    // Not `add_routes`: that prepares them once more, which costs each connection a copy of all of them.
    if let Err(error) = server.serve_with_incoming_shutdown(routes, incoming, ended).await {
        debug!(%error, "a connection could not be served");
    }
}
