//! Listening and connecting: TCP in a real process, the simulated network in a simulation.

use std::{io, net::SocketAddr};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream to a peer.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Connection for T {}

/// The network of one host. Real: [`TcpNetwork`]; the simulation has one over turmoil.
#[async_trait]
pub trait Network: Send + Sync + std::fmt::Debug {
    /// Binds a socket; `address` is `host:port`, port 0 takes a free one.
    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>>;

    /// Connects to `host:port`.
    async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Connection>>;
}

/// A bound socket.
#[async_trait]
pub trait Listener: Send + Sync {
    /// The address bound, with the port that was taken.
    fn local_addr(&self) -> SocketAddr;

    /// The next connection. Errors of a single connection and a shortage of file handles are returned; the caller goes on
    /// accepting after a pause.
    async fn accept(&mut self) -> io::Result<(Box<dyn Connection>, SocketAddr)>;
}

/// TCP of the operating system, without Nagle's delay.
#[derive(Debug, Clone, Copy)]
pub struct TcpNetwork;

struct TcpSocket(tokio::net::TcpListener, SocketAddr);

#[async_trait]
impl Network for TcpNetwork {
    #[expect(clippy::disallowed_methods, reason = "this is the real network that is injected")]
    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        Ok(Box::new(TcpSocket(listener, local)))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the real network that is injected")]
    async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Connection>> {
        let stream = tokio::net::TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

#[async_trait]
impl Listener for TcpSocket {
    fn local_addr(&self) -> SocketAddr {
        self.1
    }

    async fn accept(&mut self) -> io::Result<(Box<dyn Connection>, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok((Box::new(stream), peer))
    }
}
