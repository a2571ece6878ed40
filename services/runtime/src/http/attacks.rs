//! Peers of the HTTP port that mean no good: each is cut off, and others are served meanwhile.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use async_trait::async_trait;
use eagre_env::{Connection, Listener};
use eagre_transport::{ConnectionBounds, PeerMemory, Port};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::*;

const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const NEIGHBOUR: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";

type Accepted = (Box<dyn Connection>, SocketAddr);

struct Pipes(mpsc::Receiver<Accepted>);

#[async_trait]
impl Listener for Pipes {
    fn local_addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 1))
    }

    async fn accept(&mut self) -> io::Result<Accepted> {
        match self.0.recv().await {
            Some(accepted) => Ok(accepted),
            None => std::future::pending().await,
        }
    }
}

struct Starting;

#[async_trait]
impl Observed for Starting {
    fn render_metrics(&self) -> String {
        String::new()
    }

    async fn ready(&self) -> Result<(), String> {
        Err("starting".into())
    }

    fn api(&self) -> Option<Router> {
        None
    }
}

struct World {
    connections: mpsc::Sender<Accepted>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl World {
    fn new(connections_max: usize, connections_per_source_max: usize) -> Self {
        let (connections, accepted) = mpsc::channel(1);
        let bounds = ConnectionBounds { connections_max, connections_per_source_max, ..ConnectionBounds::default() };
        let acceptor = Acceptor::new(Box::new(Pipes(accepted)), Port::Http, bounds, PeerMemory::default());
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(acceptor, Arc::new(Starting), Router::new(), stop.clone()));
        Self { connections, stop, server }
    }

    async fn connect(&self, from: IpAddr) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let accepted: Accepted = (Box::new(theirs), SocketAddr::new(from, 1));
        assert!(self.connections.send(accepted).await.is_ok(), "it accepts");
        ours
    }

    async fn is_served(&self) {
        let mut stream = self.connect(NEIGHBOUR).await;
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
    }
}

/// The answer to a request, which is a short one.
async fn ask(stream: &mut DuplexStream) -> String {
    let mut answer = vec![0; 4_096];
    stream.write_all(REQUEST).await.expect("it takes the request");
    let bytes = timeout(Duration::from_secs(1), stream.read(&mut answer)).await.expect("in time").expect("an answer");
    String::from_utf8_lossy(&answer[..bytes]).into_owned()
}

/// What comes until the connection is closed.
async fn until_closed(mut stream: DuplexStream) -> String {
    let mut all = Vec::new();
    // However it ends.
    drop(stream.read_to_end(&mut all).await);
    String::from_utf8_lossy(&all).into_owned()
}

/// Sends byte by byte, one a second, until the connection ends; when that was.
async fn dripped(mut stream: DuplexStream, bytes: Vec<u8>) -> Duration {
    let began = Instant::now();
    for byte in bytes {
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn who_does_not_begin_or_drips_is_cut_off() {
    let world = World::new(10, 10);
    let began = Instant::now();
    let silent = world.connect(STRANGER).await;
    let drip = world.connect(STRANGER).await;
    let head = [&REQUEST[..REQUEST.len() - 2], &b"x: ".repeat(100)[..]].concat();
    let drip = tokio::spawn(dripped(drip, head));
    world.is_served().await;
    until_closed(silent).await;
    assert_eq!(began.elapsed().as_secs(), 10);
    let lasted = drip.await.expect("no panic").as_secs();
    assert!(lasted <= HEAD_MAX.as_secs() + 1, "{lasted}");
    world.is_served().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_for_the_next_request_but_not_for_ever() {
    let world = World::new(10, 10);
    let mut stream = world.connect(STRANGER).await;
    for _ in 0..3 {
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
        sleep(HEAD_MAX - Duration::from_secs(1)).await;
    }
    let idle = Instant::now();
    until_closed(stream).await;
    assert!(idle.elapsed() <= HEAD_MAX, "{:?}", idle.elapsed());
}

#[tokio::test(start_paused = true)]
async fn heads_are_bounded() {
    let world = World::new(10, 10);
    let long = [b"GET / HTTP/1.1\r\nlong: ", &[b'x'; 2 * HEAD_BYTES_MAX][..], b"\r\n\r\n"].concat();
    let many = [b"GET / HTTP/1.1\r\n", &b"x: y\r\n".repeat(1_000)[..], b"\r\n"].concat();
    for (what, head) in [("long", long), ("many headers", many)] {
        let mut stream = world.connect(STRANGER).await;
        // It may end before all of it is sent.
        drop(stream.write_all(&head).await);
        let answer = until_closed(stream).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{what}: {answer:?}");
    }
    world.is_served().await;
}

#[tokio::test(start_paused = true)]
async fn connections_are_bounded_in_all_and_by_source() {
    let world = World::new(4, 2);
    let held = [world.connect(STRANGER).await, world.connect(STRANGER).await];
    for _ in 0..1_000 {
        assert_eq!(until_closed(world.connect(STRANGER).await).await, "", "closed at once");
    }
    world.is_served().await;
    let others = [world.connect(NEIGHBOUR).await, world.connect(NEIGHBOUR).await];
    assert_eq!(until_closed(world.connect(Ipv4Addr::LOCALHOST.into()).await).await, "", "four are open");
    drop(held);
    sleep(Duration::from_millis(1)).await;
    let mut stream = world.connect(STRANGER).await;
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
    drop(others);
}

#[tokio::test(start_paused = true)]
async fn who_takes_no_answers_is_cut_off() {
    let world = World::new(10, 10);
    let mut stream = world.connect(STRANGER).await;
    let began = Instant::now();
    // Requests until the answers to them fill the pipe, and then the requests do.
    while stream.write_all(REQUEST).await.is_ok() {}
    assert!((60..90).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    world.is_served().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_no_idle_connection() {
    let world = World::new(10, 10);
    let mut used = world.connect(STRANGER).await;
    ask(&mut used).await;
    let began = Instant::now();
    world.stop.cancel();
    world.server.await.expect("no panic");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
