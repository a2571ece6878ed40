use std::time::Duration;

use eagre_model::{TopicNumber, TopicPartition, batch::batches, records::decode};
use eagre_proto::v1::{position::Position as At, *};
use tonic::Code;
use tonic_types::StatusExt;

use crate::world::{World, at, earliest, fetch_request, record, records, text, until};

async fn offset_of(world: &World, position: At) -> PartitionOffset {
    let partition = FetchPartition { topic: "t".into(), partition: 0, position: Some(at(position)) };
    let answer = world.fetch().list_offsets(ListOffsetsRequest { partitions: vec![partition] }).await;
    answer.unwrap().into_inner().offsets[0]
}

#[tokio::test(start_paused = true)]
async fn positions_become_offsets() {
    let world = World::new().await;
    world.topic("t", 1).await;
    for (value, timestamp_ms) in [("a", 1_000), ("b", 3_000), ("c", 2_000), ("d", 4_000)] {
        let records = vec![Record { timestamp_ms: Some(timestamp_ms), ..record(value) }];
        let payload = Some(produce_request::Payload::Records(RecordList { records }));
        let request = ProduceRequest { topic: "t".into(), partition: Some(0), payload, producer: None, topic_id: None };
        world.produce().produce(request).await.unwrap();
    }
    let cases = [
        (At::Earliest(Earliest {}), 0, None),
        (At::Latest(Latest {}), 4, None),
        (At::Offset(2), 2, None),
        (At::Offset(4), 4, None),
        (At::Last(0), 4, None),
        (At::Last(3), 1, None),
        (At::Last(u64::MAX), 0, None),
        (At::TimestampMs(0), 0, Some(1_000)),
        (At::TimestampMs(1_000), 0, Some(1_000)),
        (At::TimestampMs(1_001), 1, Some(3_000)),
        (At::TimestampMs(3_001), 3, Some(4_000)),
        (At::TimestampMs(4_001), 4, None),
    ];
    for (position, offset, timestamp_ms) in cases {
        let found = offset_of(&world, position).await;
        assert_eq!((found.offset, found.timestamp_ms), (offset, timestamp_ms), "{position:?}");
        assert_eq!((found.log_start_offset, found.high_watermark), (0, 4));
    }
}

#[tokio::test(start_paused = true)]
async fn an_offset_out_of_range_carries_the_range() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.append("t", 0, &["a", "b"]).await;
    for offset in [-1, 3, i64::MAX, i64::MIN] {
        let request = fetch_request("t", 0, at(At::Offset(offset)), FetchEnd::Stop, FetchEncoding::Batches);
        let refused = world.fetch().fetch(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange);
        let info = refused.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("OFFSET_OUT_OF_RANGE", "eagre"));
        assert_eq!((info.metadata["log_start_offset"].as_str(), info.metadata["high_watermark"].as_str()), ("0", "2"));
    }
}

#[tokio::test(start_paused = true)]
async fn batches_come_whole_with_their_offsets() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.append("t", 0, &["a", "b", "c"]).await;
    world.append("t", 0, &["d"]).await;
    let request = fetch_request("t", 0, at(At::Offset(1)), FetchEnd::Stop, FetchEncoding::Batches);
    let mut messages = world.fetch().fetch(request).await.unwrap().into_inner();
    let mut read = Vec::new();
    let mut ends = Vec::new();
    while let Some(message) = messages.message().await.unwrap() {
        for batch in batches(&message.batches) {
            let (header, bytes) = batch.unwrap();
            assert_eq!(header.partition_leader_epoch, 0);
            let limits = eagre_model::batch::Limits::default();
            let decoded = decode(&bytes, &limits).unwrap();
            read.extend(decoded.into_iter().map(|record| (record.offset, text(record.value))));
        }
        ends.push((message.next_offset, message.end_reached, message.high_watermark));
    }
    let expected = [(0, "a"), (1, "b"), (2, "c"), (3, "d")].map(|(offset, value)| (offset, value.to_owned()));
    assert_eq!(read, expected, "the batch of the position comes whole");
    assert_eq!(ends, [(4, true, 4)], "runs that are there share a message");
}

#[tokio::test(start_paused = true)]
async fn records_begin_at_the_position() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.append("t", 0, &["a", "b", "c"]).await;
    let request = fetch_request("t", 0, at(At::Offset(1)), FetchEnd::Stop, FetchEncoding::Records);
    let mut messages = world.fetch().fetch(request).await.unwrap().into_inner();
    let message = messages.message().await.unwrap().unwrap();
    let read: Vec<_> = message.records.iter().map(|record| record.offset).collect();
    assert_eq!((read, message.next_offset, message.end_reached), (vec![1, 2], 3, true));
    assert!(messages.message().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_empty_partition_is_read_to_its_end_at_once() {
    let world = World::new().await;
    world.topic("t", 1).await;
    let request = fetch_request("t", 0, earliest(), FetchEnd::Stop, FetchEncoding::Batches);
    let mut messages = world.fetch().fetch(request).await.unwrap().into_inner();
    let message = messages.message().await.unwrap().unwrap();
    assert!(message.end_reached && message.batches.is_empty() && message.next_offset == 0);
    assert!(messages.message().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn followers_are_woken_and_read_from_memory() {
    let world = World::new().await;
    world.topic("t", 2).await;
    let partition = |partition| FetchPartition { topic: "t".into(), partition, position: Some(earliest()) };
    let request = FetchRequest {
        partitions: vec![partition(1), partition(0)],
        end: FetchEnd::Follow.into(),
        encoding: FetchEncoding::Records.into(),
    };
    let mut messages = world.fetch().fetch(request).await.unwrap().into_inner();
    assert!(tokio::time::timeout(Duration::from_secs(60), messages.message()).await.is_err(), "nothing is there");
    let asked = { world.sequencer.state().index_calls };
    for round in 0..50i64 {
        let value = round.to_string();
        world.append("t", u32::try_from(round % 2).unwrap(), &[&value]).await;
        let message = messages.message().await.unwrap().unwrap();
        assert_eq!(message.index, u32::try_from(1 - round % 2).unwrap());
        assert_eq!(text(message.records[0].value.clone()), value);
        assert_eq!((message.next_offset, message.high_watermark), (round / 2 + 1, round / 2 + 1));
        assert!(!message.end_reached);
    }
    assert_eq!(world.sequencer.state().index_calls, asked, "what was pushed is not asked for");
}

#[tokio::test(start_paused = true)]
async fn a_lost_subscription_is_taken_up_again() {
    let world = World::new().await;
    world.topic("t", 1).await;
    let request = fetch_request("t", 0, earliest(), FetchEnd::Follow, FetchEncoding::Records);
    let mut messages = world.fetch().fetch(request).await.unwrap().into_inner();
    world.append("t", 0, &["a"]).await;
    assert_eq!(messages.message().await.unwrap().unwrap().next_offset, 1);
    world.sequencer.state().cut_subscribers_off();
    for value in ["b", "c"] {
        world.append("t", 0, &[value]).await;
    }
    let mut read = Vec::new();
    while read.len() < 2 {
        let message = messages.message().await.unwrap().unwrap();
        read.extend(message.records.into_iter().map(|record| text(record.value)));
    }
    assert_eq!(read, ["b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_topic_ends_its_readers_and_no_others() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.topic("other", 1).await;
    world.append("t", 0, &["a"]).await;
    let mut request = fetch_request("t", 0, earliest(), FetchEnd::Follow, FetchEncoding::Records);
    let other = FetchPartition { topic: "other".into(), partition: 0, position: Some(earliest()) };
    request.partitions.push(other);
    let mut messages = world.fetch().fetch(request).await.unwrap().into_inner();
    assert_eq!(messages.message().await.unwrap().unwrap().index, 0);
    world.topics().delete_topic(DeleteTopicRequest { name: "t".into() }).await.unwrap();
    let end = messages.message().await.unwrap().unwrap();
    assert_eq!((end.index, end.next_offset), (0, 1));
    assert_eq!(end.error.unwrap().reason(), ErrorReason::UnknownTopic);
    world.append("other", 0, &["b"]).await;
    let message = messages.message().await.unwrap().unwrap();
    assert_eq!((message.index, message.next_offset), (1, 1));
    world.topics().delete_topic(DeleteTopicRequest { name: "other".into() }).await.unwrap();
    assert!(messages.message().await.unwrap().unwrap().error.is_some());
    assert_eq!(messages.message().await.unwrap(), None, "nothing is left to read");
}

#[tokio::test(start_paused = true)]
async fn a_topic_deleted_while_a_stream_opens_ends_it() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.sequencer.change(|mood| mood.searches_hang = true);
    let mut client = world.fetch();
    let request = fetch_request("t", 0, at(At::TimestampMs(0)), FetchEnd::Follow, FetchEncoding::Records);
    let opened = tokio::spawn(async move { client.fetch(request).await });
    until("the bounds are known", || world.sequencer.state().search_calls == 1).await;
    world.topics().delete_topic(DeleteTopicRequest { name: "t".into() }).await.unwrap();
    // What is pushed comes in order: once this is seen, so is the deletion.
    world.topic("other", 1).await;
    world.append("other", 0, &["a"]).await;
    let request = fetch_request("other", 0, earliest(), FetchEnd::Follow, FetchEncoding::Records);
    world.fetch().fetch(request).await.unwrap().into_inner().message().await.unwrap().unwrap();
    world.sequencer.change(|mood| mood.searches_hang = false);
    let mut messages = opened.await.unwrap().unwrap().into_inner();
    let end = tokio::time::timeout(Duration::from_secs(10), messages.message()).await.expect("it ends");
    assert_eq!(end.unwrap().unwrap().error.unwrap().reason(), ErrorReason::UnknownTopic);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_log_is_asked_for_once_for_all_who_wait() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.append("t", 0, &["a"]).await;
    let before = world.sequencer.state().bounds_calls;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let mut client = world.fetch();
        asked.spawn(async move {
            let partition =
                FetchPartition { topic: "t".into(), partition: 0, position: Some(at(At::Latest(Latest {}))) };
            client.list_offsets(ListOffsetsRequest { partitions: vec![partition] }).await.unwrap().into_inner()
        });
    }
    while let Some(answer) = asked.join_next().await {
        assert_eq!(answer.unwrap().offsets[0].offset, 1);
    }
    let calls = world.sequencer.state().bounds_calls - before;
    assert!(calls < 100, "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_lost_is_an_alarm() {
    let world = World::with(|settings| settings.recent_runs_max = 0).await;
    world.topic("t", 1).await;
    world.append("t", 0, &["a"]).await;
    let everything = || fetch_request("t", 0, earliest(), FetchEnd::Stop, FetchEncoding::Records);
    let mut messages = world.fetch().fetch(everything()).await.unwrap().into_inner();
    assert_eq!(messages.message().await.unwrap().unwrap().next_offset, 1);
    world.sequencer.state().lose_objects(TopicPartition { topic: TopicNumber(0), partition: 0 });
    let mut messages = world.fetch().fetch(everything()).await.unwrap().into_inner();
    let partition = FetchPartition { topic: "t".into(), partition: 0, position: Some(at(At::TimestampMs(0))) };
    let by_time = world.fetch().list_offsets(ListOffsetsRequest { partitions: vec![partition] }).await;
    let by_offset = messages.message().await.unwrap().unwrap().error.unwrap();
    assert_eq!(by_offset.reason(), ErrorReason::StoredDataCorrupt);
    assert_eq!(by_time.unwrap_err().code(), Code::DataLoss);
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_object_moved_asks_the_index_again() {
    let world = World::with(|settings| settings.recent_runs_max = 0).await;
    world.topic("t", 1).await;
    let value = "v".repeat(600 << 10);
    for _ in 0..64 {
        world.append("t", 0, &[&value]).await;
    }
    let request = fetch_request("t", 0, earliest(), FetchEnd::Stop, FetchEncoding::Records);
    let mut messages = world.fetch().fetch(request).await.unwrap().into_inner();
    assert_eq!(messages.message().await.unwrap().unwrap().next_offset, 1);
    world.move_objects("t", 0).await;
    let mut last = 0;
    while let Some(message) = messages.message().await.unwrap() {
        last = message.next_offset;
    }
    assert_eq!(last, 64);
}

#[tokio::test(start_paused = true)]
async fn the_index_is_read_in_pages() {
    let world = World::with(|settings| settings.recent_runs_max = 100).await;
    world.topic("t", 1).await;
    let mut client = world.produce();
    for number in 0..2_600 {
        client.produce(records("t", 0, &[&number.to_string()])).await.unwrap();
    }
    let before = world.sequencer.state().index_calls;
    let read = world.read_all("t", 0).await;
    let expected: Vec<_> = (0..2_600).map(|number| (number, number.to_string())).collect();
    assert_eq!(read, expected);
    assert_eq!(world.sequencer.state().index_calls - before, 3);
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_known_before_the_end_moves_are_read_when_it_does() {
    // Memory holds the last row alone, so that the index is asked.
    let world = World::with(|settings| settings.recent_runs_max = 1).await;
    world.topic("t", 1).await;
    let request = fetch_request("t", 0, earliest(), FetchEnd::Follow, FetchEncoding::Records);
    let mut messages = world.fetch().fetch(request).await.unwrap().into_inner();
    assert!(tokio::time::timeout(Duration::from_secs(60), messages.message()).await.is_err(), "nothing is there");
    world.sequencer.state().hold_pushes();
    for value in ["a", "b", "c", "d"] {
        world.append("t", 0, &[value]).await;
    }
    let mut read = Vec::new();
    for (released, end) in [(2, 2), (1, 3), (1, 4)] {
        world.sequencer.state().release_pushes(released);
        while read.len() < end {
            let message = messages.message().await.unwrap().unwrap();
            read.extend(message.records.into_iter().map(|record| text(record.value)));
        }
    }
    assert_eq!(read, ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn slow_readers_hold_bounded_memory_and_lose_nothing() {
    let mib = 1 << 20;
    let world = World::with(|settings| {
        settings.read_ahead_bytes_max = 2 * mib;
        settings.read_ahead_per_stream_bytes_max = mib;
    })
    .await;
    world.topic("t", 1).await;
    let value = "v".repeat(mib / 2);
    for _ in 0..16 {
        world.append("t", 0, &[&value]).await;
    }
    let mut slow = Vec::new();
    for _ in 0..8 {
        let request = fetch_request("t", 0, earliest(), FetchEnd::Stop, FetchEncoding::Records);
        let mut messages = world.fetch().fetch(request).await.unwrap().into_inner();
        messages.message().await.unwrap().unwrap();
        slow.push(messages);
    }
    // A quick one is served although the slow ones take nothing.
    assert_eq!(world.read_all("t", 0).await.len(), 16);
    for mut messages in slow {
        let mut last = 0;
        while let Some(message) = messages.message().await.unwrap() {
            last = message.next_offset;
        }
        assert_eq!(last, 16);
    }
}

#[tokio::test(start_paused = true)]
async fn large_batches_that_a_client_does_not_take_leave_no_room_beyond_theirs() {
    let world = World::with(|settings| {
        settings.batch_limits.max_batch_bytes = 1 << 20;
        settings.fetch_message_bytes = 64 << 10;
        settings.large_messages_bytes_max = 1 << 20;
    })
    .await;
    world.topic("t", 1).await;
    let value = "v".repeat(900 << 10);
    for _ in 0..32 {
        world.append("t", 0, &[&value]).await;
    }
    let everything = || fetch_request("t", 0, earliest(), FetchEnd::Stop, FetchEncoding::Batches);
    let mut stopped = world.fetch().fetch(everything()).await.unwrap().into_inner();
    stopped.message().await.unwrap().unwrap();
    // What was made for it and is not taken holds the only place.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut other = world.fetch().fetch(everything()).await.unwrap().into_inner();
    let refused = other.message().await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.get_details_error_info().unwrap().reason),
        (Code::Unavailable, "UNAVAILABLE".into())
    );
    // Small ones need none.
    world.topic("small", 1).await;
    world.append("small", 0, &["a"]).await;
    assert_eq!(world.read_all("small", 0).await.len(), 1);
    drop(stopped);
    let mut other = world.fetch().fetch(everything()).await.unwrap().into_inner();
    let mut last = 0;
    while let Some(message) = other.message().await.unwrap() {
        last = message.next_offset;
    }
    assert_eq!(last, 32);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_readers_with_a_clear_word() {
    let world = World::new().await;
    world.topic("t", 1).await;
    let request = fetch_request("t", 0, earliest(), FetchEnd::Follow, FetchEncoding::Records);
    let mut messages = world.fetch().fetch(request).await.unwrap().into_inner();
    assert!(world.gateway.drain(Duration::from_secs(1)).await);
    let end = messages.message().await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    assert!(end.message().contains("another"), "{}", end.message());
}

#[tokio::test(start_paused = true)]
async fn many_partitions_come_in_one_stream() {
    let world = World::new().await;
    world.topic("t", 200).await;
    let (requests, mut answers) = world.stream().await;
    tokio::spawn(async move {
        for id in 0..400u64 {
            let wanted = records("t", u32::try_from(id % 200).unwrap(), &[&id.to_string()]);
            requests.send(ProduceStreamRequest { request_id: id, request: Some(wanted) }).await.unwrap();
        }
    });
    while answers.message().await.unwrap().is_some() {}
    let partition = |partition| FetchPartition { topic: "t".into(), partition, position: Some(earliest()) };
    let request = FetchRequest {
        partitions: (0..200).map(partition).collect(),
        end: FetchEnd::Stop.into(),
        encoding: FetchEncoding::Records.into(),
    };
    let mut messages = world.fetch().fetch(request).await.unwrap().into_inner();
    let mut read = vec![Vec::new(); 200];
    let mut ended = 0;
    while let Some(message) = messages.message().await.unwrap() {
        let index = usize::try_from(message.index).unwrap();
        read[index].extend(message.records.into_iter().map(|record| text(record.value)));
        ended += usize::from(message.end_reached);
    }
    assert_eq!(ended, 200);
    for (index, values) in read.iter().enumerate() {
        assert_eq!(*values, [index.to_string(), (index + 200).to_string()]);
    }
}
