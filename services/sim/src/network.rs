//! The simulated network: turmoil's hosts, links and TCP behind [`eagre_env::Network`].
//!
//! turmoil drops what is sent over a partitioned link and never sends it again, so that a connection over it is dead
//! without a word, as behind a firewall that forgot it. Real TCP mostly recovers or is reset: [`Links::reset`] does the
//! latter, holding back and releasing (turmoil's own) the former.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use eagre_env::{Connection, Listener, Network};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// All connections of the simulation, so that they can be reset.
#[derive(Debug, Default, Clone)]
pub struct Links {
    ends: Arc<Mutex<Vec<Weak<End>>>>,
}

/// One end of a connection.
#[derive(Debug)]
struct End {
    between: (String, String),
    state: Mutex<EndState>,
}

#[derive(Debug, Default)]
struct EndState {
    is_reset: bool,
    wakers: Vec<Waker>,
}

impl Links {
    /// Resets every connection between two hosts, at both ends.
    pub fn reset(&self, one: &str, other: &str) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.retain(|end| end.strong_count() > 0);
        for end in ends.iter().filter_map(Weak::upgrade) {
            let (near, far) = (end.between.0.as_str(), end.between.1.as_str());
            if (near, far) == (one, other) || (near, far) == (other, one) {
                let mut state = end.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.is_reset = true;
                state.wakers.drain(..).for_each(Waker::wake);
            }
        }
    }

    fn end(&self, near: &str, far: &str) -> Arc<End> {
        let end = Arc::new(End { between: (near.to_owned(), far.to_owned()), state: Mutex::default() });
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&end));
        end
    }
}

/// The network of one host.
#[derive(Debug, Clone)]
pub struct TurmoilNetwork {
    host: Arc<str>,
    links: Links,
}

struct TurmoilSocket {
    network: TurmoilNetwork,
    listener: turmoil::net::TcpListener,
    address: SocketAddr,
}

struct Stream {
    inner: turmoil::net::TcpStream,
    end: Arc<End>,
}

impl TurmoilNetwork {
    /// The network as this host sees it.
    pub fn new(host: &str, links: &Links) -> Self {
        Self { host: host.into(), links: links.clone() }
    }
}

#[async_trait]
impl Network for TurmoilNetwork {
    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let (_, port) = address.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
        let port: u16 = port.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
        // A simulated host has one address; turmoil binds the unspecified one only.
        let listener = turmoil::net::TcpListener::bind(("0.0.0.0", port)).await?;
        let address = listener.local_addr()?;
        Ok(Box::new(TurmoilSocket { network: self.clone(), listener, address }))
    }

    async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Connection>> {
        let inner = turmoil::net::TcpStream::connect((host, port)).await?;
        Ok(Box::new(Stream { inner, end: self.links.end(&self.host, host) }))
    }
}

#[async_trait]
impl Listener for TurmoilSocket {
    fn local_addr(&self) -> SocketAddr {
        self.address
    }

    async fn accept(&mut self) -> io::Result<(Box<dyn Connection>, SocketAddr)> {
        let (inner, peer) = self.listener.accept().await?;
        let far = turmoil::reverse_lookup(peer.ip()).unwrap_or_default();
        Ok((Box::new(Stream { inner, end: self.network.links.end(&self.network.host, &far) }), peer))
    }
}

impl End {
    /// Fails once the connection is reset; else sees to it that the task is woken when it is.
    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            state.wakers.push(context.waker().clone());
        }
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.end.check(context)?;
        Pin::new(&mut self.inner).poll_read(context, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.end.check(context)?;
        Pin::new(&mut self.inner).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
