//! What a service says of itself to those who have not read its files.

use tokio_stream::StreamExt as _;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::support::Server;

async fn channel(server: &Server) -> Channel {
    Channel::from_shared(server.endpoint()).unwrap().connect().await.unwrap()
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn health_is_that_of_readyz() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().to_str().unwrap());
    let mut health = HealthClient::new(channel(&server).await);
    for service in ["", "eagre.v1.ProduceService"] {
        let answer = health.check(of(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
    assert_eq!(health.check(of("eagre.v1.Nothing")).await.unwrap_err().code(), Code::NotFound);
    let mut watched = health.watch(of("")).await.unwrap().into_inner();
    let serving = HealthCheckResponse { status: ServingStatus::Serving.into() };
    assert_eq!(watched.message().await.unwrap(), Some(serving));
    // Whoever watches does not keep the service from stopping.
    let stopped = tokio::task::spawn_blocking(|| server.terminate());
    while let Ok(Some(answer)) = watched.message().await {
        assert_eq!(answer.status(), ServingStatus::NotServing);
    }
    assert!(stopped.await.unwrap().success());
}

#[tokio::test]
async fn the_public_services_are_described_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().to_str().unwrap());
    let mut reflection = ServerReflectionClient::new(channel(&server).await);
    let ask = |question| ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let questions = [
        MessageRequest::ListServices(String::new()),
        MessageRequest::FileContainingSymbol("eagre.v1.ProduceRequest".into()),
        MessageRequest::FileContainingSymbol("eagre.internal.v1.CommitRequest".into()),
    ];
    let asked = tokio_stream::iter(questions.map(ask));
    let answers = reflection.server_reflection_info(asked).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map_while(Result::ok).filter_map(|answer| answer.message_response).collect().await;
    let Some(MessageResponse::ListServicesResponse(listed)) = answers.first() else { panic!("{answers:?}") };
    let mut names: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "eagre.v1.FetchService",
            "eagre.v1.ProduceService",
            "eagre.v1.TopicService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
        ]
    );
    let Some(MessageResponse::FileDescriptorResponse(files)) = answers.get(1) else { panic!("{answers:?}") };
    let comment = b"Left out: the service places each record by its key";
    let has_comment = |file: &Vec<u8>| file.windows(comment.len()).any(|window| window == comment);
    assert!(files.file_descriptor_proto.iter().any(has_comment), "comments are part of it");
    assert!(!answers.iter().skip(2).any(|answer| matches!(answer, MessageResponse::FileDescriptorResponse(_))));
}
