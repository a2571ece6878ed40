//! Small objects inside of their commits: written without an upload, read without a difference.

use eagre_proto::v1::{ErrorReason, FetchEncoding, FetchEnd, ListOffsetsRequest};
use tonic::Code;

use crate::world::{Uploads, World, batch, earliest, fetch_request, of_batch, records, until};

fn expected(values: &[&str]) -> Vec<(i64, String)> {
    (0..).zip(values.iter().map(ToString::to_string)).collect()
}

impl World {
    fn uploads_seen(&self) -> usize {
        self.store.attempts.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_object_needs_no_upload() {
    let world = World::with(|settings| settings.inline_bytes_max = 10 << 10).await;
    world.store.uploads(Uploads::Full);
    world.sequencer.state().takes_inline = true;
    world.topic("t", 2).await;
    assert_eq!(world.append("t", 0, &["a", "b"]).await, 0);
    assert_eq!(world.append("t", 0, &["c"]).await, 2);
    assert_eq!(world.append("t", 1, &["d"]).await, 0);
    assert_eq!(world.read_all("t", 0).await, expected(&["a", "b", "c"]));
    assert_eq!(world.read_all("t", 1).await, expected(&["d"]));
    assert_eq!((world.uploads_seen(), world.sequencer.state().inline_calls), (0, 0), "nobody else was asked");
}

#[tokio::test(start_paused = true)]
async fn whoever_has_not_written_it_asks_the_sequencer() {
    let world = World::inline().await;
    world.topic("t", 1).await;
    let values: Vec<String> = (0..50).map(|number| format!("value {number}")).collect();
    for value in &values {
        world.append("t", 0, &[value]).await;
    }
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    assert_eq!(world.read_all("t", 0).await, expected(&values));
    let calls = world.sequencer.state().inline_calls;
    assert!((1..=values.len()).contains(&calls), "{calls}");
    assert_eq!(world.uploads_seen(), 0);
    let raw = of_batch("t", 0, batch(&["as it came"]));
    let base = world.produce().produce(raw).await.unwrap().into_inner().base_offset;
    assert_eq!(world.read_all("t", 0).await[usize::try_from(base).unwrap()].1, "as it came");
}

#[tokio::test(start_paused = true)]
async fn large_objects_and_those_that_are_not_welcome_are_uploaded() {
    let world = World::inline().await;
    world.topic("t", 1).await;
    let large = "v".repeat(10 << 10);
    world.append("t", 0, &["a"]).await;
    assert_eq!(world.uploads_seen(), 0);
    world.append("t", 0, &[&large]).await;
    assert_eq!(world.uploads_seen(), 1, "over the bound");
    world.sequencer.state().takes_inline = false;
    world.append("t", 0, &["b"]).await;
    assert_eq!(world.uploads_seen(), 1, "it could not know yet");
    world.append("t", 0, &["c"]).await;
    assert_eq!(world.uploads_seen(), 2);
    world.sequencer.state().takes_inline = true;
    world.append("t", 0, &["d"]).await;
    world.append("t", 0, &["e"]).await;
    assert_eq!(world.uploads_seen(), 3, "there is room again");
    assert_eq!(world.read_all("t", 0).await, expected(&["a", &large, "b", "c", "d", "e"]));
}

#[tokio::test(start_paused = true)]
async fn while_commits_are_not_answered_what_comes_is_uploaded() {
    let world = World::inline().await;
    world.topic("t", 1).await;
    world.append("t", 0, &["a"]).await;
    world.sequencer.change(|mood| mood.silent = true);
    let produce = |value: &'static str| {
        let mut client = world.produce();
        tokio::spawn(async move { client.produce(records("t", 0, &[value])).await.map(|_| ()) })
    };
    let first = produce("b");
    until("it is judged", || world.sequencer.state().seen.len() == 2).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    world.store.uploads(Uploads::Full);
    let refused = produce("c").await.unwrap().unwrap_err();
    assert!(refused.message().contains("free some space"), "{refused}");
    world.store.uploads(Uploads::Succeed);
    world.sequencer.change(|mood| mood.silent = false);
    first.await.unwrap().unwrap();
    let uploads = world.uploads_seen();
    world.append("t", 0, &["d"]).await;
    assert_eq!(world.uploads_seen(), uploads, "inside again");
    assert_eq!(world.read_all("t", 0).await, expected(&["a", "b", "d"]));
}

#[tokio::test(start_paused = true)]
async fn an_inline_commit_that_is_asked_for_again_lands_once() {
    let world = World::inline().await;
    world.topic("t", 1).await;
    world.sequencer.change(|mood| mood.silent = true);
    let mut client = world.produce();
    let asked = tokio::spawn(async move { client.produce(records("t", 0, &["a"])).await });
    until("it is judged", || !world.sequencer.state().seen.is_empty()).await;
    world.sequencer.change(|mood| {
        mood.streams_broken += 1;
        mood.silent = false;
    });
    assert_eq!(asked.await.unwrap().unwrap().into_inner().base_offset, 0);
    assert_eq!(world.append("t", 0, &["b"]).await, 1);
    assert_eq!(world.read_all("t", 0).await, expected(&["a", "b"]));
    let seen = world.sequencer.state().seen.clone();
    assert_eq!((seen.len(), seen[0]), (3, seen[1]), "the same id twice: {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn below_the_floor_it_comes_again_inside() {
    let world = World::inline().await;
    world.topic("t", 1).await;
    world.append("t", 0, &["a"]).await;
    world.sequencer.state().raise_floor();
    world.append("t", 0, &["b"]).await;
    let seen = world.sequencer.state().seen.clone();
    assert_eq!(seen.iter().map(|object| object.epoch.0).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(world.uploads_seen(), 0);
    assert_eq!(world.read_all("t", 0).await, expected(&["a", "b"]));
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_runs_became_an_object_asks_the_index_again() {
    let world = World::inline().await;
    world.topic("t", 1).await;
    let values = ["a", "b", "c", "d"];
    for value in values {
        world.append("t", 0, &[value]).await;
    }
    // What was pushed says that they are inline.
    world.spill("t", 0).await;
    assert_eq!(world.read_all("t", 0).await, expected(&values));
    let state = world.sequencer.state();
    assert!(state.inline_calls > 0 && state.index_calls > 0);
}

#[tokio::test(start_paused = true)]
async fn inline_bytes_that_are_lost_are_an_alarm() {
    let world = World::inline().await;
    world.topic("t", 1).await;
    world.append("t", 0, &["a"]).await;
    world.sequencer.state().lose_inline();
    let everything = fetch_request("t", 0, earliest(), FetchEnd::Stop, FetchEncoding::Records);
    let mut messages = world.fetch().fetch(everything).await.unwrap().into_inner();
    let error = messages.message().await.unwrap().unwrap().error.unwrap();
    assert_eq!(error.reason(), ErrorReason::StoredDataCorrupt);
    let position = crate::world::at(eagre_proto::v1::position::Position::TimestampMs(0));
    let partition = eagre_proto::v1::FetchPartition { topic: "t".into(), partition: 0, position: Some(position) };
    let by_time = world.fetch().list_offsets(ListOffsetsRequest { partitions: vec![partition] }).await;
    assert_eq!(by_time.unwrap_err().code(), Code::DataLoss);
}
