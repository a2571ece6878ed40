use bytes::Bytes;
use eagre_model::batch::crc32c;
use eagre_proto::v1::{position::Position as At, produce_request::Payload, *};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::world::{World, at, batch, earliest, fetch_request, of_batch, record, records};

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "eagre");
    assert!(!status.message().is_empty());
    info.reason
}

/// A batch with some bytes changed and its CRC made right again.
fn forged(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = batch(&["a", "b"]);
    change(&mut bytes);
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn with_payload(payload: Option<Payload>) -> ProduceRequest {
    ProduceRequest { payload, ..records("t", 0, &["a"]) }
}

fn of_records(records: Vec<Record>) -> ProduceRequest {
    with_payload(Some(Payload::Records(RecordList { records })))
}

fn by(producer_id: i64, producer_epoch: u32, first_sequence: i32) -> Option<ProducerSequence> {
    Some(ProducerSequence { producer_id, producer_epoch, first_sequence })
}

#[tokio::test(start_paused = true)]
async fn bad_produce_requests_are_refused_for_what_they_are() {
    let world = World::new().await;
    world.topic("t", 2).await;
    let huge = Record { value: Some(Bytes::from(vec![0; (1 << 20) + 1])), ..Record::default() };
    let large = Record { value: Some(Bytes::from(vec![0; 1 << 19])), ..Record::default() };
    let cases: Vec<(&str, ProduceRequest, &str, Code)> = vec![
        ("no topic", records("", 0, &["a"]), "INVALID_TOPIC_NAME", Code::InvalidArgument),
        ("a path", records("../t", 0, &["a"]), "INVALID_TOPIC_NAME", Code::InvalidArgument),
        ("a huge name", records(&"x".repeat(8 << 20), 0, &["a"]), "INVALID_TOPIC_NAME", Code::InvalidArgument),
        ("unknown topic", records("u", 0, &["a"]), "UNKNOWN_TOPIC", Code::NotFound),
        ("unknown partition", records("t", 2, &["a"]), "UNKNOWN_PARTITION", Code::NotFound),
        ("huge partition", records("t", u32::MAX, &["a"]), "UNKNOWN_PARTITION", Code::NotFound),
        (
            "a batch without a partition",
            ProduceRequest { partition: None, ..of_batch("t", 0, batch(&["a"])) },
            "INVALID_ARGUMENT",
            Code::InvalidArgument,
        ),
        ("no payload", with_payload(None), "INVALID_ARGUMENT", Code::InvalidArgument),
        ("no records", of_records(vec![]), "INVALID_ARGUMENT", Code::InvalidArgument),
        ("record over the limit", of_records(vec![huge]), "TOO_LARGE", Code::InvalidArgument),
        ("batch over the limit", of_records(vec![large; 17]), "TOO_LARGE", Code::InvalidArgument),
        (
            "timestamps too far apart",
            of_records(vec![
                Record { timestamp_ms: Some(i64::MIN), ..record("a") },
                Record { timestamp_ms: Some(i64::MAX), ..record("b") },
            ]),
            "INVALID_BATCH",
            Code::InvalidArgument,
        ),
        (
            "negative producer id",
            ProduceRequest { producer: by(-1, 0, 0), ..records("t", 0, &["a"]) },
            "INVALID_ARGUMENT",
            Code::InvalidArgument,
        ),
        (
            "producer epoch out of range",
            ProduceRequest { producer: by(1, 32_768, 0), ..records("t", 0, &["a"]) },
            "INVALID_ARGUMENT",
            Code::InvalidArgument,
        ),
        (
            "negative sequence",
            ProduceRequest { producer: by(1, 0, -1), ..records("t", 0, &["a"]) },
            "INVALID_ARGUMENT",
            Code::InvalidArgument,
        ),
        (
            "a batch and a producer",
            ProduceRequest { producer: by(1, 0, 0), ..of_batch("t", 0, batch(&["a"])) },
            "INVALID_ARGUMENT",
            Code::InvalidArgument,
        ),
        ("empty batch", of_batch("t", 0, vec![]), "INVALID_BATCH", Code::InvalidArgument),
        ("short batch", of_batch("t", 0, batch(&["a"])[..60].to_vec()), "INVALID_BATCH", Code::InvalidArgument),
        (
            "a byte too many",
            of_batch("t", 0, [batch(&["a"]), vec![0]].concat()),
            "INVALID_BATCH",
            Code::InvalidArgument,
        ),
        (
            "two batches",
            of_batch("t", 0, [batch(&["a"]), batch(&["b"])].concat()),
            "INVALID_BATCH",
            Code::InvalidArgument,
        ),
        (
            "wrong CRC",
            of_batch("t", 0, {
                let mut bytes = batch(&["a"]);
                bytes[17] ^= 1;
                bytes
            }),
            "CORRUPT_BATCH",
            Code::InvalidArgument,
        ),
        ("magic 1", of_batch("t", 0, forged(|bytes| bytes[16] = 1)), "INVALID_BATCH", Code::InvalidArgument),
        ("control bit", of_batch("t", 0, forged(|bytes| bytes[22] |= 0x20)), "INVALID_BATCH", Code::InvalidArgument),
        ("transactional", of_batch("t", 0, forged(|bytes| bytes[22] |= 0x10)), "INVALID_BATCH", Code::InvalidArgument),
        ("unknown codec", of_batch("t", 0, forged(|bytes| bytes[22] |= 7)), "INVALID_BATCH", Code::InvalidArgument),
        ("wrong count", of_batch("t", 0, forged(|bytes| bytes[60] = 3)), "INVALID_BATCH", Code::InvalidArgument),
        (
            "count of -1",
            of_batch("t", 0, forged(|bytes| bytes[57..61].fill(0xff))),
            "INVALID_BATCH",
            Code::InvalidArgument,
        ),
        ("wrong delta", of_batch("t", 0, forged(|bytes| bytes[26] = 9)), "INVALID_BATCH", Code::InvalidArgument),
        (
            "wrong max timestamp",
            of_batch("t", 0, forged(|bytes| bytes[42] ^= 1)),
            "INVALID_BATCH",
            Code::InvalidArgument,
        ),
        ("length says more", of_batch("t", 0, forged(|bytes| bytes[11] += 1)), "INVALID_BATCH", Code::InvalidArgument),
        (
            "length says -1",
            of_batch("t", 0, forged(|bytes| bytes[8..12].fill(0xff))),
            "INVALID_BATCH",
            Code::InvalidArgument,
        ),
    ];
    let (requests, mut answers) = world.stream().await;
    let lookups = || world.sequencer.state().lookup_calls;
    for (what, request, expected, code) in cases {
        let before = lookups();
        let status = world.produce().produce(request.clone()).await.expect_err(what);
        assert_eq!((reason(&status).as_str(), status.code()), (expected, code), "{what}: {status:?}");
        // On a stream it is the answer to the request, and the stream goes on.
        requests.send(ProduceStreamRequest { request_id: 5, request: Some(request) }).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        let Some(produce_stream_response::Outcome::Error(error)) = answer.outcome else { panic!("{what}") };
        assert_eq!(error.reason().as_str_name(), format!("ERROR_REASON_{expected}"), "{what}");
        assert_eq!((answer.request_id, error.outcome_unknown), (5, false));
        assert_eq!(error.message, status.message());
        assert!(error.message.len() < 500, "{what}");
        assert!(expected != "INVALID_TOPIC_NAME" || lookups() == before, "{what} is not looked up");
    }
    requests.send(ProduceStreamRequest { request_id: 6, request: None }).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    assert!(matches!(answer.outcome, Some(produce_stream_response::Outcome::Error(_))));
    assert_eq!(world.append("t", 0, &["good"]).await, 0, "nothing of all that was appended");
}

#[tokio::test(start_paused = true)]
async fn a_request_over_the_message_limit_is_refused_unread() {
    let world = World::new().await;
    world.topic("t", 1).await;
    let request = of_batch("t", 0, vec![0; 17 << 20]);
    let status = world.produce().produce(request).await.unwrap_err();
    assert_eq!(reason(&status), "TOO_LARGE", "{status:?}");
    assert!(status.message().contains("16777216"), "{}", status.message());
    assert_eq!(world.append("t", 0, &["a"]).await, 0);
}

#[tokio::test(start_paused = true)]
async fn bad_fetch_requests_are_refused_for_what_they_are() {
    let world = World::new().await;
    world.topic("t", 2).await;
    let good = || fetch_request("t", 0, earliest(), FetchEnd::Stop, FetchEncoding::Records);
    let of = |partition: FetchPartition| FetchRequest { partitions: vec![partition], ..good() };
    let partition = FetchPartition { topic: "t".into(), partition: 0, position: Some(earliest()) };
    let cases = [
        ("no end", FetchRequest { end: 0, ..good() }, "INVALID_ARGUMENT"),
        ("unknown end", FetchRequest { end: 77, ..good() }, "INVALID_ARGUMENT"),
        ("no encoding", FetchRequest { encoding: 0, ..good() }, "INVALID_ARGUMENT"),
        ("no partitions", FetchRequest { partitions: vec![], ..good() }, "INVALID_ARGUMENT"),
        ("too many", FetchRequest { partitions: vec![partition.clone(); 10_001], ..good() }, "INVALID_ARGUMENT"),
        ("no position", of(FetchPartition { position: None, ..partition.clone() }), "INVALID_ARGUMENT"),
        (
            "empty position",
            of(FetchPartition { position: Some(Position { position: None }), ..partition.clone() }),
            "INVALID_ARGUMENT",
        ),
        ("unknown topic", of(FetchPartition { topic: "u".into(), ..partition.clone() }), "UNKNOWN_TOPIC"),
        ("a huge name", of(FetchPartition { topic: "x".repeat(1 << 20), ..partition.clone() }), "INVALID_TOPIC_NAME"),
        ("unknown partition", of(FetchPartition { partition: 2, ..partition.clone() }), "UNKNOWN_PARTITION"),
        (
            "out of range",
            of(FetchPartition { position: Some(at(At::Offset(1))), ..partition.clone() }),
            "OFFSET_OUT_OF_RANGE",
        ),
    ];
    for (what, request, expected) in cases {
        let status = world.fetch().fetch(request).await.expect_err(what);
        assert_eq!(reason(&status), expected, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn empty_elements_are_counted_before_they_are_decoded() {
    let world = World::new().await;
    world.topic("t", 1).await;
    let records = |count| of_records(vec![Record::default(); count]);
    let headers = |count| of_records(vec![Record { headers: vec![Header::default(); count], ..record("a") }]);
    for (what, request) in [("records", records(50_001)), ("headers", headers(50_000))] {
        let status = world.produce().produce(request.clone()).await.expect_err(what);
        assert_eq!((reason(&status).as_str(), status.code()), ("TOO_LARGE", Code::InvalidArgument), "{what}");
        assert!(status.message().contains("50000 elements") && status.message().contains("split it"), "{status:?}");
        // On a stream nobody knows whose answer that would be, so it ends the stream.
        let (requests, mut answers) = world.stream().await;
        requests.send(ProduceStreamRequest { request_id: 5, request: Some(request) }).await.unwrap();
        let status = answers.message().await.expect_err(what);
        assert_eq!(reason(&status), "TOO_LARGE", "{what}");
    }
    let partition = FetchPartition { topic: "t".into(), partition: 0, position: Some(earliest()) };
    let request = ListOffsetsRequest { partitions: vec![partition; 20_001] };
    let status = world.fetch().list_offsets(request).await.unwrap_err();
    assert_eq!(reason(&status), "TOO_LARGE", "{status:?}");
    world.produce().produce(records(50_000)).await.unwrap();
    assert_eq!(world.append("t", 0, &["b"]).await, 50_000);
}

#[tokio::test(start_paused = true)]
async fn bad_topic_requests_are_refused_for_what_they_are() {
    let world = World::new().await;
    world.topic("t", 1).await;
    let create = |name: &str, partitions| CreateTopicRequest { name: name.into(), partitions, ..Default::default() };
    let cases = [
        ("taken", create("t", None), "TOPIC_EXISTS", Code::AlreadyExists),
        ("empty", create("", None), "INVALID_TOPIC_NAME", Code::InvalidArgument),
        ("dots", create("..", None), "INVALID_TOPIC_NAME", Code::InvalidArgument),
        ("slash", create("a/b", None), "INVALID_TOPIC_NAME", Code::InvalidArgument),
        ("NUL", create("a\0b", None), "INVALID_TOPIC_NAME", Code::InvalidArgument),
        ("long", create(&"x".repeat(250), None), "INVALID_TOPIC_NAME", Code::InvalidArgument),
        ("no partitions", create("n", Some(0)), "INVALID_ARGUMENT", Code::InvalidArgument),
        ("too many partitions", create("n", Some(10_001)), "INVALID_ARGUMENT", Code::InvalidArgument),
    ];
    for bytes in [0, 1_023, (8 << 20) + 1, u32::MAX] {
        let request = CreateTopicRequest { name: "n".into(), partitions: None, max_message_bytes: Some(bytes) };
        let status = world.topics().create_topic(request).await.unwrap_err();
        assert_eq!(reason(&status), "INVALID_ARGUMENT", "{bytes}");
        assert!(status.message().contains("it may be 1024 to 8388608"), "{}", status.message());
    }
    for (what, request, expected, code) in cases {
        let status = world.topics().create_topic(request).await.expect_err(what);
        assert_eq!((reason(&status).as_str(), status.code()), (expected, code), "{what}");
    }
    let long = || "x".repeat(1 << 20);
    let described = world.topics().describe_topic(DescribeTopicRequest { name: long() }).await.unwrap_err();
    let deleted = world.topics().delete_topic(DeleteTopicRequest { name: long() }).await.unwrap_err();
    let page = ListTopicsRequest { page_size: 1, page_token: long() };
    let listed = world.topics().list_topics(page).await.unwrap_err();
    for status in [described, deleted, listed] {
        assert_eq!(reason(&status), "INVALID_TOPIC_NAME", "{status:?}");
    }
    let deleted = world.topics().delete_topic(DeleteTopicRequest { name: "u".into() }).await.unwrap_err();
    assert_eq!(reason(&deleted), "UNKNOWN_TOPIC");
}
