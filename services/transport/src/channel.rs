//! Reaching a server.

use std::{sync::Arc, time::Duration};

use eagre_env::{Network, redacted_address};
use http::Uri;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};

use crate::{FRAME_BYTES, connection::Io};

/// How a client reaches a server.
#[derive(Debug, Clone)]
pub struct ChannelSettings {
    /// How long a connection attempt may take.
    pub connect_timeout: Duration,
    /// How many bytes one answer stream may have in flight to us.
    pub stream_window_bytes: u32,
    /// How many bytes all answer streams of the connection may have in flight to us.
    pub connection_window_bytes: u32,
    /// How often a connection with open streams is probed.
    pub keepalive_interval: Duration,
    /// After so long without an answer to a probe the connection is given up.
    pub keepalive_timeout: Duration,
}

impl Default for ChannelSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            stream_window_bytes: 4 << 20,
            connection_window_bytes: 8 << 20,
            keepalive_interval: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(10),
        }
    }
}

/// The endpoint cannot be used; says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("endpoint {:?}: {reason}", redacted_address(.endpoint))]
pub struct InvalidEndpoint {
    endpoint: String,
    reason: &'static str,
}

/// A channel to `http://host:port`. It connects with the first call, and anew whenever the connection is lost; calls fail
/// with `UNAVAILABLE` while there is none. One channel is one connection.
pub fn channel(
    network: Arc<dyn Network>,
    endpoint: &str,
    settings: &ChannelSettings,
) -> Result<Channel, InvalidEndpoint> {
    let invalid = |reason| InvalidEndpoint { endpoint: endpoint.to_owned(), reason };
    let uri: Uri = endpoint.parse().map_err(|_| invalid("not a URL; write http://host:port"))?;
    if uri.scheme_str() != Some("http") {
        return Err(invalid("write http://host:port"));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(invalid("a path has no meaning here; write http://host:port"));
    }
    let authority = uri.authority().ok_or_else(|| invalid("the host is missing; write http://host:port"))?;
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => 80,
        Some(rest) => rest
            .strip_prefix(':')
            .and_then(|port| port.parse::<u16>().ok())
            .ok_or_else(|| invalid("the port is not a number up to 65535; write http://host:port"))?,
        None => return Err(invalid("a user has no meaning here; write http://host:port")),
    };
    // An IPv6 address stands in brackets in a URL, and without them everywhere else.
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err(invalid("the host is missing; write http://host:port"));
    }
    let connector = tower::service_fn(move |_: Uri| {
        let (network, host) = (network.clone(), host.clone());
        async move {
            let stream = network.connect(&host, port).await?;
            Ok::<_, std::io::Error>(TokioIo::new(Io::new(stream, ())))
        }
    });
    let endpoint = Endpoint::from(uri)
        .connect_timeout(settings.connect_timeout)
        .initial_stream_window_size(settings.stream_window_bytes)
        .initial_connection_window_size(settings.connection_window_bytes)
        .max_frame_size(FRAME_BYTES)
        .http2_keep_alive_interval(settings.keepalive_interval)
        .keep_alive_timeout(settings.keepalive_timeout);
    Ok(endpoint.connect_with_connector_lazy(connector))
}
