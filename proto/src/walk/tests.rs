use super::*;
use crate::v1::*;
use prost::Message as _;

/// Walks a request in pieces of every length.
fn walked(path: &str, bytes: &[u8]) -> Result<Cost, Malformed> {
    let method = Method::at(path).expect("there is such a method");
    let walk = |piece_bytes: usize| {
        let mut walk = method.walk(bytes.len());
        bytes.chunks(piece_bytes).try_for_each(|piece| walk.feed(piece)).map(|()| walk.cost())
    };
    let whole = walk(bytes.len().max(1));
    for piece_bytes in [1, 2, 3, 7] {
        assert_eq!(walk(piece_bytes), whole, "pieces of {piece_bytes}");
    }
    whole
}

fn produce(records: Vec<Record>) -> ProduceRequest {
    let payload = Some(produce_request::Payload::Records(RecordList { records }));
    ProduceRequest { topic: "t".into(), partition: Some(300), payload, producer: None, topic_id: None }
}

const PRODUCE: &str = "/eagre.v1.ProduceService/Produce";

#[test]
fn elements_of_all_levels_are_counted() {
    let header = || Header { key: "k".into(), value: Some(vec![1; 300].into()) };
    let record = |headers| Record { key: None, value: Some("v".into()), headers, timestamp_ms: Some(-1) };
    let request = produce(vec![record(vec![header(); 3]), record(vec![]), record(vec![header()])]);
    assert_eq!(walked(PRODUCE, &request.encode_to_vec()).map(|cost| cost.elements), Ok(3 + 4));
    let stream = ProduceStreamRequest { request_id: 1 << 40, request: Some(request) };
    let cost = walked("/eagre.v1.ProduceService/ProduceStream", &stream.encode_to_vec());
    assert_eq!(cost.map(|cost| cost.elements), Ok(7));
}

#[test]
fn what_is_empty_on_the_wire_is_not_free() {
    let cost = walked(PRODUCE, &produce(vec![Record::default(); 1_000]).encode_to_vec()).expect("well-formed");
    assert_eq!(cost.elements, 1_000);
    assert!(cost.decoded_bytes >= 1_000 * size_of::<Record>(), "{cost:?}");
}

#[test]
fn a_ready_batch_is_not_looked_into() {
    let payload = Some(produce_request::Payload::Batch(vec![0x0a; 70_000].into()));
    let request = ProduceRequest { payload, ..produce(Vec::new()) };
    let cost = walked(PRODUCE, &request.encode_to_vec()).expect("well-formed");
    assert_eq!((cost.elements, cost.decoded_bytes), (0, 1 + ALLOCATION_BYTES));
}

#[test]
fn unknown_fields_are_passed_over() {
    // Fields 100 to 103: a number, eight bytes, four bytes, a group with a number and a string in it.
    let unknown = [
        &[0xa0, 0x06, 0xff, 0x01][..],
        &[0xa9, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0xb5, 0x06, 1, 2, 3, 4],
        &[0xbb, 0x06, 0x08, 0x01, 0x12, 0x02, b'a', b'b', 0xbc, 0x06],
    ]
    .concat();
    let bytes = [&unknown, &produce(vec![Record::default()]).encode_to_vec()[..], &unknown].concat();
    assert!(ProduceRequest::decode(&bytes[..]).is_ok());
    assert_eq!(walked(PRODUCE, &bytes).map(|cost| cost.elements), Ok(1));
}

#[test]
fn what_is_no_message_is_refused() {
    let cases: [(&str, &[u8]); 9] = [
        ("field 0", &[0x00, 0x01]),
        ("a tag that does not end", &[0x80]),
        ("a number that does not end", &[0x10, 0x80]),
        ("a number of eleven bytes", &[0x10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        ("a field longer than the message", &[0x0a, 0x05, b'a']),
        ("a field longer than the message that it is in", &[0x1a, 0x03, 0x0a, 0x05, 0x00]),
        ("a huge length", &[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        ("a group that does not end", &[0x53, 0x08, 0x01]),
        ("the end of no group", &[0x54]),
    ];
    for (what, bytes) in cases {
        assert_eq!(walked(PRODUCE, bytes), Err(Malformed), "{what}");
        assert!(ProduceRequest::decode(bytes).is_err(), "{what}");
    }
}

#[test]
fn groups_are_as_deep_as_the_decoder_goes() {
    for (depth, stands) in [(90, true), (2_000, false)] {
        let bytes = [vec![0x53; depth], vec![0x54; depth]].concat();
        assert_eq!((walked(PRODUCE, &bytes).is_ok(), ProduceRequest::decode(&bytes[..]).is_ok()), (stands, stands));
    }
}

#[test]
fn every_request_of_both_protocols_has_a_shape() {
    let methods = [
        ("/eagre.v1.ProduceService/ProduceStream", true),
        ("/eagre.v1.FetchService/Fetch", false),
        ("/eagre.internal.v1.SequencerService/Commit", true),
        ("/eagre.internal.v1.SequencerService/Bounds", false),
    ];
    for (path, streams) in methods {
        assert_eq!(Method::at(path).map(|method| method.streams), Some(streams), "{path}");
    }
    assert!(Method::at("/grpc.health.v1.Health/Check").is_none());
}
