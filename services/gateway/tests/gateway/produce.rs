use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use eagre_model::{ObjectId, TopicNumber, TopicPartition};
use eagre_proto::v1::{produce_stream_response::Outcome, *};
use tokio::{sync::mpsc, time::Instant};
use tonic::{Code, codegen::Service};
use tonic_types::StatusExt;

use crate::world::{Uploads, World, batch, of_batch, records, until};

fn request(request_id: u64, request: ProduceRequest) -> ProduceStreamRequest {
    ProduceStreamRequest { request_id, request: Some(request) }
}

fn base(answer: ProduceStreamResponse) -> (u64, i64) {
    match answer.outcome.unwrap() {
        Outcome::Response(response) => (answer.request_id, response.base_offset),
        Outcome::Error(error) => panic!("request {} failed: {error:?}", answer.request_id),
    }
}

fn error(answer: ProduceStreamResponse) -> ProduceError {
    match answer.outcome.unwrap() {
        Outcome::Error(error) => error,
        Outcome::Response(response) => panic!("request {} was acked: {response:?}", answer.request_id),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_acked_is_there() {
    let world = World::new().await;
    world.topic("t", 2).await;
    assert_eq!(world.append("t", 0, &["a", "b"]).await, 0);
    assert_eq!(world.append("t", 0, &["c"]).await, 2);
    let answer = world.produce().produce(of_batch("t", 1, batch(&["x", "y"]))).await.unwrap().into_inner();
    assert_eq!((answer.base_offset, answer.duplicate), (0, false));
    let all = world.read_all("t", 0).await;
    assert_eq!(all, [(0, "a".into()), (1, "b".into()), (2, "c".into())]);
    assert_eq!(world.read_all("t", 1).await, [(0, "x".into()), (1, "y".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_answers_each_partition_in_order() {
    let world = World::new().await;
    world.topic("t", 3).await;
    let (requests, mut answers) = world.stream().await;
    let sent = tokio::spawn(async move {
        for id in 0..300u64 {
            let mut wanted = records("t", u32::try_from(id % 3).unwrap(), &[&id.to_string()]);
            if id % 50 == 7 {
                wanted.payload = None;
            }
            requests.send(request(id, wanted)).await.unwrap();
        }
    });
    let mut seen = vec![Vec::new(); 3];
    let mut refused = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        seen[usize::try_from(answer.request_id % 3).unwrap()].push(answer.request_id);
        refused += usize::from(matches!(answer.outcome, Some(Outcome::Error(_))));
    }
    sent.await.unwrap();
    assert_eq!(refused, 6);
    for ids in &seen {
        assert_eq!(ids.len(), 100);
        assert!(ids.is_sorted(), "{ids:?}");
    }
    let written: Vec<_> = (0..300).filter(|id| id % 3 == 1 && id % 50 != 7).map(|id: u64| id.to_string()).collect();
    let read: Vec<_> = world.read_all("t", 1).await.into_iter().map(|(_, value)| value).collect();
    assert_eq!(read, written);
    assert!(world.store.uploaded.lock().unwrap().len() < 100, "requests share objects");
}

/// A request that names no partition: values with their keys.
fn unplaced(topic: &str, records: &[(Option<&str>, &str)]) -> ProduceRequest {
    let record = |(key, value): &(Option<&str>, &str)| Record {
        key: key.map(|key| key.to_owned().into()),
        value: Some((*value).to_owned().into()),
        ..Record::default()
    };
    let records = records.iter().map(record).collect();
    let payload = Some(produce_request::Payload::Records(RecordList { records }));
    ProduceRequest { topic: topic.to_owned(), partition: None, payload, producer: None, topic_id: None }
}

#[tokio::test(start_paused = true)]
async fn records_without_a_partition_go_where_their_keys_belong() {
    let world = World::new().await;
    world.topic("t", 4).await;
    let records = [(Some("a"), "0"), (None, "1"), (Some("b"), "2"), (Some("a"), "3"), (Some("c"), "4"), (None, "5")];
    let answer = world.produce().produce(unplaced("t", &records)).await.unwrap().into_inner();
    assert_eq!(answer.positions.len(), records.len());
    assert_eq!(answer.base_offset, answer.positions[0].offset);
    let placement = eagre_model::Placement::Fixed { partitions: 4 };
    for ((key, value), position) in records.iter().zip(&answer.positions) {
        if let Some(key) = key {
            let partition = eagre_model::keys::partition_for_key(&placement, key.as_bytes());
            assert_eq!(Some(position.partition), partition, "{value}");
        }
        let read = world.read_all("t", position.partition).await;
        assert!(read.contains(&(position.offset, (*value).to_owned())), "{value} is not at {position:?}: {read:?}");
    }
    assert!(answer.positions[0].offset < answer.positions[3].offset, "one key, one order");
    assert_eq!(answer.positions[1].partition, answer.positions[5].partition, "those without a key stay together");

    let (requests, mut answers) = world.stream().await;
    requests.send(request(7, unplaced("t", &records))).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(Outcome::Response(response)) = answer.outcome else { panic!("{answer:?}") };
    assert_eq!((answer.request_id, response.positions.len()), (7, 6));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_placed_is_refused_whole() {
    let world = World::new().await;
    world.topic("t", 4).await;
    let plain = || unplaced("t", &[(Some("a"), "x")]);
    let numbered = ProducerSequence { producer_id: 1, producer_epoch: 0, first_sequence: -1 };
    let large = "x".repeat((1 << 20) + 1);
    let many: Vec<_> = (0..10_001).map(|_| (None, "")).collect();
    for (what, wrong) in [
        ("a ready batch", ProduceRequest { partition: None, ..of_batch("t", 0, batch(&["x"])) }),
        ("a negative number", ProduceRequest { producer: Some(numbered), ..plain() }),
        ("nothing", ProduceRequest { payload: None, ..plain() }),
        ("no records", unplaced("t", &[])),
        ("one that is too large", unplaced("t", &[(Some("a"), "small"), (Some("b"), &large), (Some("c"), "small")])),
        ("too many", unplaced("t", &many)),
    ] {
        let status = world.produce().produce(wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
    }
    for partition in 0..4 {
        assert!(world.read_all("t", partition).await.is_empty(), "something was appended");
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_looked_up_holds_up_no_other() {
    let world = World::new().await;
    world.topic("known", 1).await;
    world.append("known", 0, &["a"]).await;
    world.sequencer.change(|mood| mood.lookups_hang = true);
    let (requests, mut answers) = world.stream().await;
    requests.send(request(1, records("slow", 0, &["x"]))).await.unwrap();
    requests.send(request(2, records("known", 0, &["b"]))).await.unwrap();
    requests.send(request(3, records("slow", 0, &["y"]))).await.unwrap();
    assert_eq!(base(answers.message().await.unwrap().unwrap()), (2, 1));
    eagre_sequencer_api::Sequencer::create_topic(&*world.sequencer, "slow", Some(1)).await.unwrap();
    world.sequencer.change(|mood| mood.lookups_hang = false);
    assert_eq!(base(answers.message().await.unwrap().unwrap()), (1, 0));
    assert_eq!(base(answers.message().await.unwrap().unwrap()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn no_ack_before_the_object_is_in_the_bucket() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.store.uploads(Uploads::Hang);
    let (requests, mut answers) = world.stream().await;
    requests.send(request(1, records("t", 0, &["a"]))).await.unwrap();
    until("the upload has begun", || world.store.attempts.load(Ordering::Relaxed) == 1).await;
    assert!(tokio::time::timeout(Duration::from_secs(1), answers.message()).await.is_err());
    assert!(world.sequencer.state().seen.is_empty(), "nothing is submitted before its upload is done");
    world.store.uploads(Uploads::Succeed);
    assert_eq!(base(answers.message().await.unwrap().unwrap()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn commits_come_in_the_order_of_the_cuts() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.store.uploads(Uploads::Hang);
    let (requests, mut answers) = world.stream().await;
    for id in 0..5 {
        requests.send(request(id, records("t", 0, &["a"]))).await.unwrap();
        // Several objects are under way at once.
        let begun = usize::try_from(id).unwrap() + 1;
        until("another upload has begun", || world.store.attempts.load(Ordering::Relaxed) == begun).await;
    }
    world.store.uploads(Uploads::Succeed);
    for id in 0..5 {
        assert_eq!(base(answers.message().await.unwrap().unwrap()), (id, i64::try_from(id).unwrap()));
    }
    let seen: Vec<u64> = world.sequencer.state().seen.iter().map(|object| object.number).collect();
    assert!(seen.is_sorted(), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_a_definite_failure_and_passes() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.append("t", 0, &["before"]).await;
    world.store.uploads(Uploads::Full);
    let (requests, mut answers) = world.stream().await;
    requests.send(request(1, records("t", 0, &["lost"]))).await.unwrap();
    let refused = error(answers.message().await.unwrap().unwrap());
    assert_eq!(refused.reason(), ErrorReason::Unavailable);
    assert!(refused.retriable && !refused.outcome_unknown);
    assert!(refused.message.contains("full"), "{}", refused.message);
    let unary = world.produce().produce(records("t", 0, &["lost"])).await.unwrap_err();
    assert_eq!(unary.code(), Code::Unavailable);
    assert_eq!(world.read_all("t", 0).await, [(0, "before".into())], "reads go on");
    world.store.uploads(Uploads::Succeed);
    requests.send(request(2, records("t", 0, &["after"]))).await.unwrap();
    assert_eq!(base(answers.message().await.unwrap().unwrap()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_fails_is_tried_again_and_then_refused() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.store.uploads(Uploads::Fail);
    let (requests, mut answers) = world.stream().await;
    requests.send(request(1, records("t", 0, &["a"]))).await.unwrap();
    until("it was tried again", || world.store.attempts.load(Ordering::Relaxed) >= 3).await;
    world.store.uploads(Uploads::Succeed);
    assert_eq!(base(answers.message().await.unwrap().unwrap()), (1, 0));
    world.store.uploads(Uploads::Fail);
    requests.send(request(2, records("t", 0, &["b"]))).await.unwrap();
    let refused = error(answers.message().await.unwrap().unwrap());
    assert!(!refused.outcome_unknown && refused.retriable);
}

#[tokio::test(start_paused = true)]
async fn after_a_break_the_unanswered_come_again_first_and_land_once() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.sequencer.change(|mood| mood.silent = true);
    let (requests, mut answers) = world.stream().await;
    for id in 0..3 {
        requests.send(request(id, records("t", 0, &[&id.to_string()]))).await.unwrap();
        let begun = usize::try_from(id).unwrap() + 1;
        until("the object is uploaded", || world.store.uploaded.lock().unwrap().len() == begun).await;
    }
    until("the first one is judged", || !world.sequencer.state().seen.is_empty()).await;
    world.sequencer.change(|mood| {
        mood.streams_broken += 1;
        mood.silent = false;
    });
    for id in 0..3 {
        assert_eq!(base(answers.message().await.unwrap().unwrap()), (id, i64::try_from(id).unwrap()));
    }
    let seen: Vec<u64> = world.sequencer.state().seen.iter().map(|object| object.number).collect();
    assert_eq!(seen[0], seen[1], "the judged one came twice: {seen:?}");
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!(world.read_all("t", 0).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_an_unknown_outcome() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.sequencer.change(|mood| mood.silent = true);
    let unknown = world.produce().produce(records("t", 0, &["a"])).await.unwrap_err();
    assert_eq!(unknown.get_details_error_info().unwrap().reason, "OUTCOME_UNKNOWN");
    world.sequencer.change(|mood| mood.silent = false);
    // It was appended after all, and nothing is stuck behind it.
    assert_eq!(world.append("t", 0, &["b"]).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_never_submitted_is_a_definite_failure() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.sequencer.change(|mood| {
        mood.unavailable = true;
        mood.streams_broken += 1;
    });
    let refused = world.produce().produce(records("t", 0, &["a"])).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "UNAVAILABLE");
    world.sequencer.change(|mood| mood.unavailable = false);
    assert_eq!(world.append("t", 0, &["b"]).await, 0);
    assert_eq!(world.read_all("t", 0).await, [(0, "b".into())]);
}

#[tokio::test(start_paused = true)]
async fn below_the_floor_everything_is_uploaded_again_in_order() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.sequencer.change(|mood| mood.busy = true);
    let (requests, mut answers) = world.stream().await;
    for id in 0..4 {
        requests.send(request(id, records("t", 0, &[&id.to_string()]))).await.unwrap();
        let begun = usize::try_from(id).unwrap() + 1;
        until("the object is uploaded", || world.store.uploaded.lock().unwrap().len() == begun).await;
    }
    world.sequencer.state().raise_floor();
    world.sequencer.change(|mood| mood.busy = false);
    for id in 0..4 {
        assert_eq!(base(answers.message().await.unwrap().unwrap()), (id, i64::try_from(id).unwrap()));
    }
    let values: Vec<_> = world.read_all("t", 0).await.into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["0", "1", "2", "3"]);
    let seen = world.sequencer.state().seen.clone();
    let (old, new): (Vec<ObjectId>, Vec<ObjectId>) = seen.iter().partition(|object| object.epoch.0 == 0);
    assert_eq!((old.len(), new.len()), (4, 4));
    let mut ids = seen.clone();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 8, "no id is used twice");
}

#[tokio::test(start_paused = true)]
async fn sequences_are_judged() {
    let world = World::new().await;
    world.topic("t", 1).await;
    let producer = world.produce().init_producer(InitProducerRequest {}).await.unwrap().into_inner();
    let numbered = |first_sequence, values: &[&str]| ProduceRequest {
        producer: Some(ProducerSequence {
            producer_id: producer.producer_id,
            producer_epoch: producer.producer_epoch,
            first_sequence,
        }),
        ..records("t", 0, values)
    };
    let mut client = world.produce();
    let first = client.produce(numbered(0, &["a", "b"])).await.unwrap().into_inner();
    assert_eq!((first.base_offset, first.duplicate), (0, false));
    let again = client.produce(numbered(0, &["a", "b"])).await.unwrap().into_inner();
    assert_eq!((again.base_offset, again.duplicate), (0, true));
    let gap = client.produce(numbered(5, &["c"])).await.unwrap_err();
    let info = gap.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata["expected_sequence"].as_str()), ("OUT_OF_ORDER_SEQUENCE", "2"));
    let next = client.produce(numbered(2, &["c"])).await.unwrap().into_inner();
    assert_eq!(next.base_offset, 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disappears_harms_nobody() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.store.uploads(Uploads::Hang);
    let (requests, answers) = world.stream().await;
    requests.send(request(1, records("t", 0, &["gone"]))).await.unwrap();
    until("the upload has begun", || world.store.attempts.load(Ordering::Relaxed) == 1).await;
    drop((requests, answers));
    let (requests, mut answers) = world.stream().await;
    requests.send(request(1, records("t", 0, &["here"]))).await.unwrap();
    until("another upload has begun", || world.store.attempts.load(Ordering::Relaxed) == 2).await;
    world.store.uploads(Uploads::Succeed);
    assert_eq!(base(answers.message().await.unwrap().unwrap()), (1, 1));
    assert_eq!(world.read_all("t", 0).await, [(0, "gone".into()), (1, "here".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_deleted_and_made_anew_is_another_one() {
    let world = World::new().await;
    world.topic("t", 1).await;
    assert_eq!(world.append("t", 0, &["a"]).await, 0);
    assert_eq!(world.append("t", 0, &["b"]).await, 1);
    world.topics().delete_topic(DeleteTopicRequest { name: "t".into() }).await.unwrap();
    let gone = world.produce().produce(records("t", 0, &["c"])).await.unwrap_err();
    assert_eq!(gone.get_details_error_info().unwrap().reason, "UNKNOWN_TOPIC");
    world.topic("t", 1).await;
    assert_eq!(world.append("t", 0, &["d"]).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_may_say_which_topic_of_that_name_it_means() {
    let world = World::new().await;
    let id = || async {
        let request = CreateTopicRequest { name: "t".into(), partitions: Some(1), max_message_bytes: None };
        world.topics().create_topic(request).await.unwrap().into_inner().topic.unwrap().id
    };
    let first = id().await;
    let meant = |id: &str| ProduceRequest { topic_id: Some(id.to_owned()), ..records("t", 0, &["x"]) };
    world.produce().produce(meant(&first)).await.unwrap();
    world.topics().delete_topic(DeleteTopicRequest { name: "t".into() }).await.unwrap();
    let second = id().await;
    let (requests, mut answers) = world.stream().await;
    for wrong in [&first, "", "no id"] {
        let status = world.produce().produce(meant(wrong)).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{status}");
        requests.send(request(1, meant(wrong))).await.unwrap();
        assert_eq!(error(answers.message().await.unwrap().unwrap()).reason(), ErrorReason::UnknownTopic);
    }
    world.produce().produce(meant(&second)).await.unwrap();
    assert_eq!(world.read_all("t", 0).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn clients_wait_while_the_budget_is_spent() {
    let mib = 1 << 20;
    let world = World::with(|settings| settings.produce_bytes_max = 32 * mib).await;
    world.topic("t", 1).await;
    world.store.uploads(Uploads::Hang);
    let (requests, mut answers) = world.stream().await;
    let sent = tokio::spawn(async move {
        let value = "v".repeat(mib / 2);
        let values = vec![value.as_str(); 7];
        for id in 0..40 {
            requests.send(request(id, records("t", 0, &values))).await.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!sent.is_finished(), "140 MiB do not fit into 32");
    // Another stream waits its turn, and gets it.
    let (others, mut other_answers) = world.stream().await;
    others.send(request(7, records("t", 0, &["small"]))).await.unwrap();
    world.store.uploads(Uploads::Succeed);
    base(other_answers.message().await.unwrap().unwrap());
    for id in 0..40 {
        assert_eq!(base(answers.message().await.unwrap().unwrap()).0, id);
    }
    sent.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_what_was_taken() {
    let mut world = World::new().await;
    world.topic("t", 1).await;
    world.store.uploads(Uploads::Hang);
    let (requests, mut answers) = world.stream().await;
    requests.send(request(1, records("t", 0, &["a"]))).await.unwrap();
    until("the upload has begun", || world.store.attempts.load(Ordering::Relaxed) == 1).await;
    let gateway = world.gateway.clone();
    let drained = tokio::spawn(async move { gateway.drain(Duration::from_secs(5)).await });
    world.gateway.failed().await;
    assert!(!world.gateway.is_ready());
    let refused = world.produce().produce(records("t", 0, &["b"])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    world.store.uploads(Uploads::Succeed);
    assert_eq!(base(answers.message().await.unwrap().unwrap()), (1, 0));
    let end = answers.message().await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    assert!(end.message().contains("going away"), "{}", end.message());
    assert!(drained.await.unwrap());
    world.stop_listening();
    (&mut world.server).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_bounded_and_honest() {
    let world = World::new().await;
    world.topic("t", 1).await;
    world.sequencer.change(|mood| mood.silent = true);
    let (requests, mut answers) = world.stream().await;
    requests.send(request(1, records("t", 0, &["a"]))).await.unwrap();
    until("it is judged", || !world.sequencer.state().seen.is_empty()).await;
    assert!(!world.gateway.drain(Duration::from_secs(2)).await);
    let unknown = error(answers.message().await.unwrap().unwrap());
    assert!(unknown.outcome_unknown, "{unknown:?}");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_whose_pipeline_died_is_not_ready_and_takes_nothing() {
    let world = World::new().await;
    world.topic("t", 1).await;
    assert!(world.gateway.is_ready());
    let (requests, mut answers) = world.stream().await;
    requests.send(request(1, records("t", 0, &["a"]))).await.unwrap();
    assert_eq!(base(answers.message().await.unwrap().unwrap()), (1, 0));
    world.sequencer.change(|mood| {
        mood.open_panics = true;
        mood.streams_broken += 1;
    });
    until("it is not ready any more", || !world.gateway.is_ready()).await;
    let refused = world.produce().produce(records("t", 0, &["a"])).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "UNAVAILABLE");
    let end = tokio::time::timeout(Duration::from_secs(1), answers.message()).await.expect("the open stream ends");
    assert_eq!(end.unwrap_err().code(), Code::Unavailable);
    drop(requests);
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_gateway_that_cannot_join_are_refused_in_time() {
    let world = World::starting(|_| {}, |mood| mood.joins_hang = true).await;
    world.topic("t", 1).await;
    let began = Instant::now();
    let refused = world.produce().produce(records("t", 0, &["a"])).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "UNAVAILABLE");
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    world.sequencer.change(|mood| mood.joins_hang = false);
    assert_eq!(world.append("t", 0, &["b"]).await, 0, "the one that was refused was not appended");
}

#[tokio::test(start_paused = true)]
async fn the_more_streams_the_fewer_unanswered_requests_of_each() {
    let second = Duration::from_secs(1);
    let world = World::with(|settings| {
        settings.requests_max = 128;
        (settings.cut_interval_min, settings.cut_interval_max) = (second, second);
    })
    .await;
    world.topic("t", 1).await;
    // After this cut all that is read goes into the next object, the only one that is judged from here on.
    world.append("t", 0, &["first"]).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(world.stream().await);
    }
    let (requests, _answers) = world.stream().await;
    world.sequencer.change(|mood| mood.silent = true);
    tokio::spawn(async move {
        for id in 0..100 {
            // Fails when the test is over.
            let _ = requests.send(request(id, records("t", 0, &["a"]))).await;
        }
        std::future::pending::<()>().await;
    });
    let appended = || world.sequencer.appended(TopicPartition { topic: TopicNumber(0), partition: 0 });
    until("the object is judged", || appended() > 1).await;
    assert_eq!(appended() - 1, 32, "a fourth of what all may have");
}

/// The beginning of a unary produce call: its first frame says how long the message is.
async fn dribbler(world: &World, announced_bytes: u32, sent_bytes: usize) -> mpsc::Sender<Bytes> {
    let (frames, received) = mpsc::channel::<Bytes>(16);
    let prefix = [&[0][..], &announced_bytes.to_be_bytes()].concat();
    frames.send([prefix, vec![0; sent_bytes]].concat().into()).await.unwrap();
    let body = futures::stream::unfold(received, |mut received| async {
        let frame = received.recv().await?;
        Some((Ok::<_, tonic::Status>(http_body::Frame::data(frame)), received))
    });
    let request = tonic::codegen::http::Request::post("http://gateway:1/eagre.v1.ProduceService/Produce")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(http_body_util::StreamBody::new(body)))
        .unwrap();
    let mut channel = world.channel();
    tokio::spawn(async move {
        std::future::poll_fn(|cx| Service::poll_ready(&mut channel, cx)).await.unwrap();
        Service::call(&mut channel, request).await
    });
    frames
}

#[tokio::test(start_paused = true)]
async fn those_who_announce_much_and_send_little_stop_nobody() {
    let world = World::new().await;
    world.topic("t", 1).await;
    let mut slow = Vec::new();
    for sent_bytes in [0, 100, 100_000] {
        for _ in 0..12 {
            slow.push(dribbler(&world, 8 << 20, sent_bytes).await);
        }
        // Long enough for the beginnings to arrive, and too short for any to be given up.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        world.append("t", 0, &["quick"]).await;
        world.append("t", 0, &[&"v".repeat(10_000)]).await;
        if sent_bytes < 100_000 {
            world.append("t", 0, &[&"v".repeat(1_000_000)]).await;
        }
        assert!(began.elapsed() < Duration::from_secs(1), "{:?} beside {sent_bytes}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_room_is_refused_in_time() {
    let world = World::with(|settings| {
        settings.produce_bytes_max = 32 << 20;
        settings.object_bytes_max = 1 << 20;
        settings.upload_attempt_max = Duration::from_secs(600);
    })
    .await;
    world.topic("t", 1).await;
    world.sequencer.change(|mood| mood.silent = true);
    let (requests, mut answers) = world.stream().await;
    let value = "v".repeat(1 << 19);
    let values = vec![value.as_str(); 15];
    for id in 0..4 {
        requests.send(request(id, records("t", 0, &values))).await.unwrap();
    }
    for _ in 0..4 {
        assert!(error(answers.message().await.unwrap().unwrap()).outcome_unknown);
    }
    // What was submitted keeps its memory until the sequencer speaks.
    let began = Instant::now();
    let refused = world.produce().produce(records("t", 0, &values)).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "UNAVAILABLE", "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    world.sequencer.change(|mood| mood.silent = false);
    world.append("t", 0, &values).await;
}
