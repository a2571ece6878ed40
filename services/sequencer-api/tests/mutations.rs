//! Conversions of `eagre.internal.v1` stand seeded mutations of well-formed messages.

#![cfg(test)]

use eagre_mutate::{CountingAllocator, Mutations};
use eagre_proto::internal::v1 as proto;
use eagre_sequencer_api::parsers;
use prost::Message as _;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const OBJECT: proto::ObjectId = proto::ObjectId { epoch: 3, incarnation: 4, number: 5 };
const PARTITION: proto::PartitionId = proto::PartitionId { topic: 6, partition: 7 };

/// A repeated message of two bytes on the wire is a struct of about a hundred here, and there are two of each: the
/// message and what it is converted to.
fn mutations(name: &str) -> Mutations {
    Mutations::of(name).allocating_at_most(64 << 10, 512)
}

#[test]
fn commit_requests_stand_mutations() {
    let batch = |producer_id| proto::CommitBatch {
        length_bytes: 100,
        record_count: 3,
        crc32c: u32::MAX,
        max_timestamp_ms: 1_790_000_000_000,
        attributes: 4,
        producer_id,
        producer_epoch: 2,
        first_sequence: 17,
        part: (producer_id > 0).then_some(proto::PartOf { number: 1, records: 6, partition_map_version: 3 }),
    };
    let run = proto::CommitRun { partition: Some(PARTITION), position_bytes: 8, batches: vec![batch(-1), batch(9)] };
    let request = proto::CommitRequest {
        shard: 0,
        object: Some(OBJECT),
        object_length_bytes: 208,
        runs: vec![run.clone(), run],
        traceparent: String::new(),
        inline: None,
        settled_below: 5,
    };
    let inline = proto::CommitRequest { inline: Some(vec![7; 208].into()), ..request.clone() };
    mutations("commit request")
        .grown_from(request.encode_to_vec())
        .grown_from(inline.encode_to_vec())
        .run(parsers::commit_request);
}

#[test]
fn commit_responses_stand_mutations() {
    let outcomes = (1..=7).map(|kind| proto::BatchOutcome { kind, value: 5 }).collect();
    let answer = proto::CommitResponse { object: Some(OBJECT), outcomes, failure: None, takes_inline: true };
    let failure = proto::CommitFailure { kind: 1, upload_epoch: 8, message: "too old".into() };
    let failed = proto::CommitResponse {
        object: Some(OBJECT),
        outcomes: Vec::new(),
        failure: Some(failure),
        takes_inline: false,
    };
    mutations("commit response")
        .grown_from(answer.encode_to_vec())
        .grown_from(failed.encode_to_vec())
        .run(parsers::commit_response);
}

#[test]
fn tail_updates_stand_mutations() {
    let run = proto::Run {
        base_offset: 10,
        last_offset: 19,
        object: Some(OBJECT),
        position_bytes: 1,
        length_bytes: 2,
        batches: 3,
        crc32c: 4,
        prefix_max_timestamp_ms: 1_790_000_000_000,
        kind: 3,
    };
    let tail =
        proto::Tail { partition: Some(PARTITION), log_start_offset: 0, high_watermark: 20, runs: vec![run, run] };
    let update = proto::SubscribeResponse { number: 2, tails: vec![tail.clone(), tail], deleted_topics: vec![1, 2] };
    mutations("tail update").grown_from(update.encode_to_vec()).run(parsers::tail_update);
}

#[test]
fn inline_runs_stand_mutations() {
    let run = |bytes: Option<&'static [u8]>| proto::InlineRun { bytes: bytes.map(Into::into) };
    let answer = proto::ReadInlineResponse { runs: vec![run(Some(b"batch")), run(None), run(Some(b""))] };
    mutations("inline runs").grown_from(answer.encode_to_vec()).run(parsers::inline_response);
}

#[test]
fn topics_stand_mutations() {
    let class = |remainder| proto::ResidueClass { remainder, modulus: 2 };
    let elastic = proto::TopicRecord {
        number: 1,
        name: "flights".into(),
        id: vec![7; 16].into(),
        created_at_ms: 1_790_000_000_000,
        elastic: true,
        partitions: 2,
        classes: vec![class(0), class(1)],
        partition_map_version: 1,
        max_message_bytes: Some(4_096),
    };
    let fixed = proto::TopicRecord { elastic: false, partitions: 12, classes: Vec::new(), ..elastic.clone() };
    mutations("topic").grown_from(elastic.encode_to_vec()).grown_from(fixed.encode_to_vec()).run(parsers::topic);
}

#[test]
fn bounds_and_pings_stand_mutations() {
    let bounds = proto::MaybeBounds { log_start_offset: Some(3), high_watermark: 9, size_bytes: 1 << 40 };
    mutations("bounds").grown_from(bounds.encode_to_vec()).run(parsers::bounds);
    let ping = proto::PingResponse { claim: 4, nonce: vec![3; 16].into(), healthy: true };
    mutations("ping").grown_from(ping.encode_to_vec()).run(parsers::ping_answer);
}
