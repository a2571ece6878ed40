//! What a request will take in memory is told right for whatever comes: never less than decoding it takes.

#![cfg(test)]

use bytes::Bytes;
use eagre_mutate::{CountingAllocator, Mutations, peak_of};
use eagre_proto::{
    internal::v1 as internal,
    v1::*,
    walk::{Cost, Malformed, Method},
};
use prost::Message;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// What the first bytes of a request cost the decoder: the count of who shares them.
const DECODER_BYTES: usize = 256;

fn walk(method: Method, bytes: &[u8], piece_bytes: usize) -> Result<Cost, Malformed> {
    let mut walk = method.walk(bytes.len());
    bytes.chunks(piece_bytes).try_for_each(|piece| walk.feed(piece)).map(|()| walk.cost())
}

/// Whatever decodes was walked, and the walk told no less than what decoding allocates.
fn check<T: Message + Default>(path: &'static str) -> impl Fn(&[u8]) {
    let method = Method::at(path).expect("there is such a method");
    move |bytes| {
        let cost = walk(method, bytes, usize::MAX);
        assert_eq!(cost, walk(method, bytes, 3), "the pieces make no difference");
        let received = Bytes::copy_from_slice(bytes);
        let (decoded, peak_bytes) = peak_of(|| T::decode(received));
        if decoded.is_ok() {
            let cost = cost.expect("what decodes is well-formed");
            assert!(peak_bytes <= cost.decoded_bytes + DECODER_BYTES, "{peak_bytes} bytes for {cost:?}");
        }
    }
}

fn mutations(path: &str) -> Mutations {
    // An empty record with an empty header takes 300 bytes for six of the wire, an empty number 24.
    Mutations::of(path).allocating_at_most(64 << 10, 512)
}

#[test]
fn produce_requests_stand_mutations() {
    let header = Header { key: "k".into(), value: Some("v".into()) };
    let record = Record { headers: vec![header.clone(), header, Header::default()], ..Record::default() };
    let records = RecordList { records: vec![record.clone(), Record::default(), Record::default(), record] };
    let request = ProduceRequest {
        topic: "flights".into(),
        payload: Some(produce_request::Payload::Records(records)),
        producer: Some(ProducerSequence { producer_id: 9, producer_epoch: 1, first_sequence: 300 }),
        ..ProduceRequest::default()
    };
    let path = "/eagre.v1.ProduceService/ProduceStream";
    let stream = ProduceStreamRequest { request_id: 1 << 40, request: Some(request) };
    mutations(path).grown_from(stream.encode_to_vec()).run(check::<ProduceStreamRequest>(path));
}

#[test]
fn fetch_requests_stand_mutations() {
    let position = Some(Position { position: Some(position::Position::Offset(1 << 40)) });
    let partition = FetchPartition { topic: "flights".into(), partition: 3, position };
    let request = FetchRequest {
        partitions: vec![partition; 5],
        end: FetchEnd::Stop.into(),
        encoding: FetchEncoding::Batches.into(),
    };
    let path = "/eagre.v1.FetchService/Fetch";
    mutations(path).grown_from(request.encode_to_vec()).run(check::<FetchRequest>(path));
}

#[test]
fn commits_stand_mutations() {
    let batch = internal::CommitBatch { length_bytes: 100, record_count: 3, crc32c: 9, ..Default::default() };
    let run = internal::CommitRun { batches: vec![batch; 3], ..Default::default() };
    let request = internal::CommitRequest {
        runs: vec![run.clone(), run, internal::CommitRun::default()],
        inline: Some(vec![7; 50].into()),
        traceparent: "00-0-0-00".into(),
        ..Default::default()
    };
    let path = "/eagre.internal.v1.SequencerService/Commit";
    mutations(path).grown_from(request.encode_to_vec()).run(check::<internal::CommitRequest>(path));
}

#[test]
fn questions_of_inline_runs_stand_mutations() {
    let request = internal::ReadInlineRequest { last_offsets: (0..300).collect(), ..Default::default() };
    let path = "/eagre.internal.v1.SequencerService/ReadInline";
    mutations(path).grown_from(request.encode_to_vec()).run(check::<internal::ReadInlineRequest>(path));
}

#[test]
fn the_bomb_is_told_before_it_is_decoded() {
    let records = RecordList { records: vec![Record::default(); 1 << 20] };
    let payload = Some(produce_request::Payload::Records(records));
    let bomb = ProduceRequest { payload, ..ProduceRequest::default() }.encode_to_vec();
    let method = Method::at("/eagre.v1.ProduceService/Produce").expect("there is such a method");
    let (cost, walk_bytes) = peak_of(|| walk(method, &bomb, 16 << 10).expect("well-formed"));
    assert_eq!(cost.elements, 1 << 20);
    assert!(walk_bytes < 4 << 10, "{walk_bytes}");
    let received = Bytes::from(bomb);
    let wire_bytes = received.len();
    let (_, decoded_bytes) = peak_of(|| ProduceRequest::decode(received));
    assert!(decoded_bytes > 40 * wire_bytes, "this is why: {decoded_bytes} bytes of {wire_bytes}");
    assert!(cost.decoded_bytes >= decoded_bytes, "{decoded_bytes}, told were {}", cost.decoded_bytes);
}
