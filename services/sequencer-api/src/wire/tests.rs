use bytes::Bytes;
use eagre_model::{
    Placement, ProducerEpoch, ProducerId, Run, RunKind, ShardId, TopicConfig, TopicNumber, TopicPartition, TopicRecord,
    batch::crc32c, keys::elastic_placement,
};

use super::*;
use crate::{
    BatchOutcome, CommitAnswer, CommitBatch, CommitFailure, CommitReply, CommitRequest, CommitRun, INLINE_BYTES_MAX,
    PartitionBounds, PingAnswer, ProducerSequence, RefusalReason, Tail, TailUpdate,
};

const OBJECT: ObjectId = ObjectId { epoch: UploadEpoch(3), incarnation: 4, number: 5 };
const PARTITION: TopicPartition = TopicPartition { topic: TopicNumber(6), partition: 7 };

fn some_request() -> CommitRequest {
    let plain = CommitBatch {
        length_bytes: 100,
        record_count: 1,
        crc32c: u32::MAX,
        max_timestamp_ms: -1,
        attributes: -1,
        producer: None,
        part: None,
    };
    let producer = ProducerSequence { id: ProducerId(0), epoch: ProducerEpoch(i16::MAX), first_sequence: i32::MAX };
    let idempotent = CommitBatch { attributes: 4, producer: Some(producer), ..plain.clone() };
    let run = CommitRun { partition: PARTITION, position_bytes: 8, batches: vec![plain, idempotent] };
    let traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    CommitRequest {
        object: OBJECT,
        object_length_bytes: 208,
        runs: vec![run],
        inline: None,
        settled_below: 3,
        traceparent,
    }
}

/// Two runs of 100 and of 200 bytes.
fn inline_request() -> CommitRequest {
    let bytes = Bytes::from((0..=255).cycle().take(300).collect::<Vec<u8>>());
    let mut request = some_request();
    let batch = |range: std::ops::Range<usize>| CommitBatch {
        crc32c: crc32c(&bytes[range.clone()]),
        length_bytes: u32::try_from(range.len()).unwrap(),
        ..request.runs[0].batches[0].clone()
    };
    let run = |position_bytes, batches| CommitRun { partition: PARTITION, position_bytes, batches };
    let runs = vec![run(0, vec![batch(0..100)]), run(100, vec![batch(100..150), batch(150..300)])];
    (request.object_length_bytes, request.runs, request.inline) = (300, runs, Some(bytes));
    request
}

fn some_run() -> Run {
    Run {
        kind: RunKind::Wal,
        base_offset: 0,
        last_offset: 9,
        object: OBJECT,
        position_bytes: 1,
        length_bytes: 2,
        batches: 3,
        crc32c: 4,
        prefix_max_timestamp_ms: i64::MIN,
    }
}

#[test]
fn commits_come_back() {
    let request = some_request();
    let message = commit_request_message(ShardId(9), &request);
    assert_eq!(message.shard, 9);
    assert_eq!(commit_request(message), Ok(request));
    let inline = inline_request();
    assert_eq!(commit_request(commit_request_message(ShardId(9), &inline)), Ok(inline));
}

#[test]
fn replies_come_back() {
    let refused = |reason| BatchOutcome::Refused(reason);
    let outcomes = vec![
        BatchOutcome::Appended { base_offset: 0 },
        BatchOutcome::Duplicate { base_offset: i64::MAX },
        refused(RefusalReason::UnknownPartition),
        refused(RefusalReason::OutOfOrderSequence { expected: i32::MAX }),
        refused(RefusalReason::ProducerFenced { current: ProducerEpoch(i16::MAX) }),
        refused(RefusalReason::SequenceTooOld),
        refused(RefusalReason::UnissuedProducerId),
        refused(RefusalReason::UnknownProducerId),
        BatchOutcome::DuplicateElsewhere,
    ];
    let results = [
        Ok(CommitAnswer { outcomes }),
        Err(CommitFailure::Mismatch),
        Err(CommitFailure::EpochBelowFloor { upload_epoch: UploadEpoch(8) }),
    ];
    for result in results {
        for takes_inline in [false, true] {
            let reply = CommitReply { object: OBJECT, result: result.clone(), takes_inline };
            assert_eq!(commit_reply(commit_response_message(&reply)), Ok(reply));
        }
    }
}

#[test]
fn index_messages_come_back() {
    assert_eq!(run(run_message(&some_run())), Ok(some_run()));
    let inline = Run { kind: RunKind::Inline, ..some_run() };
    assert_eq!(run(run_message(&inline)), Ok(inline));
    let bytes = vec![Some(Bytes::from_static(b"batch")), None];
    assert_eq!(inline_response(inline_response_message(bytes.clone()), 2), Ok(bytes.clone()));
    assert_eq!(inline_response(inline_response_message(bytes.clone()), 3), Ok(bytes.clone()), "it may end early");
    assert!(inline_response(inline_response_message(bytes), 1).is_err(), "more than was asked for");
    assert!(inline_response(inline_response_message(Vec::new()), 1).is_err(), "nothing at all");
    let tail = Tail { partition: PARTITION, log_start_offset: 1, high_watermark: 1, runs: vec![some_run()] };
    let update = TailUpdate { number: 2, tails: vec![tail], deleted_topics: vec![TopicNumber(0), TopicNumber(5)] };
    assert_eq!(tail_update(tail_update_message(&update)), Ok(update));
    let some = PartitionBounds { log_start_offset: 0, high_watermark: 0, size_bytes: u64::MAX };
    assert_eq!(bounds(&bounds_message(Some(&some))), Ok(Some(some)));
    assert_eq!(bounds(&bounds_message(None)), Ok(None));
    let ping = PingAnswer { claim: 4, nonce: u128::MAX - 1, healthy: true };
    assert_eq!(ping_answer(&ping_message(&ping)), Ok(ping));
}

#[test]
fn topics_come_back() {
    for placement in [Placement::Fixed { partitions: 10_000 }, elastic_placement()] {
        let record = TopicRecord {
            number: TopicNumber(1),
            name: "flights".into(),
            id: u128::MAX - 7,
            created_at_ms: 1,
            placement,
            partition_map_version: 1,
            config: TopicConfig { max_message_bytes: Some(4_096) },
        };
        assert_eq!(topic(Some(topic_message(&record))), Ok(record));
    }
}

#[test]
fn commits_that_nobody_would_send_are_refused() {
    type Change = fn(&mut proto::CommitRequest);
    let changes: [(&str, Change); 5] = [
        ("no object", |message| message.object = None),
        ("no partition", |message| message.runs[0].partition = None),
        ("attributes", |message| message.runs[0].batches[0].attributes = 1 << 16),
        ("epoch above", |message| message.runs[0].batches[1].producer_epoch = 1 << 15),
        ("epoch below", |message| message.runs[0].batches[1].producer_epoch = -(1 << 15) - 1),
    ];
    for (what, change) in changes {
        let mut message = commit_request_message(ShardId::FIRST, &some_request());
        change(&mut message);
        assert!(commit_request(message).is_err(), "{what}");
    }
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    type Change = fn(&mut CommitRequest);
    let changes: [(&str, Change); 12] = [
        ("another incarnation", |request| request.object.incarnation += 1),
        ("no run", |request| request.runs.clear()),
        ("no batch", |request| request.runs[0].batches.clear()),
        ("no record", |request| request.runs[0].batches[0].record_count = 0),
        ("too many records", |request| request.runs[0].batches[0].record_count = 1 << 31),
        ("no byte", |request| request.runs[0].batches[0].length_bytes = 0),
        ("longer than the object", |request| request.runs[0].batches[0].length_bytes += 1),
        ("behind the object", |request| request.runs[0].position_bytes = u64::MAX),
        ("too long an object", |request| request.object_length_bytes = 1 << 32),
        ("negative id", |request| request.runs[0].batches[1].producer.as_mut().unwrap().id.0 = -2),
        ("negative epoch", |request| request.runs[0].batches[1].producer.as_mut().unwrap().epoch.0 = -1),
        ("negative sequence", |request| request.runs[0].batches[1].producer.as_mut().unwrap().first_sequence = -1),
    ];
    assert_eq!(some_request().check(4), Ok(()));
    for (what, change) in changes {
        let mut request = some_request();
        change(&mut request);
        assert!(request.check(4).is_err(), "{what}");
    }
}

#[test]
fn inline_bytes_that_a_reader_would_not_take_are_refused() {
    type Change = fn(&mut CommitRequest);
    let changes: [(&str, Change); 8] = [
        ("a byte too few", |request| request.inline = request.inline.as_ref().map(|bytes| bytes.slice(..299))),
        ("another length is said", |request| request.object_length_bytes += 1),
        ("a batch is longer", |request| request.runs[1].batches[1].length_bytes += 1),
        ("a batch is shorter", |request| request.runs[1].batches[1].length_bytes -= 1),
        ("a gap", |request| request.runs[1].position_bytes += 1),
        ("in another order", |request| request.runs.swap(0, 1)),
        ("a damaged batch", |request| request.runs[1].batches[0].crc32c ^= 1),
        ("too many", |request| {
            let bytes = vec![0; INLINE_BYTES_MAX + 1];
            request.runs.truncate(1);
            request.runs[0].batches[0].length_bytes = u32::try_from(bytes.len()).unwrap();
            request.runs[0].batches[0].crc32c = crc32c(&bytes);
            (request.object_length_bytes, request.inline) = (bytes.len() as u64, Some(bytes.into()));
        }),
    ];
    assert_eq!(inline_request().check(4), Ok(()));
    for (what, change) in changes {
        let mut request = inline_request();
        change(&mut request);
        assert!(request.check(4).is_err(), "{what}");
    }
}

#[test]
fn replies_that_nobody_would_send_are_refused() {
    let outcome = |kind, value| proto::CommitResponse {
        object: Some(object_message(OBJECT)),
        outcomes: vec![proto::BatchOutcome { kind, value }],
        failure: None,
        takes_inline: true,
    };
    let fail = |kind| proto::CommitFailure { kind, upload_epoch: 0, message: String::new() };
    let bad = [
        outcome(0, 0),
        outcome(10, 0),
        outcome(1, -1),
        outcome(2, -1),
        outcome(4, 1 << 31),
        outcome(5, 1 << 15),
        proto::CommitResponse { object: None, ..outcome(1, 0) },
        proto::CommitResponse { failure: Some(fail(1)), ..outcome(1, 0) },
        proto::CommitResponse { outcomes: Vec::new(), failure: Some(fail(3)), ..outcome(1, 0) },
    ];
    for message in bad {
        assert!(commit_reply(message.clone()).is_err(), "{message:?}");
    }
}

#[test]
fn index_messages_that_nobody_would_send_are_refused() {
    type Change = fn(&mut proto::Run);
    let changes: [(&str, Change); 8] = [
        ("no such kind", |run| run.kind = 2),
        ("negative base", |run| run.base_offset = -1),
        ("ends before it begins", |run| run.base_offset = 10),
        ("the last offset of all", |run| run.last_offset = i64::MAX),
        ("no byte", |run| run.length_bytes = 0),
        ("no batch", |run| run.batches = 0),
        ("position", |run| run.position_bytes = u64::MAX),
        ("no object", |run| run.object = None),
    ];
    for (what, change) in changes {
        let mut message = run_message(&some_run());
        change(&mut message);
        assert!(run(message).is_err(), "{what}");
    }
    for (start, end) in [(-1, 0), (1, 0), (0, -1)] {
        let bad = proto::MaybeBounds { log_start_offset: Some(start), high_watermark: end, size_bytes: 0 };
        assert!(bounds(&bad).is_err(), "{start} {end}");
    }
    let short = proto::PingResponse { claim: 1, nonce: vec![0; 15].into(), healthy: true };
    assert!(ping_answer(&short).is_err());
}

#[test]
fn topics_that_nobody_would_send_are_refused() {
    type Change = fn(&mut proto::TopicRecord);
    let changes: [(&str, Change); 6] = [
        ("no name", |topic| topic.name.clear()),
        ("short id", |topic| topic.id = vec![0; 4].into()),
        ("another count", |topic| topic.partitions = 5),
        ("a class twice", |topic| topic.classes[1].remainder = 0),
        ("classes of a fixed one", |topic| topic.elastic = false),
        ("no classes", |topic| topic.classes.clear()),
    ];
    let record = TopicRecord {
        number: TopicNumber(1),
        name: "flights".into(),
        id: 1,
        created_at_ms: 1,
        placement: elastic_placement(),
        partition_map_version: 1,
        config: TopicConfig::default(),
    };
    for (what, change) in changes {
        let mut message = topic_message(&record);
        change(&mut message);
        assert!(topic(Some(message)).is_err(), "{what}");
    }
    assert!(topic(None).is_err());
}
