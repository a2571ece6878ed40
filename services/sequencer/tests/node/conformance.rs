//! One suite, in process and over gRPC.

use std::sync::Arc;

use eagre_env::{Network, TcpNetwork};
use eagre_model::ShardId;
use eagre_sequencer_api::{
    Peers, Pinged, Sequencer, conformance,
    remote::{GrpcPeers, RemoteSequencer},
    server::SequencerServer,
};
use eagre_transport::{ChannelSettings, ServerSettings};
use tokio_util::sync::CancellationToken;

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn in_process() {
    let node = World::new().node("one").await;
    node.start().await.unwrap();
    conformance::check(node.as_ref()).await;
    node.stop().await;
}

#[tokio::test]
async fn over_grpc() {
    let node = World::new().node("one").await;
    let network = Arc::new(TcpNetwork);
    let listener = network.listen("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr());
    let service = SequencerServer::new(node.clone(), node.clone(), ShardId::FIRST).into_service();
    let stop = CancellationToken::new();
    let routes = tonic::service::Routes::new(service);
    let serve = eagre_transport::serve(listener, routes, ServerSettings::default(), stop.clone().cancelled_owned());
    let server = tokio::spawn(serve);
    let channel = eagre_transport::channel(network.clone(), &address, &ChannelSettings::default()).unwrap();
    let remote = RemoteSequencer::new(channel.clone(), ShardId::FIRST);
    assert!(remote.join().await.is_err(), "it has not started");
    assert!(remote.open_commits(1).await.is_err());

    node.start().await.unwrap();
    conformance::check(&remote).await;
    let peers = GrpcPeers::new(network);
    let answer = peers.ping(&address, ShardId::FIRST).await.unwrap();
    assert_eq!(answer, node.ping().await);
    assert!(answer.healthy && answer.claim == 1);
    assert_eq!(peers.ping(&address, ShardId(7)).await, None);
    assert!(RemoteSequencer::new(channel, ShardId(7)).join().await.is_err());

    let joined = remote.join().await.unwrap();
    let mut stream = remote.open_commits(joined.incarnation).await.unwrap();
    let mut updates = remote.subscribe().await.unwrap();
    node.stop().await;
    assert_eq!(stream.replies.recv().await, None);
    while updates.recv().await.is_some() {}
    assert!(remote.create_topic("late", None).await.is_err());
    stop.cancel();
    server.await.unwrap();
}
