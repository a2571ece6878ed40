//! The proxy between a small service and a raw client.

mod client;
mod fetch;
mod produce;
mod upstream;

use std::time::Duration;

use eagre_loadtest_stubs::v1::{CreateTopicRequest, FetchEnd, InitProducerRequest, ListTopicsRequest};
use tokio::time::Instant;
use tonic::{Code, Request};

use self::{client::*, upstream::Upstream};
use crate::{Fault, Proxy, ProxyError};

async fn proxy_at(endpoint: &str, fault: Fault) -> Proxy {
    Proxy::start("127.0.0.1:0", endpoint, fault, 7).await.unwrap()
}

async fn proxy_to(upstream: &Upstream, fault: Fault) -> Proxy {
    proxy_at(&upstream.endpoint, fault).await
}

/// A service, a proxy with a fault before it and a client of the proxy.
async fn world(fault: Fault) -> (Upstream, Proxy, Client) {
    let upstream = Upstream::start().await;
    let proxy = proxy_to(&upstream, fault).await;
    let client = Client::of(&proxy).await;
    (upstream, proxy, client)
}

#[tokio::test]
async fn without_a_fault_everything_passes_as_it_is() {
    let (upstream, proxy, mut client) = world(Fault::None).await;
    let sent = (0..100).map(|place| (0, of_producer(1, place))).collect();
    let answers = client.stream(sent).await;
    let offsets: Vec<_> = answers.iter().map(|(_, outcome)| acked(outcome).unwrap()).collect();
    assert_eq!(offsets, (0..200).step_by(2).collect::<Vec<_>>());
    assert!(client.send(of_producer(1, 7)).await.unwrap().duplicate);
    assert_eq!(client.bytes(EARLIEST).await, upstream.stored(0).concat());
    assert_eq!(client.read(client::LATEST).await, []);
    assert_eq!(client.offset(LATEST).await.unwrap().offset, 200);
    let identity = client.produce.init_producer(InitProducerRequest {}).await.unwrap().into_inner();
    assert_eq!(identity.max_in_flight_per_partition, 5);
    assert_eq!(proxy.done(), 0);
}

#[tokio::test]
async fn metadata_and_statuses_pass() {
    let (_upstream, _proxy, mut client) = world(Fault::None).await;
    let mut call = Request::new(ListTopicsRequest::default());
    call.metadata_mut().insert("x-say", "hello".parse().unwrap());
    assert_eq!(client.topics.list_topics(call).await.unwrap().into_inner().next_page_token, "hello");
    let refused = client.topics.create_topic(CreateTopicRequest { name: "t".into(), ..Default::default() }).await;
    let status = refused.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::AlreadyExists, "t"));
}

#[tokio::test]
async fn hardships_of_connections_change_nothing_that_is_said() {
    for fault in [Fault::Delay, Fault::Stall] {
        let (upstream, proxy, mut client) = world(fault).await;
        let begin = Instant::now();
        client.stream((0..20).map(|place| (0, of_producer(1, place))).collect()).await;
        assert_eq!(client.bytes(EARLIEST).await, upstream.stored(0).concat());
        if fault == Fault::Delay {
            assert!(begin.elapsed() >= Duration::from_millis(100), "two calls, one after the other");
            assert!(proxy.done() >= 2);
        }
        proxy.stop().await;
    }
}

#[tokio::test]
async fn connections_are_cut_and_can_be_made_again() {
    let (_upstream, proxy, mut client) = world(Fault::Reset).await;
    let mut messages = client.open(EARLIEST, FetchEnd::Follow).await.unwrap();
    let cut = tokio::time::timeout(Duration::from_secs(5), messages.message()).await.unwrap();
    assert!(cut.is_err() && proxy.done() >= 1);
    Client::of(&proxy).await.send(of_producer(1, 0)).await.unwrap();
}

#[tokio::test]
async fn stopping_cuts_everything() {
    for fault in [Fault::None, Fault::SwapOnRead, Fault::Delay] {
        let (upstream, proxy, mut client) = world(fault).await;
        upstream.append(0, &of_producer(1, 0));
        let mut messages = client.open(EARLIEST, FetchEnd::Follow).await.unwrap();
        messages.message().await.unwrap().unwrap();
        tokio::time::timeout(Duration::from_secs(5), proxy.stop()).await.expect("nothing holds it up");
        let end = tokio::time::timeout(Duration::from_secs(5), messages.message()).await.unwrap();
        assert!(end.is_err(), "{fault:?}");
        assert!(client.send(of_producer(1, 1)).await.is_err());
    }
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_with_the_reason() {
    for upstream in ["127.0.0.1:9092", "https://127.0.0.1:1", "http://host", "http://host:1/path", "", "kafka://h:1"] {
        let refused = Proxy::start("127.0.0.1:0", upstream, Fault::None, 0).await.unwrap_err();
        assert!(matches!(refused, ProxyError::Upstream(_)), "{upstream}");
    }
    let taken = proxy_at("http://127.0.0.1:9", Fault::None).await;
    let address = taken.address().replace("http://", "");
    let refused = Proxy::start(&address, "http://127.0.0.1:9", Fault::None, 0).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("cannot listen at {address}"));
}
