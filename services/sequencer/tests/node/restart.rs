//! What a restart must keep.

use eagre_sequencer_api::{CommitFailure, PartitionBounds, Sequencer};

use crate::world::{Gateway, World, appended, batch, duplicate, end_of, of, outcomes, reserve, sequenced};

#[tokio::test(start_paused = true)]
async fn what_was_answered_is_there_after_a_stop() {
    let world = World::new();
    let first = world.node("one").await;
    first.start().await.unwrap();
    let topic = first.create_topic("flights", Some(2)).await.unwrap();
    let mut gateway = Gateway::join(first.as_ref()).await;
    reserve(first.as_ref(), 7).await;
    let asked = gateway.request([(of(&topic, 1), vec![batch(3), sequenced(2, 7, 0, 0)])]);
    let answered = outcomes(gateway.send(asked.clone()).await);
    assert_eq!(answered, [appended(0), appended(3)]);
    first.stop().await;
    assert!(first.bounds(&[of(&topic, 1)]).await.is_err());
    assert_eq!(gateway.stream.replies.recv().await, None);

    let second = world.node("two").await;
    second.start().await.unwrap();
    let bounds = second.bounds(&[of(&topic, 0), of(&topic, 1), of(&topic, 2)]).await.unwrap();
    let full = PartitionBounds { log_start_offset: 0, high_watermark: 5, size_bytes: 500 };
    let empty = PartitionBounds { log_start_offset: 0, high_watermark: 0, size_bytes: 0 };
    assert_eq!(bounds, [Some(empty), Some(full), None]);
    assert_eq!(second.topic("flights").await, Ok(topic.clone()));
    let runs = second.read_index(of(&topic, 1), 2, 10).await.unwrap();
    assert_eq!(runs.iter().map(|run| (run.base_offset, run.last_offset, run.batches)).collect::<Vec<_>>(), [(0, 4, 2)]);

    // The same object again: the same answer. Another object with the same sequence: a duplicate.
    gateway.reopen(second.as_ref()).await;
    assert_eq!(outcomes(gateway.send(asked).await), answered);
    let mut other = Gateway::join(second.as_ref()).await;
    assert!(other.joined.incarnation > gateway.joined.incarnation);
    assert!(other.joined.upload_epoch > gateway.joined.upload_epoch);
    assert_eq!(other.commit(of(&topic, 1), vec![sequenced(2, 7, 0, 0)]).await, [duplicate(3)]);
    assert_eq!(other.commit(of(&topic, 1), vec![sequenced(1, 7, 0, 2)]).await, [appended(5)]);
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn deleted_topics_and_given_numbers_stay_so() {
    let world = World::new();
    let mut numbers = Vec::new();
    for round in 0..3 {
        let node = world.node("one").await;
        node.start().await.unwrap();
        let names: Vec<String> = node.topics("", 10).await.unwrap().into_iter().map(|topic| topic.name).collect();
        assert_eq!(names, if round == 0 { vec![] } else { vec!["kept"] });
        let topic = node.create_topic("gone", None).await.unwrap();
        numbers.push(topic.number);
        assert_eq!(end_of(node.as_ref(), of(&topic, 3)).await, Some(0));
        node.delete_topic("gone").await.unwrap();
        let kept = node.create_topic("kept", Some(1)).await;
        assert_eq!(kept.is_ok(), round == 0);
        numbers.extend(kept.map(|topic| topic.number));
        node.stop().await;
    }
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
}

#[tokio::test(start_paused = true)]
async fn upload_epochs_grow_with_use_and_the_floor_follows() {
    let world = World::new();
    let mut epochs = Vec::new();
    let mut gateways = Vec::new();
    let mut topic = None;
    // Commits under the first, third and fourth opening.
    for commits in [true, false, true, true] {
        let node = world.node("one").await;
        node.start().await.unwrap();
        if topic.is_none() {
            topic = Some(node.create_topic("flights", Some(1)).await.unwrap());
        }
        let partition = of(topic.as_ref().unwrap(), 0);
        let mut gateway = Gateway::join(node.as_ref()).await;
        epochs.push(gateway.joined.upload_epoch.0);
        let asked = gateway.request([(partition, vec![batch(1)])]);
        if commits {
            outcomes(gateway.send(asked.clone()).await);
        }
        gateways.push((gateway, asked));
        node.stop().await;
    }
    assert_eq!(epochs, [1, 2, 2, 3]);

    let node = world.node("one").await;
    node.start().await.unwrap();
    let partition = of(topic.as_ref().unwrap(), 0);
    let (first, asked) = &mut gateways[0];
    first.reopen(node.as_ref()).await;
    assert_eq!(outcomes(first.send(asked.clone()).await), [appended(0)], "its record is still there");
    let upload_epoch = node.join().await.unwrap().upload_epoch;
    assert_eq!(upload_epoch.0, 4);
    for (number, refused) in [(0, true), (1, true), (2, true), (3, false)] {
        let (gateway, _) = &mut gateways[number];
        gateway.reopen(node.as_ref()).await;
        let late = gateway.request([(partition, vec![batch(1)])]);
        let result = gateway.send(late).await.unwrap().result;
        assert_eq!(result.is_err(), refused, "{number}");
        if refused {
            assert_eq!(result, Err(CommitFailure::EpochBelowFloor { upload_epoch }));
        }
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn records_that_nothing_refers_to_go_when_the_floor_has_passed() {
    let world = World::new();
    let first = world.node("one").await;
    first.start().await.unwrap();
    let topic = first.create_topic("flights", Some(1)).await.unwrap();
    let mut gateway = Gateway::join(first.as_ref()).await;
    let live = gateway.request([(of(&topic, 0), vec![batch(1)])]);
    let refused = gateway.request([(of(&topic, 9), vec![batch(1)])]);
    for request in [&live, &refused] {
        gateway.send(request.clone()).await.unwrap();
    }
    first.stop().await;
    // Two more openings with a commit each move the floor past the first epoch; the sweep goes beside their commits.
    for _ in 0..2 {
        let node = world.node("one").await;
        node.start().await.unwrap();
        let mut other = Gateway::join(node.as_ref()).await;
        for _ in 0..3 {
            other.commit(of(&topic, 0), vec![batch(1)]).await;
        }
        node.stop().await;
    }
    let last = world.node("one").await;
    last.start().await.unwrap();
    gateway.reopen(last.as_ref()).await;
    assert_eq!(outcomes(gateway.send(live).await), [appended(0)]);
    let result = gateway.send(refused).await.unwrap().result;
    assert!(matches!(result, Err(CommitFailure::EpochBelowFloor { .. })), "{result:?}");
    last.stop().await;
}
