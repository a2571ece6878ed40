//! Who holds the shard, and how it changes hands.

use std::time::Duration;

use eagre_env::HostIdentity;
use eagre_model::ShardId;
use eagre_sequencer::{Claim, StartError};
use eagre_sequencer_api::{Pinged, Sequencer};
use tokio::time::Instant;

use crate::{
    faults::Fault,
    world::{Gateway, REACH, World, appended, batch, end_of, env_on, eventually, of},
};

#[tokio::test(start_paused = true)]
async fn a_second_node_is_refused_while_the_first_is_well() {
    let world = World::new();
    let (first, second) = (world.node("one").await, world.node("two").await);
    first.start().await.unwrap();
    assert_eq!(second.start().await, Err(StartError::Held { address: "one".into() }));
    assert!(first.is_ready() && !second.is_ready());
    assert_eq!(world.claims(), 1);
    // It may try again, and the first one does not mind.
    assert_eq!(second.start().await, Err(StartError::Held { address: "one".into() }));
    first.create_topic("flights", None).await.unwrap();
    first.stop().await;
    second.start().await.unwrap();
    assert!(second.topic("flights").await.is_ok());
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_still_starts_is_left_alone() {
    let world = World::new();
    let (first, second) = (world.node("one").await, world.node("two").await);
    world.store.break_puts("meta/", Fault::Hang);
    let starting = tokio::spawn({
        let first = first.clone();
        async move { first.start().await }
    });
    eventually("the first has claimed", async || world.claims() == 1).await;
    assert_eq!(second.start().await, Err(StartError::Held { address: "one".into() }));
    world.store.heal();
    starting.await.unwrap().unwrap();
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_clean_stop_nobody_waits() {
    let world = World::new();
    for address in ["one", "two", "three"] {
        let node = world.node(address).await;
        let begun = Instant::now();
        node.start().await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
        node.stop().await;
    }
    assert_eq!(world.claims(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_silent_holder_is_replaced_and_answers_no_more() {
    let world = World::new();
    let (first, second) = (world.node("one").await, world.node("two").await);
    first.start().await.unwrap();
    let topic = first.create_topic("flights", Some(1)).await.unwrap();
    let partition = of(&topic, 0);
    let mut gateway = Gateway::join(first.as_ref()).await;
    let mut updates = first.subscribe().await.unwrap();
    assert_eq!(gateway.commit(partition, vec![batch(1)]).await, [appended(0)]);

    // Nobody reaches its pings, but it goes on, as fast as it can.
    world.cut_off("one");
    let begun = Instant::now();
    let taking_over = tokio::spawn({
        let second = second.clone();
        async move { second.start().await }
    });
    let mut committed = 1;
    while !taking_over.is_finished() {
        let request = gateway.request([(partition, vec![batch(1)])]);
        if gateway.send(request).await.is_some() {
            committed += 1;
        }
        let answered = end_of(first.as_ref(), partition).await;
        assert!(!second.is_ready() || answered.is_none(), "two nodes have authority");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    taking_over.await.unwrap().unwrap();
    let (least, most) = (Duration::from_millis(1_500), Duration::from_millis(1_500) + REACH * 5 / 4);
    assert!((least..most + Duration::from_millis(500)).contains(&begun.elapsed()), "{:?}", begun.elapsed());

    assert_eq!(end_of(first.as_ref(), partition).await, None);
    assert_eq!(gateway.stream.replies.recv().await, None);
    while updates.recv().await.is_some() {}
    assert!(committed > 10, "the old holder was busy to the end: {committed}");
    assert_eq!(end_of(second.as_ref(), partition).await, Some(committed));
    gateway.reopen(second.as_ref()).await;
    assert_eq!(gateway.commit(partition, vec![batch(1)]).await, [appended(committed)]);
    second.stop().await;
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_holder_finds_out_before_it_answers() {
    let world = World::new();
    let (first, second) = (world.node("one").await, world.node("two").await);
    first.start().await.unwrap();
    let topic = first.create_topic("flights", Some(1)).await.unwrap();
    world.cut_off("one");
    second.start().await.unwrap();
    let mut gateway = Gateway::join(second.as_ref()).await;
    assert_eq!(gateway.commit(of(&topic, 0), vec![batch(1)]).await, [appended(0)]);
    assert!(first.is_ready(), "nothing has told it");
    assert!(first.bounds(&[of(&topic, 0)]).await.is_err());
    assert!(first.topics("", 10).await.is_err());
    assert!(first.join().await.is_err());
    second.stop().await;
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn listeners_of_a_deposed_idle_holder_are_not_left_waiting() {
    let world = World::new();
    let (first, second) = (world.node("one").await, world.node("two").await);
    first.start().await.unwrap();
    let mut updates = first.subscribe().await.unwrap();
    updates.recv().await.unwrap();
    world.cut_off("one");
    second.start().await.unwrap();
    assert_eq!(updates.recv().await, None);
    second.stop().await;
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deposed_node_comes_back_when_its_successor_goes() {
    let world = World::new();
    let (first, second) = (world.node("one").await, world.node("two").await);
    first.start().await.unwrap();
    world.cut_off("one");
    second.start().await.unwrap();
    assert!(first.topics("", 1).await.is_err());
    let lists = world.store.count("LIST", "lease");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(second.is_ready() && !first.is_ready(), "it leaves a healthy holder alone");
    assert_eq!(world.store.count("LIST", "lease"), lists, "it knows the claims");
    second.stop().await;
    eventually("the first holds again", async || first.is_ready()).await;
    assert!(first.topics("", 1).await.is_ok());
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_flushes_hang_is_replaced() {
    let world = World::new();
    let (first, second) = (world.node("one").await, world.node("two").await);
    first.start().await.unwrap();
    let topic = first.create_topic("flights", Some(1)).await.unwrap();
    let mut gateway = Gateway::join(first.as_ref()).await;
    world.store.break_puts("meta/0/wal", Fault::Hang);
    let request = gateway.request([(of(&topic, 0), vec![batch(1)])]);
    gateway.stream.requests.send(request).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(first.ping().await.healthy, "it may yet end");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!first.ping().await.healthy);
    let begun = Instant::now();
    let taking_over = tokio::spawn({
        let second = second.clone();
        async move { second.start().await }
    });
    assert_eq!(gateway.stream.replies.recv().await, None, "the old holder gives up when it is deposed");
    world.store.heal();
    taking_over.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(end_of(second.as_ref(), of(&topic, 0)).await.is_some());
    second.stop().await;
    first.stop().await;
}

fn of_this_machine(started: u64) -> HostIdentity {
    HostIdentity { started, ..HostIdentity::of_this_process() }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_process_known_dead() {
    let world = World::new();
    let myself = HostIdentity::of_this_process();
    // As if the process id had been somebody else's before; it is never stopped.
    let dead = world.node_in(env_on(of_this_machine(myself.started + 1)), "dead").await;
    dead.start().await.unwrap();
    dead.create_topic("flights", None).await.unwrap();
    world.cut_off("dead");
    let node = world.node_in(env_on(myself), "alive").await;
    let begun = Instant::now();
    node.start().await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    assert!(node.topic("flights").await.is_ok());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_process_does_not_vouch_for_the_holder_before_it() {
    let world = World::new();
    let first = world.node("one").await;
    first.start().await.unwrap();
    let topic = first.create_topic("flights", Some(1)).await.unwrap();
    // A process of this machine claims and dies at once: nobody has waited for the first holder.
    let myself = HostIdentity::of_this_process();
    let claim = Claim {
        shard: ShardId::FIRST,
        number: 2,
        nonce: 7,
        address: "nowhere".into(),
        host: of_this_machine(myself.started + 1),
    };
    world.bucket().await.put("lease/0000000000/00000000000000000002", claim.encode().into()).await.unwrap();
    assert_eq!(end_of(first.as_ref(), of(&topic, 0)).await, Some(0), "it still has authority");
    let node = world.node_in(env_on(myself), "alive").await;
    let begun = Instant::now();
    node.start().await.unwrap();
    assert!(begun.elapsed() >= REACH, "{:?}", begun.elapsed());
    assert_eq!(end_of(first.as_ref(), of(&topic, 0)).await, None);
    node.stop().await;
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_is_ours() {
    let world = World::new();
    let node = world.node("one").await;
    world.store.break_puts("lease/", Fault::LoseAnswer);
    node.start().await.unwrap();
    world.store.heal();
    assert_eq!(world.claims(), 1);
    let answer = node.ping().await;
    assert!(answer.healthy && answer.claim == 1 && answer.nonce != 0);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_fails_is_tried_again_and_then_given_up() {
    let world = World::new();
    let node = world.node("one").await;
    world.store.break_puts("lease/", Fault::Fail);
    assert!(matches!(node.start().await, Err(StartError::Bucket(_))));
    assert!(world.claims() > 1);
    world.store.heal();
    node.start().await.unwrap();
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_a_newer_version_is_respected() {
    let world = World::new();
    let newer = r#"{"version":2,"what":"ever"}"#;
    world.bucket().await.put("lease/0000000000/00000000000000000001", newer.into()).await.unwrap();
    let node = world.node("one").await;
    assert!(matches!(node.start().await, Err(StartError::Unreadable(_))));
    assert_eq!(world.claims(), 1, "that of the newer version");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_cannot_be_read_is_waited_for() {
    let world = World::new();
    world.bucket().await.put("lease/0000000000/00000000000000000001", "garbage".into()).await.unwrap();
    let node = world.node("one").await;
    let begun = Instant::now();
    node.start().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(1_500) + REACH, "{:?}", begun.elapsed());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn authority_costs_nothing_when_idle_and_two_gets_a_second_when_busy() {
    let world = World::new();
    let node = world.node("one").await;
    node.start().await.unwrap();
    let topic = node.create_topic("flights", Some(1)).await.unwrap();
    let partition = of(&topic, 0);
    let gets = || world.store.count("GET", "lease/");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let idle = gets();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(gets(), idle);

    assert_eq!(end_of(node.as_ref(), partition).await, Some(0));
    assert_eq!(gets(), idle + 1, "the first request pays one");
    for _ in 0..1_000 {
        assert_eq!(end_of(node.as_ref(), partition).await, Some(0));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let busy = gets() - idle - 1;
    assert!((18..=21).contains(&busy), "{busy} in ten seconds");

    // Somebody listens: a look every half minute.
    let _updates = node.subscribe().await.unwrap();
    let before = gets();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!((100..=121).contains(&(gets() - before)), "{} in an hour", gets() - before);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_proof_there_is_no_answer() {
    let world = World::new();
    let node = world.node("one").await;
    node.start().await.unwrap();
    let topic = node.create_topic("flights", Some(1)).await.unwrap();
    let partition = of(&topic, 0);
    world.store.break_gets("lease/");
    let begun = Instant::now();
    eventually("authority has run out", async || end_of(node.as_ref(), partition).await.is_none()).await;
    assert!(begun.elapsed() < 4 * REACH, "{:?}", begun.elapsed());
    assert!(!node.ping().await.healthy);
    world.store.heal();
    eventually("it answers again", async || end_of(node.as_ref(), partition).await == Some(0)).await;
    assert_eq!(world.claims(), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rows_of_another_bucket_are_refused() {
    let world = World::new();
    let node = world.node("one").await;
    node.start().await.unwrap();
    node.stop().await;
    let marker =
        r#"{"format":1,"needs_eagre":"0.1.0","cluster_id":"00010203-0405-4607-8809-0a0b0c0d0e0f","created_at_ms":1}"#;
    world.bucket().await.put("eagre.json", marker.into()).await.unwrap();
    let other = world.node("two").await;
    let refused = other.start().await;
    assert!(matches!(&refused, Err(StartError::Unreadable(why)) if why.contains("bucket")), "{refused:?}");
}
