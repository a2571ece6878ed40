//! Serving.

use std::{io, pin::pin, sync::Arc, time::Duration};

use eagre_env::{Connection, Listener};
use eagre_trace::Seldom;
use futures::stream::{self, StreamExt};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch},
    task::JoinSet,
};
use tonic::{service::Routes, transport::Server};
use tracing::{debug, warn};

use crate::{
    FRAME_BYTES,
    connection::Io,
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
    /// Connections beyond wait in the listener's backlog.
    pub connections_max: usize,
    /// Open calls of one connection.
    pub streams_per_connection_max: u32,
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
            connections_max: 4_096,
            streams_per_connection_max: 4_096,
            reset_streams_max: 256,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}

/// Between two attempts to accept while the system refuses them.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is held while a connection lives.
struct Held {
    _window: WindowLease,
    _slot: OwnedSemaphorePermit,
    _closed: oneshot::Sender<()>,
}

/// Serves `routes` to everyone who connects. When `shutdown` ends it stops listening, tells the clients to go away, and
/// returns when the calls in flight are done; the caller bounds that wait.
pub async fn serve(
    mut listener: Box<dyn Listener>,
    routes: Routes,
    settings: ServerSettings,
    shutdown: impl Future<Output = ()> + Send,
) {
    let budget = WindowBudget::new(settings.windows_total_bytes, settings.connection_window_bytes_max);
    let slots = Arc::new(Semaphore::new(settings.connections_max));
    let (stop, stopped) = watch::channel(false);
    let routes = routes.prepare();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let trouble = Seldom::new();
    loop {
        let (stream, slot) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&mut *listener, &slots, &trouble) => accepted,
        };
        let held = (budget.lease(), slot);
        connections.spawn(connection(stream, held, routes.clone(), settings.clone(), stopped.clone()));
    }
    drop(listener);
    let _ = stop.send(true);
    while connections.join_next().await.is_some() {}
}

/// The next connection, once there is room for one. A shortage of file handles is waited for.
async fn accept(
    listener: &mut dyn Listener,
    slots: &Arc<Semaphore>,
    trouble: &Seldom,
) -> (Box<dyn Connection>, OwnedSemaphorePermit) {
    let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(error) if concerns_one_connection(&error) => debug!(%error, "a connection ended before it began"),
            Err(error) => {
                if let Some(held_back) = trouble.turn() {
                    warn!(%error, held_back, "cannot accept connections, trying again");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// One connection has its own tonic server, because windows are settings of a server.
async fn connection(
    stream: Box<dyn Connection>,
    (window, slot): (WindowLease, OwnedSemaphorePermit),
    routes: Routes,
    settings: ServerSettings,
    mut stopped: watch::Receiver<bool>,
) {
    let (closed, until_closed) = oneshot::channel();
    let mut server = Server::builder()
        .initial_connection_window_size(window.bytes)
        .initial_stream_window_size(window.bytes.min(settings.stream_window_bytes_max))
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_streams(settings.streams_per_connection_max)
        .http2_max_pending_accept_reset_streams(Some(settings.reset_streams_max))
        .http2_max_local_error_reset_streams(Some(settings.reset_streams_max))
        .http2_keepalive_interval(Some(settings.keepalive_interval))
        .http2_keepalive_timeout(Some(settings.keepalive_timeout));
    let io = Io::new(stream, Held { _window: window, _slot: slot, _closed: closed });
    let incoming = stream::iter([Ok::<_, io::Error>(io)]).chain(stream::pending());
    let ended = async move {
        tokio::select! {
            biased;
            _ = until_closed => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    };
    if let Err(error) = server.add_routes(routes).serve_with_incoming_shutdown(incoming, ended).await {
        debug!(%error, "a connection could not be served");
    }
}
