//! Who may connect: bounds on connections of a port, in all and from one source, and on how long one may take to begin.
//!
//! A connection beyond a bound is closed as soon as it is accepted, so that it costs no more than that; one that is left
//! in the listener's backlog would keep others from getting in.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use eagre_env::{HashMap, Listener};
use eagre_trace::Seldom;
use tracing::{debug, warn};

use crate::{
    guarded::Guarded,
    metrics,
    peers::{PeerLease, PeerMemory},
    rate::Rates,
};

/// The bounds of the connections of one port. As many as may be open may be made in ten seconds, and twice as
/// many at once.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionBounds {
    /// Connections of all sources together.
    pub connections_max: usize,
    /// Connections from one address, or from one IPv6 network of 64 bits. Those of this machine itself are not counted: a
    /// proxy here stands for many clients.
    pub connections_per_source_max: usize,
    /// A connection that has not begun to speak the protocol after so long is closed.
    pub opening_max: Duration,
}

impl Default for ConnectionBounds {
    fn default() -> Self {
        Self { connections_max: 12_000, connections_per_source_max: 1_000, opening_max: Duration::from_secs(10) }
    }
}

/// Which port that is, and how much has to come before a connection has begun to speak its protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// HTTP/2 without encryption.
    Grpc,
    /// HTTP/1.
    Http,
}

impl Port {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }

    /// HTTP/2's preface with an empty SETTINGS frame; the shortest request of HTTP/1.
    pub(crate) fn opening_bytes(self) -> usize {
        match self {
            Self::Grpc => 24 + 9,
            Self::Http => 18,
        }
    }
}

/// Between two attempts to accept while the system refuses them.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts the connections of one port.
pub struct Acceptor {
    listener: Box<dyn Listener>,
    port: Port,
    bounds: ConnectionBounds,
    memory: PeerMemory,
    inside: Arc<Mutex<Inside>>,
    rates: Rates,
    trouble: Seldom,
    full: Seldom,
}

/// Who is inside.
#[derive(Debug, Default)]
struct Inside {
    connections: usize,
    /// Bounded by the connections.
    by_source: HashMap<IpAddr, usize>,
}

/// A place inside; given back when dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    inside: Arc<Mutex<Inside>>,
    /// `None`: it is not counted by its source.
    source: Option<IpAddr>,
    port: Port,
    _memory: PeerLease,
}

/// Which bound a connection is beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Total,
    Source,
    Memory,
    /// Too many were made of late.
    Rate,
    /// By this source.
    SourceRate,
}

impl Full {
    pub fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Source => "source",
            Self::Memory => "memory",
            Self::Rate => "rate",
            Self::SourceRate => "source_rate",
        }
    }
}

impl Acceptor {
    /// Takes connections out of `listener`, which is that port, as long as there is memory for them.
    pub fn new(listener: Box<dyn Listener>, port: Port, bounds: ConnectionBounds, memory: PeerMemory) -> Self {
        metrics::describe();
        metrics::connections(port, 0);
        let rates = Rates::new(bounds.connections_max, bounds.connections_per_source_max);
        let (inside, trouble, full) = (Arc::default(), Seldom::new(), Seldom::new());
        Self { listener, port, bounds, memory, inside, rates, trouble, full }
    }

    /// The address bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// The next connection that may come in. A shortage of file handles is waited for. Dropping the future loses none.
    pub async fn next(&mut self) -> Guarded {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => match self.enter(peer.ip()) {
                    Ok(entry) => return Guarded::new(stream, entry, self.port, self.bounds.opening_max),
                    Err(full) => self.turn_away(full, peer),
                },
                Err(error) if concerns_one_connection(&error) => debug!(%error, "a connection ended before it began"),
                Err(error) => {
                    if let Some(held_back) = self.trouble.turn() {
                        warn!(%error, held_back, port = self.port.name(), "cannot accept connections, trying again");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn enter(&mut self, address: IpAddr) -> Result<Entry, Full> {
        let source = source_of(address);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.connections >= self.bounds.connections_max {
            return Err(Full::Total);
        }
        if let Some(source) = source {
            let of_source = inside.by_source.get(&source).copied().unwrap_or(0);
            if of_source >= self.bounds.connections_per_source_max {
                return Err(Full::Source);
            }
        }
        let memory = self.memory.connection().ok_or(Full::Memory)?;
        // Its source first: what one is refused, others do not lack.
        if source.is_some_and(|source| !self.rates.take_of(source)) {
            return Err(Full::SourceRate);
        }
        if !self.rates.take() {
            return Err(Full::Rate);
        }
        if let Some(source) = source {
            *inside.by_source.entry(source).or_default() += 1;
        }
        inside.connections += 1;
        metrics::connections(self.port, inside.connections);
        Ok(Entry { inside: self.inside.clone(), source, port: self.port, _memory: memory })
    }

    fn turn_away(&self, full: Full, peer: SocketAddr) {
        metrics::refused(self.port, full);
        if let Some(held_back) = self.full.turn() {
            let (port, bound) = (self.port.name(), full.name());
            warn!(%peer, port, bound, held_back, "connections are refused, there are too many, or too many are made");
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.connections -= 1;
        metrics::connections(self.port, inside.connections);
        if let Some(source) = self.source {
            let left = inside.by_source.get(&source).copied().unwrap_or(0).saturating_sub(1);
            if left == 0 {
                inside.by_source.remove(&source);
            } else {
                inside.by_source.insert(source, left);
            }
        }
    }
}

/// By what the connections of an address are counted: whoever has an IPv6 address has 2^64 of them. `None`: this machine.
fn source_of(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V6(address) => Some(IpAddr::V6((address.to_bits() >> 64 << 64).into())),
        address @ IpAddr::V4(_) => Some(address),
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_networks() {
        let source = |address: &str| source_of(address.parse().expect("an address"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        for own in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(source(own), None, "{own}");
        }
    }
}
