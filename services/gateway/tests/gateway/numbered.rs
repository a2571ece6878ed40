//! Requests that name no partition and are numbered per topic: they land once, whole.

use std::collections::BTreeSet;

use eagre_model::{TopicNumber, TopicPartition};
use eagre_proto::v1::{produce_request::Payload, *};
use eagre_sequencer_api::Sequencer;
use tonic::Status;
use tonic_types::StatusExt;

use crate::world::{Uploads, World, until};

/// Records of several keys and one without.
fn request(producer_id: i64, first_sequence: i32, values: &[&str]) -> ProduceRequest {
    let keys = ["a", "b", "c", "d", "e", "f"].map(|key| Some(key.into())).into_iter().chain([None]);
    let record = |(value, key): (&&str, _)| Record { key, ..crate::world::record(value) };
    let records = values.iter().zip(keys).map(record).collect();
    ProduceRequest {
        topic: "t".into(),
        partition: None,
        payload: Some(Payload::Records(RecordList { records })),
        producer: Some(ProducerSequence { producer_id, producer_epoch: 0, first_sequence }),
        topic_id: None,
    }
}

const SEVEN: [&str; 7] = ["0", "1", "2", "3", "4", "5", "6"];

async fn produce(world: &World, request: ProduceRequest) -> Result<ProduceResponse, Status> {
    world.produce().produce(request).await.map(tonic::Response::into_inner)
}

async fn producer(world: &World) -> i64 {
    world.produce().init_producer(InitProducerRequest {}).await.unwrap().into_inner().producer_id
}

/// All values of a topic, with their places.
async fn read(world: &World, partitions: u32) -> Vec<(String, RecordPosition)> {
    let mut all = Vec::new();
    for partition in 0..partitions {
        let records = world.read_all("t", partition).await.into_iter();
        all.extend(records.map(|(offset, value)| (value, RecordPosition { partition, offset })));
    }
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

#[tokio::test(start_paused = true)]
async fn a_request_lands_once_and_a_retry_is_told_where() {
    let world = World::new().await;
    world.topic("t", 5).await;
    let id = producer(&world).await;
    let first = produce(&world, request(id, 0, &SEVEN)).await.unwrap();
    assert!(!first.duplicate);
    let partitions: BTreeSet<u32> = first.positions.iter().map(|position| position.partition).collect();
    assert!(partitions.len() > 2, "{first:?}");
    let second = produce(&world, request(id, 7, &["7"])).await.unwrap();
    for (sequence, values, answer) in [(0, &SEVEN[..], &first), (7, &["7"], &second)] {
        let again = produce(&world, request(id, sequence, values)).await.unwrap();
        assert_eq!(again, ProduceResponse { duplicate: true, ..answer.clone() });
    }
    let places: Vec<_> = first.positions.iter().chain(&second.positions).cloned().collect();
    let values = SEVEN.into_iter().chain(["7"]).map(str::to_owned);
    assert_eq!(read(&world, 5).await, values.zip(places).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_refused_whole() {
    let world = World::new().await;
    world.topic("t", 5).await;
    let id = producer(&world).await;
    let status = produce(&world, request(id, 3, &SEVEN)).await.unwrap_err();
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata["expected_sequence"].as_str()), ("OUT_OF_ORDER_SEQUENCE", "0"));
    assert_eq!(read(&world, 5).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_retry_while_the_first_try_is_under_way_lands_with_it() {
    let world = World::new().await;
    world.topic("t", 5).await;
    let id = producer(&world).await;
    // Both tries wait for the same upload, and perhaps go into the same object.
    world.store.uploads(Uploads::Hang);
    let tries = async {
        tokio::join!(
            produce(&world, request(id, 0, &SEVEN)),
            produce(&world, request(id, 0, &SEVEN)),
            produce(&world, request(id, 7, &["7"])),
            produce(&world, request(id, 0, &SEVEN))
        )
    };
    let release = async {
        until("an upload is under way", || world.store.attempts.load(std::sync::atomic::Ordering::Relaxed) > 0).await;
        world.store.uploads(Uploads::Succeed);
    };
    let ((one, two, next, three), ()) = tokio::join!(tries, release);
    let answers = [one.unwrap(), two.unwrap(), three.unwrap()];
    assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 1);
    assert!(answers.iter().all(|answer| answer.positions == answers[0].positions), "{answers:?}");
    assert_eq!(next.unwrap().positions.len(), 1);
    assert_eq!(read(&world, 5).await.len(), 8);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_asked_for_again() {
    let world = World::new().await;
    world.topic("t", 5).await;
    let id = producer(&world).await;
    world.sequencer.change(|mood| mood.silent = true);
    let status = produce(&world, request(id, 0, &SEVEN)).await.unwrap_err();
    let info = status.get_details_error_info().unwrap();
    let told = [info.reason.as_str(), &info.metadata["outcome"], &info.metadata["retriable"]];
    assert_eq!(told, ["OUTCOME_UNKNOWN", "unknown", "true"]);
    world.sequencer.change(|mood| mood.silent = false);
    let answer = produce(&world, request(id, 0, &SEVEN)).await.unwrap();
    assert!(answer.duplicate);
    let values = SEVEN.map(str::to_owned);
    assert_eq!(read(&world, 5).await, values.into_iter().zip(answer.positions).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn below_the_floor_it_is_uploaded_again_and_stays_numbered() {
    let world = World::new().await;
    world.topic("t", 5).await;
    let id = producer(&world).await;
    world.sequencer.state().raise_floor();
    let answer = produce(&world, request(id, 0, &SEVEN)).await.unwrap();
    assert!(!answer.duplicate);
    assert!(produce(&world, request(id, 0, &SEVEN)).await.unwrap().duplicate);
    assert_eq!(read(&world, 5).await.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_partition_map_that_changed_lets_nothing_land_twice() {
    let world = World::with(|settings| settings.topics_cached_max = 1).await;
    world.topic("t", 5).await;
    let id = producer(&world).await;
    produce(&world, request(id, 0, &SEVEN)).await.unwrap();
    world.sequencer.state().change_map("t");
    // It is looked up anew once another one has taken its place.
    world.topic("u", 1).await;
    world.append("u", 0, &["x"]).await;
    let again = produce(&world, request(id, 0, &SEVEN)).await.unwrap();
    assert_eq!((again.duplicate, again.base_offset, again.positions), (true, -1, vec![]));
    assert_eq!(read(&world, 5).await.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn all_parts_are_committed_with_one_object() {
    let world = World::with(|settings| settings.object_partitions_max = 1).await;
    world.topic("t", 5).await;
    let id = producer(&world).await;
    produce(&world, request(id, 0, &SEVEN)).await.unwrap();
    assert_eq!(world.store.uploaded.lock().unwrap().len(), 1);
    let topic = Sequencer::topic(&*world.sequencer, "t").await.unwrap().number;
    assert_ne!(topic, TopicNumber(u64::MAX));
    let lengths = (0..5).map(|partition| world.sequencer.appended(TopicPartition { topic, partition }));
    assert_eq!(lengths.sum::<i64>(), 7);
}
