//! Clients that behave badly do not disturb others.

use std::fs;

use eagre_proto::v1::{
    CreateTopicRequest, Earliest, FetchEncoding, FetchEnd, FetchPartition, FetchRequest, Position, ProduceRequest,
    Record, RecordList, fetch_service_client::FetchServiceClient, position, produce_request::Payload,
    produce_service_client::ProduceServiceClient, topic_service_client::TopicServiceClient,
};
use tokio::time::timeout;
use tonic::{Code, transport::Channel};

use crate::support::{BOUND, Produce, Server, acks, wait_until};

fn follow(topic: &str) -> FetchRequest {
    let position = Position { position: Some(position::Position::Earliest(Earliest {})) };
    FetchRequest {
        partitions: vec![FetchPartition { topic: topic.into(), partition: 0, position: Some(position) }],
        end: FetchEnd::Follow.into(),
        encoding: FetchEncoding::Batches.into(),
    }
}

fn records(values: Vec<Vec<u8>>) -> ProduceRequest {
    let record = |value: Vec<u8>| Record { value: Some(value.into()), ..Record::default() };
    let records = values.into_iter().map(record).collect();
    ProduceRequest {
        topic: "t".into(),
        partition: Some(0),
        payload: Some(Payload::Records(RecordList { records })),
        producer: None,
        topic_id: None,
    }
}

async fn topic(server: &Server) -> Channel {
    let channel = Channel::from_shared(server.endpoint()).unwrap().connect().await.unwrap();
    let request = CreateTopicRequest { name: "t".into(), partitions: Some(1), ..Default::default() };
    TopicServiceClient::new(channel.clone()).create_topic(request).await.unwrap();
    channel
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(folder.path().to_str().unwrap());
    server.run(&["topic", "create", "t", "--partitions", "3"]);
    server.run(&["topic", "describe", "t"]);
    let at_rest = server.open_files();
    for round in 0..10 {
        let acked = elsewhere.path().join(format!("acks-{round}"));
        let mut produce = Produce::start(&server.endpoint(), &["t", "--acks-to", acked.to_str().unwrap()]);
        let mut consume = server.client(&["consume", "t", "--from", "beginning"]).spawn().unwrap();
        for number in 0..200 {
            produce.line(&format!("round {round} line {number}"));
        }
        wait_until("the stream is under way", || !acks(&acked).is_empty());
        // Both are killed, in the middle of their streams.
        drop(produce);
        consume.kill().unwrap();
        consume.wait().unwrap();
        let log = server.read_all("t");
        let lines: Vec<String> = (0..200).map(|number| format!("round {round} line {number}")).collect();
        log.assert_acked(&acks(&acked), &lines);
    }
    wait_until("their connections are gone", || server.open_files() <= at_rest + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_holds_up_nobody() {
    const RECORDS: usize = 96;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().to_str().unwrap());
    let channel = topic(&server).await;
    let mut slow = FetchServiceClient::new(channel.clone()).max_decoding_message_size(64 << 20);
    // Opened, never read until everything is written: 96 MiB are far more than any window.
    let mut slow = slow.fetch(follow("t")).await.unwrap().into_inner();
    // On the same connection others go on.
    let mut produce = ProduceServiceClient::new(channel.clone());
    let value = |number: usize| vec![u8::try_from(number).unwrap(); 512 << 10];
    for number in 0..RECORDS {
        let request = produce.produce(records(vec![value(number), value(number)]));
        let offset = timeout(BOUND, request).await.unwrap().unwrap().into_inner().base_offset;
        assert_eq!(offset, 2 * i64::try_from(number).unwrap());
    }
    let mut quick = FetchServiceClient::new(channel).max_decoding_message_size(64 << 20);
    let mut quick = quick.fetch(follow("t")).await.unwrap().into_inner();
    for reader in [&mut quick, &mut slow] {
        let (mut next, mut bytes) = (0, 0);
        while next < 2 * i64::try_from(RECORDS).unwrap() {
            let message = timeout(BOUND, reader.message()).await.unwrap().unwrap().unwrap();
            assert!(message.next_offset >= next && message.high_watermark >= message.next_offset);
            next = message.next_offset;
            bytes += message.batches.len();
        }
        assert!(bytes > RECORDS << 20, "{bytes} bytes");
    }
    let peak = server.memory_kib("VmHWM");
    assert!(peak < 512 << 10, "{peak} KiB at the peak");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_the_limit_is_refused_and_the_connection_lives() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().to_str().unwrap());
    let channel = topic(&server).await;
    let mut produce = ProduceServiceClient::new(channel).max_encoding_message_size(256 << 20);
    for size in [9 << 20, 100 << 20] {
        let refused = timeout(BOUND, produce.produce(records(vec![vec![7; size]]))).await.unwrap().unwrap_err();
        let codes = [Code::InvalidArgument, Code::OutOfRange, Code::ResourceExhausted];
        assert!(codes.contains(&refused.code()), "{size} bytes: {refused:?}");
        assert!(!refused.message().is_empty());
    }
    let small = produce.produce(records(vec![b"small".to_vec()])).await.unwrap().into_inner();
    assert_eq!(small.base_offset, 0, "nothing of the large ones was appended");
    let peak = server.memory_kib("VmHWM");
    assert!(peak < 512 << 10, "{peak} KiB at the peak");
}

#[test]
fn lines_travel_unchanged() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(folder.path().to_str().unwrap());
    server.run(&["topic", "create", "t", "--partitions", "1"]);
    // Empty lines, blanks, a carriage return, bytes that are no UTF-8, no newline at the end.
    let input = b"plain\n\n  two  \ncr\r\n\xff\xfe\xc3\n\ttab \xe2\x82\xac".to_vec();
    let file = elsewhere.path().join("input");
    fs::write(&file, &input).unwrap();
    server.run(&["produce", "t", "--file", file.to_str().unwrap()]);
    let mut consume = server.client(&["consume", "t", "--from", "beginning", "--until-end"]);
    let output = crate::support::finish(consume.spawn().unwrap(), "eagre consume");
    assert_eq!(output.stdout, [&input[..], b"\n"].concat());
    let json = server.run(&["consume", "t", "--from", "4", "--partition", "0", "--max", "1", "--format", "json"]);
    let record: serde_json::Value = serde_json::from_str(json.trim_end()).unwrap();
    assert_eq!(record["value"], serde_json::json!({"base64": "//7D"}));
}

#[test]
fn a_producer_waits_for_a_server_that_is_away() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bucket = folder.path().to_str().unwrap();
    let grpc = format!("127.0.0.1:{}", crate::support::free_port());
    let server = Server::start_at(bucket, &grpc);
    server.run(&["topic", "create", "t", "--partitions", "1"]);
    assert!(server.terminate().success());
    let acked = elsewhere.path().join("acks");
    let mut produce = Produce::start(&format!("http://{grpc}"), &["t", "--acks-to", acked.to_str().unwrap()]);
    produce.line("first");
    let server = Server::start_at(bucket, &grpc);
    produce.line("second");
    let output = produce.finish();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(server.run(&["consume", "t", "--from", "beginning", "--until-end"]), "first\nsecond\n");
}
