//! One suite, in process and over gRPC.

use std::sync::Arc;

use eagre_env::{Network, TcpNetwork};
use eagre_model::ShardId;
use eagre_sequencer_api::{
    CreateTopicError, Peers, Pinged, Sequencer, SequencerError, TopicError, conformance,
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
    // It has not started: that nothing was done is known on this side too.
    let refused = remote.create_topic("early", None).await;
    assert!(matches!(refused, Err(CreateTopicError::Sequencer(SequencerError::Unavailable(_)))), "{refused:?}");
    assert!(matches!(remote.join().await, Err(SequencerError::Unavailable(_))));
    assert!(matches!(remote.open_commits(1).await, Err(SequencerError::Unavailable(_))));

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

#[tokio::test]
async fn what_a_broken_connection_leaves_open_is_said() {
    let network = Arc::new(TcpNetwork);
    let listener = network.listen("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr());
    // Takes connections and ends them: what was sent may have arrived.
    let server = tokio::spawn(async move {
        let mut listener = listener;
        while let Ok((connection, _)) = listener.accept().await {
            drop(connection);
        }
    });
    let channel = eagre_transport::channel(network, &address, &ChannelSettings::default()).unwrap();
    let remote = RemoteSequencer::new(channel, ShardId::FIRST);
    let created = remote.create_topic("flights", None).await;
    assert!(matches!(created, Err(CreateTopicError::Sequencer(SequencerError::OutcomeUnknown(_)))), "{created:?}");
    let deleted = remote.delete_topic("flights").await;
    assert!(matches!(deleted, Err(TopicError::Sequencer(SequencerError::OutcomeUnknown(_)))), "{deleted:?}");
    let read = remote.topic("flights").await;
    assert!(matches!(read, Err(TopicError::Sequencer(SequencerError::Unavailable(_)))), "{read:?}");
    assert!(matches!(remote.bounds(&[]).await, Err(SequencerError::Unavailable(_))));
    assert!(matches!(remote.init_producer().await, Err(SequencerError::Unavailable(_))));
    assert!(remote.open_commits(1).await.is_err());
    server.abort();
}
