//! Clients that hold much open and do nothing: memory is bounded, and others are served.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use eagre_proto::v1::{ProduceStreamRequest, ProduceStreamResponse, produce_service_client::ProduceServiceClient};
use futures::future::try_join_all;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::support::{Produce, Server, dev, wait_until};

const STREAMS: usize = 10_000;
const CONNECTIONS: usize = 25;
/// Measured are 6 KiB.
const STREAM_BYTES_MAX: usize = 20 << 10;
/// Measured are 22 KiB.
const CONNECTION_BYTES_MAX: usize = 60 << 10;

fn resident_bytes(server: &Server) -> usize {
    usize::try_from(server.memory_kib("VmRSS:")).unwrap() << 10
}

fn metric(server: &Server, name: &str) -> f64 {
    let (_, page) = server.get("/metrics").unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
    line.trim().parse().unwrap()
}

/// A producer is served.
fn appends(server: &Server) {
    let mut producer = Produce::start(&server.endpoint(), &["t"]);
    producer.line("one");
    assert!(producer.finish().status.success());
}

/// The answers of a stream that sends nothing, and never ends.
async fn idle_stream(mut client: ProduceServiceClient<Channel>) -> Result<Streaming<ProduceStreamResponse>, Status> {
    Ok(client.produce_stream(futures::stream::pending::<ProduceStreamRequest>()).await?.into_inner())
}

#[test]
fn ten_thousand_idle_streams_take_bounded_memory() {
    let mut command = dev("memory://", "127.0.0.1:0", "127.0.0.1:0");
    // The usual limit has room for half of them, and refuses the rest.
    let server = Server::spawn(command.args(["--memory-limit", "1GiB"]));
    server.run(&["topic", "create", "t", "--partitions", "1"]);
    appends(&server);
    let before = resident_bytes(&server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let held = runtime.block_on(async {
        let mut held = Vec::with_capacity(STREAMS);
        for _ in 0..CONNECTIONS {
            let channel = Endpoint::new(server.endpoint()).unwrap().connect().await.unwrap();
            let client = ProduceServiceClient::new(channel);
            for _ in 0..STREAMS / CONNECTIONS / 100 {
                held.extend(try_join_all((0..100).map(|_| idle_stream(client.clone()))).await.unwrap());
            }
        }
        held
    });
    assert_eq!(metric(&server, "eagre_gateway_streams"), STREAMS as f64);
    appends(&server);
    let grown = resident_bytes(&server).saturating_sub(before);
    println!("{STREAMS} idle streams take {} KiB each", (grown / STREAMS) >> 10);
    assert!(grown < STREAMS * STREAM_BYTES_MAX, "{grown} bytes");
    runtime.block_on(async move { drop(held) });
    drop(runtime);
    wait_until("the streams end with their connections", || metric(&server, "eagre_gateway_streams") == 0.0);
    appends(&server);
}

#[test]
fn idle_connections_take_bounded_memory_and_no_more_than_are_allowed() {
    const ALLOWED: usize = 500;
    let mut command = dev("memory://", "127.0.0.1:0", "127.0.0.1:0");
    let server = Server::spawn(command.args(["--max-connections", &ALLOWED.to_string()]));
    server.run(&["topic", "create", "t", "--partitions", "1"]);
    let before = resident_bytes(&server);
    // One is left for a producer.
    let mut held: Vec<TcpStream> = (0..ALLOWED - 1).map(|_| begun(&server.grpc)).collect();
    wait_until("they are all there", || metric(&server, "eagre_connections{port=\"grpc\"}") == (ALLOWED - 1) as f64);
    appends(&server);
    let grown = resident_bytes(&server).saturating_sub(before);
    println!("{ALLOWED} idle connections take {} KiB each", (grown / ALLOWED) >> 10);
    assert!(grown < ALLOWED * CONNECTION_BYTES_MAX, "{grown} bytes");
    held.push(begun(&server.grpc));
    wait_until("the last one is there", || metric(&server, "eagre_connections{port=\"grpc\"}") == ALLOWED as f64);
    let mut refused = TcpStream::connect(&server.grpc).unwrap();
    refused.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // Closed, or reset.
    assert!(!matches!(refused.read(&mut [0]), Ok(1..)));
    assert_eq!(metric(&server, "eagre_connections_refused_total{port=\"grpc\",bound=\"total\"}"), 1.0);
    // The HTTP port has connections of its own, so one can still see what is going on.
    assert_eq!(server.get("/readyz").unwrap().0, 200);
}

/// A connection that has begun to speak, and says no more.
fn begun(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    stream
}
