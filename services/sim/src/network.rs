//! The simulated network: turmoil's hosts, links and TCP behind [`eagre_env::Network`].

use std::{io, net::SocketAddr};

use async_trait::async_trait;
use eagre_env::{Connection, Listener, Network};

/// The network of the host that is running.
#[derive(Debug, Clone, Copy)]
pub struct TurmoilNetwork;

struct TurmoilSocket {
    listener: turmoil::net::TcpListener,
    address: SocketAddr,
}

#[async_trait]
impl Network for TurmoilNetwork {
    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let (_, port) = address.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
        let port: u16 = port.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
        // A simulated host has one address; turmoil binds the unspecified one only.
        let listener = turmoil::net::TcpListener::bind(("0.0.0.0", port)).await?;
        let address = listener.local_addr()?;
        Ok(Box::new(TurmoilSocket { listener, address }))
    }

    async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Connection>> {
        Ok(Box::new(turmoil::net::TcpStream::connect((host, port)).await?))
    }
}

#[async_trait]
impl Listener for TurmoilSocket {
    fn local_addr(&self) -> SocketAddr {
        self.address
    }

    async fn accept(&mut self) -> io::Result<(Box<dyn Connection>, SocketAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        Ok((Box::new(stream), peer))
    }
}
