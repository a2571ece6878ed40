//! Peers that mean no good: each is cut off, and a well-behaved client is served meanwhile.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use eagre_proto::v1::DeleteTopicRequest;
use eagre_transport::{ConnectionBounds, PeerMemory, ServerSettings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{Instant, sleep, timeout},
};
use tonic::{Code, metadata::MetadataValue};

use crate::{
    raw::{
        Attacker, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
        call_headers, frame, frames, goodbyes, header,
    },
    world::{World, echo},
};

const ENHANCE_YOUR_CALM: u32 = 11;
const ECHO: &str = "/eagre.v1.TopicService/ListTopics";

fn bounded(connections_max: usize, connections_per_source_max: usize) -> ServerSettings {
    let connections = ConnectionBounds { connections_max, connections_per_source_max, ..ConnectionBounds::default() };
    ServerSettings { connections, ..ServerSettings::default() }
}

fn stranger(number: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, number).into()
}

/// Whether the server closes the connection at once.
async fn is_refused(mut stream: DuplexStream) -> bool {
    timeout(Duration::from_millis(1), stream.read(&mut [0])).await.is_ok_and(|read| read.unwrap() == 0)
}

async fn is_served(world: &World) {
    let answer = timeout(Duration::from_secs(1), world.client().list_topics(echo("here"))).await;
    assert_eq!(answer.expect("in time").unwrap().into_inner().next_page_token, "here");
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_bound_are_closed_at_once() {
    let world = World::new(bounded(3, 100)).await;
    let (mut first, mut second) = (world.client(), world.client());
    first.list_topics(echo("1")).await.unwrap();
    second.list_topics(echo("2")).await.unwrap();
    let third = world.network.connect_from(stranger(1)).await.unwrap();
    for _ in 0..1_000 {
        assert!(is_refused(world.network.connect_from(stranger(2)).await.unwrap()).await);
    }
    first.list_topics(echo("1")).await.unwrap();
    drop(third);
    sleep(Duration::from_millis(1)).await;
    is_served(&world).await;
}

#[tokio::test(start_paused = true)]
async fn one_source_does_not_take_all_connections() {
    let world = World::new(bounded(100, 3)).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(world.network.connect_from(stranger(1)).await.unwrap());
    }
    assert!(is_refused(world.network.connect_from(stranger(1)).await.unwrap()).await);
    assert!(!is_refused(world.network.connect_from(stranger(2)).await.unwrap()).await);
    held.pop();
    sleep(Duration::from_millis(1)).await;
    assert!(!is_refused(world.network.connect_from(stranger(1)).await.unwrap()).await, "a place was given back");
    // Those of this machine are not counted by source.
    let mut own: Vec<_> = (0..5).map(|_| world.client()).collect();
    for client in &mut own {
        client.list_topics(echo("own")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn one_source_does_not_make_connections_without_end() {
    let world = World::new(bounded(1_000, 20)).await;
    let mut taken = 0;
    for _ in 0..10_000 {
        // Closed at once by whoever makes it, so that few are open.
        taken += usize::from(!is_refused(world.network.connect_from(stranger(1)).await.unwrap()).await);
        sleep(Duration::from_millis(1)).await;
    }
    // 40 at once, and 2 a second while it lasts, which is 10 to 20 s.
    assert!((40..=90).contains(&taken), "{taken}");
    assert!(!is_refused(world.network.connect_from(stranger(2)).await.unwrap()).await);
    is_served(&world).await;
    sleep(Duration::from_secs(10)).await;
    assert!(!is_refused(world.network.connect_from(stranger(1)).await.unwrap()).await, "it may again");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_begin_is_cut_off() {
    let world = World::new(bounded(10, 100)).await;
    let began = Instant::now();
    let silent = Attacker::new(world.network.connect_from(stranger(1)).await.unwrap());
    let mut dripping = Attacker::new(world.network.connect_from(stranger(1)).await.unwrap());
    let drip = tokio::spawn(async move {
        for byte in PREFACE {
            if !dripping.send(&[*byte]).await {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        dripping.closed().await
    });
    is_served(&world).await;
    silent.closed().await;
    drip.await.unwrap();
    assert!((10..=12).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    // A connection that has begun may be idle for as long as it answers pings.
    let mut client = world.client();
    client.list_topics(echo("before")).await.unwrap();
    sleep(Duration::from_secs(3_600)).await;
    client.list_topics(echo("after")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_drips_headers_is_cut_off() {
    let world = World::new(ServerSettings::default()).await;
    let began = Instant::now();
    let mut attacker = Attacker::begun(world.network.connect_from(stranger(1)).await.unwrap()).await;
    let headers = frame(HEADERS, END_HEADERS, 1, &[call_headers(ECHO), vec![0; 4_000]].concat());
    let mut sent = 0;
    for byte in headers {
        if !attacker.send(&[byte]).await {
            break;
        }
        sent += 1;
        sleep(Duration::from_secs(1)).await;
    }
    is_served(&world).await;
    attacker.closed().await;
    assert!(began.elapsed() < Duration::from_secs(90), "{sent} bytes in {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_rapid_reset_ends_the_connection() {
    let world = World::new(ServerSettings::default()).await;
    let mut attacker = Attacker::begun(world.network.connect_from(stranger(1)).await.unwrap()).await;
    let mut opened = 0;
    // A hundred calls at a time, each reset before it is looked at.
    for calls in 0..10_000_u32 {
        let burst = (0..100).flat_map(|call| {
            let stream = 2 * (100 * calls + call) + 1;
            let open = frame(HEADERS, END_HEADERS, stream, &call_headers(ECHO));
            [open, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        });
        if !attacker.send(&burst.collect::<Vec<_>>()).await {
            break;
        }
        opened += 100;
    }
    is_served(&world).await;
    let received = attacker.closed().await;
    assert_eq!(goodbyes(&received).last(), Some(&ENHANCE_YOUR_CALM), "after {opened} calls");
    assert!(opened < 10_000, "{opened}");
}

#[tokio::test(start_paused = true)]
async fn who_makes_the_server_reset_calls_is_cut_off() {
    let world = World::new(ServerSettings::default()).await;
    let mut attacker = Attacker::begun(world.network.connect_from(stranger(1)).await.unwrap()).await;
    let mut opened = 0;
    for call in 0..100_000 {
        let stream = 2 * call + 1;
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &call_headers(ECHO));
        // Data behind the end of a stream is an error of that stream at least (RFC 9113, 5.1).
        let wrong = frame(DATA, 0, stream, &[0; 5]);
        if !attacker.send(&[open, wrong].concat()).await {
            break;
        }
        opened += 1;
    }
    is_served(&world).await;
    // Whether by the first such error or by too many of them, it is told so.
    assert!(goodbyes(&attacker.closed().await).last().is_some_and(|code| *code != 0), "after {opened} calls");
    assert!(opened < 10_000, "{opened}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_continuations_ends_the_connection() {
    let world = World::new(ServerSettings::default()).await;
    for payload in [vec![], header("a", "b"), header("a", &"b".repeat(100))] {
        let mut attacker = Attacker::begun(world.network.connect_from(stranger(1)).await.unwrap()).await;
        assert!(attacker.send(&frame(HEADERS, 0, 1, &call_headers(ECHO))).await);
        let mut sent = 0;
        while attacker.send(&frame(CONTINUATION, 0, 1, &payload)).await {
            sent += 1;
            assert!(sent < 1 << 20, "it takes them for ever");
        }
        is_served(&world).await;
        let received = attacker.closed().await;
        assert_eq!(goodbyes(&received).last(), Some(&ENHANCE_YOUR_CALM), "of {} bytes", payload.len());
        // What was in the pipe when it ended is counted too.
        assert!(sent < 10_000, "{sent} of {} bytes", payload.len());
    }
}

#[tokio::test(start_paused = true)]
async fn floods_of_what_needs_an_answer_are_bounded_by_those_who_take_none() {
    let world = World::new(ServerSettings::default()).await;
    for flood in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
        // It reads nothing, so that answers stay with the server.
        let mut stream = world.network.connect_from(stranger(1)).await.unwrap();
        stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
        let mut sent_bytes = 0;
        while let Ok(Ok(())) = timeout(Duration::from_secs(1), stream.write_all(&flood)).await {
            sent_bytes += flood.len();
            assert!(sent_bytes < 16 << 20, "it takes them for ever");
        }
        is_served(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn headers_are_bounded() {
    let world = World::new(ServerSettings::default()).await;
    let mut client = world.client();
    let mut large = tonic::Request::new(echo("large"));
    large.metadata_mut().insert("large", MetadataValue::try_from("x".repeat(17 << 10)).unwrap());
    client.list_topics(large).await.unwrap_err();
    // The connection goes on.
    client.list_topics(echo("small")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_connection_are_bounded() {
    let world = World::new(ServerSettings { streams_per_connection_max: 10, ..ServerSettings::default() }).await;
    let mut attacker = Attacker::begun(world.network.connect_from(stranger(1)).await.unwrap()).await;
    // Calls whose message never comes.
    let calls = (0..100).flat_map(|call| frame(HEADERS, END_HEADERS, 2 * call + 1, &call_headers(ECHO)));
    assert!(attacker.send(&calls.collect::<Vec<_>>()).await);
    is_served(&world).await;
    attacker.send(&frame(SETTINGS, 0, 0, &[0])).await;
    let refused = frames(&attacker.closed().await);
    let refused = refused.iter().filter(|(kind, ..)| *kind == RST_STREAM).count();
    assert_eq!(refused, 90);
}

#[tokio::test(start_paused = true)]
async fn open_calls_are_bounded_and_who_has_many_leaves_room_for_others() {
    // For a few connections and calls.
    let peers = PeerMemory::of(200 << 10);
    let world = World::new(ServerSettings { peers, ..ServerSettings::default() }).await;
    let (client, mut open) = (world.client(), Vec::new());
    let refused = loop {
        let mut client = client.clone();
        let call = tokio::spawn(async move { client.delete_topic(DeleteTopicRequest::default()).await });
        sleep(Duration::from_millis(100)).await;
        if call.is_finished() {
            break call.await.unwrap().unwrap_err();
        }
        open.push(call);
        assert!(open.len() < 10, "nobody is refused");
    };
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(open.len() > 1, "{refused:?}");
    is_served(&world).await;
    world.go.add_permits(open.len());
    for call in open {
        call.await.unwrap().unwrap();
    }
    is_served(&world).await;
}
