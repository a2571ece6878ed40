//! Serving and reaching a server over pipes in memory.

#![cfg(test)]

mod attacks;
mod raw;
mod world;

use std::{sync::Arc, time::Duration};

use eagre_env::Network;
use eagre_proto::v1::{topic_service_client::TopicServiceClient, *};
use eagre_transport::{ChannelSettings, ServerSettings, channel};
use tokio::time::timeout;
use tonic::Code;

use crate::world::{Pipes, World, echo};

#[tokio::test(start_paused = true)]
async fn errors_of_accepting_do_not_end_the_loop() {
    let world = World::new(ServerSettings::default()).await;
    let answer = world.client().list_topics(echo("here")).await.unwrap().into_inner();
    assert_eq!(answer.next_page_token, "here");
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_calls_in_flight_finish() {
    let World { network, go, stop, mut server } = World::new(ServerSettings::default()).await;
    let channel = channel(network.clone(), "http://server:1", &ChannelSettings::default()).unwrap();
    let mut client = TopicServiceClient::new(channel);
    client.list_topics(echo("connected")).await.unwrap();
    let call = tokio::spawn(async move { client.delete_topic(DeleteTopicRequest::default()).await });
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    stop.send(()).unwrap();
    assert!(timeout(Duration::from_secs(1), &mut server).await.is_err(), "a call is in flight");
    go.add_permits(1);
    call.await.unwrap().unwrap();
    server.await.unwrap();
    let late = eagre_transport::channel(network, "http://server:1", &ChannelSettings::default()).unwrap();
    let refused = TopicServiceClient::new(late).list_topics(echo("late")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
}

#[test]
fn endpoints_are_checked() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = runtime.enter();
    let network: Arc<dyn Network> = Arc::new(Pipes::default());
    let check = |endpoint| channel(network.clone(), endpoint, &ChannelSettings::default()).map(drop);
    for good in ["http://localhost:8070", "http://localhost", "http://127.0.0.1:1/", "http://[::1]:8070"] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "localhost:8070",
        "https://localhost:8070",
        "http://",
        "http://a:b",
        "http://a:99999",
        "http://u@a:1",
        "http://:1",
        "http://a/b",
        "http://a?b",
        "a b",
    ] {
        let error = check(bad).expect_err(bad).to_string();
        assert!(error.contains("http://host:port"), "{bad}: {error}");
    }
}
