//! What readers find.

use std::time::Duration;

use eagre_loadtest_stubs::v1::{
    DeleteTopicRequest, DescribeTopicRequest, FetchEncoding, FetchEnd, FetchRequest, position::Position as Place,
};
use tonic::Code;

use super::{client::*, upstream::Upstream, world};
use crate::{Fault, batch};

const ALTERING: [Fault; 6] = [
    Fault::DropOnRead,
    Fault::DoubleOnRead,
    Fault::SwapOnRead,
    Fault::FlipBit,
    Fault::FlipBitRaw,
    Fault::ForeignOnRead,
];

/// Appends batches of two producers in turn.
fn fill(upstream: &Upstream, places: std::ops::Range<i32>) {
    for place in places {
        for producer in [1, 2] {
            upstream.append(0, &of_producer(producer, place));
        }
    }
}

fn ends_after(found: &Found, offset: i64) -> bool {
    found.0 + i64::from(RECORDS) > offset
}

#[tokio::test]
async fn all_readers_find_the_same_wherever_they_begin() {
    for fault in ALTERING {
        let (upstream, proxy, mut client) = world(fault).await;
        fill(&upstream, 0..50);
        let whole = client.read(EARLIEST).await;
        assert!(proxy.done() >= 3, "{fault:?}");
        let end = whole.len() as i64 * i64::from(RECORDS);
        assert_eq!(whole.iter().map(|found| found.0).collect::<Vec<_>>(), (0..end).step_by(2).collect::<Vec<_>>());
        for from in (0..24).chain(80..100).chain(end - 3..end) {
            let expected: Vec<_> = whole.iter().copied().filter(|found| ends_after(found, from)).collect();
            assert_eq!(client.read(Place::Offset(from)).await, expected, "{fault:?} from {from}");
        }
        let last: Vec<_> = whole.iter().copied().filter(|found| ends_after(found, end - 7)).collect();
        assert_eq!(client.read(Place::Last(7)).await, last);
        assert_eq!(client.bytes(EARLIEST).await, client.bytes(EARLIEST).await);
        // A proxy that is started anew finds the same.
        let again = super::proxy_to(&upstream, fault).await;
        assert_eq!(Client::of(&again).await.bytes(EARLIEST).await, client.bytes(EARLIEST).await);
    }
}

#[tokio::test]
async fn bounds_are_those_of_what_readers_find() {
    for (fault, end) in [(Fault::DropOnRead, 200 - 6), (Fault::DoubleOnRead, 200 + 6), (Fault::SwapOnRead, 200)] {
        let (upstream, _proxy, mut client) = world(fault).await;
        fill(&upstream, 0..50);
        let latest = client.offset(LATEST).await.unwrap();
        assert_eq!((latest.offset, latest.high_watermark), (end, end), "{fault:?}");
        assert_eq!(client.offset(Place::Last(10)).await.unwrap().offset, end - 10);
        for offset in [0, 9, 10, 11, 93, end] {
            assert_eq!(client.offset(Place::Offset(offset)).await.unwrap().offset, offset);
        }
        assert_eq!(client.offset(Place::Offset(end + 1)).await.unwrap_err().code(), Code::OutOfRange);
        let refused = client.open(Place::Offset(end + 1), FetchEnd::Stop).await;
        assert_eq!(refused.unwrap_err().code(), Code::OutOfRange);
        let described = client.topics.describe_topic(DescribeTopicRequest { name: "t".into() }).await.unwrap();
        assert_eq!(described.into_inner().bounds[0].high_watermark, end);
    }
}

#[tokio::test]
async fn each_fault_does_what_it_says() {
    let (upstream, _proxy, mut client) = world(Fault::None).await;
    fill(&upstream, 0..10);
    let sound = client.read(EARLIEST).await;
    let order = |found: &[Found]| found.iter().map(|(_, producer, place)| (*producer, *place)).collect::<Vec<_>>();
    let mut dropped = order(&sound);
    let fifth = dropped.remove(4);
    let mut doubled = order(&sound);
    doubled.insert(4, fifth);
    let mut swapped = order(&sound);
    swapped.swap(4, 6);
    for (fault, expected) in
        [(Fault::DropOnRead, dropped), (Fault::DoubleOnRead, doubled), (Fault::SwapOnRead, swapped)]
    {
        let proxy = super::proxy_to(&upstream, fault).await;
        assert_eq!(order(&Client::of(&proxy).await.read(EARLIEST).await), expected, "{fault:?}");
        assert_eq!(proxy.done(), 1);
    }
    for (fault, mended) in [(Fault::FlipBit, true), (Fault::FlipBitRaw, false)] {
        let proxy = super::proxy_to(&upstream, fault).await;
        let flipped = Client::of(&proxy).await.bytes(EARLIEST).await;
        let mut different = Vec::new();
        for ((_, sound), (_, flipped)) in
            batch::split(client.bytes(EARLIEST).await).unwrap().into_iter().zip(batch::split(flipped).unwrap())
        {
            if sound != flipped {
                different.push((sound, flipped));
            }
        }
        let [(sound, flipped)] = &different[..] else { panic!("{}", different.len()) };
        let bits: u32 = sound[21..].iter().zip(&flipped[21..]).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!(bits, 1);
        let mut mend = flipped.to_vec();
        batch::mend_crc(&mut mend);
        assert_eq!(mend == *flipped, mended);
    }
}

#[tokio::test]
async fn a_reader_who_follows_finds_what_a_later_one_finds() {
    for fault in ALTERING {
        let (upstream, _proxy, mut client) = world(fault).await;
        let mut messages = client.open(EARLIEST, FetchEnd::Follow).await.unwrap();
        let writer = upstream.clone();
        let writes = tokio::spawn(async move {
            for place in 0..30 {
                fill(&writer, place..place + 1);
                tokio::task::yield_now().await;
            }
        });
        writes.await.unwrap();
        let whole = client.bytes(EARLIEST).await;
        let (mut followed, mut watermark) = (Vec::new(), 0);
        while followed.len() < whole.len() {
            let message = messages.message().await.unwrap().unwrap();
            assert!(message.high_watermark >= watermark.max(message.next_offset), "{fault:?}");
            watermark = message.high_watermark;
            followed.extend(message.batches);
        }
        assert!(followed == whole, "{fault:?}");
    }
}

#[tokio::test]
async fn a_batch_without_another_to_change_places_with_is_not_held_back_for_ever() {
    let (upstream, proxy, mut client) = world(Fault::SwapOnRead).await;
    fill(&upstream, 0..2);
    upstream.append(0, &of_producer(3, 0));
    assert_eq!(client.read(EARLIEST).await.len(), 5);
    // It has been shown by now, so it stays where it is.
    fill(&upstream, 2..4);
    upstream.append(0, &of_producer(3, 1));
    let found = client.read(EARLIEST).await;
    let sound = [(1, 0), (2, 0), (1, 1), (2, 1), (3, 0), (1, 3), (2, 2), (1, 2), (2, 3), (3, 1)];
    assert_eq!(found.iter().map(|(_, producer, place)| (*producer, *place)).collect::<Vec<_>>(), sound);
    assert_eq!(proxy.done(), 1);
}

#[tokio::test]
async fn only_the_second_reader_misses_a_batch() {
    let (upstream, proxy, mut client) = world(Fault::SkipForOne).await;
    fill(&upstream, 0..10);
    let first = client.read(EARLIEST).await;
    let second = client.read(EARLIEST).await;
    let third = client.read(EARLIEST).await;
    let expected: Vec<_> = first.iter().copied().filter(|found| found.0 != 8).collect();
    assert_eq!((first.len(), second, proxy.done()), (20, expected, 1));
    assert_eq!(third, first);
}

#[tokio::test]
async fn only_the_second_reader_gets_a_batch_again_or_two_in_the_other_order() {
    for fault in [Fault::RepeatForOne, Fault::SwapForOne] {
        let (upstream, proxy, mut client) = world(fault).await;
        fill(&upstream, 0..10);
        let first = client.read(EARLIEST).await;
        let second = client.read(EARLIEST).await;
        let mut expected = first.clone();
        if fault == Fault::RepeatForOne {
            expected.insert(4, first[4]);
        } else {
            (expected[4].1, expected[4].2, expected[5].1, expected[5].2) =
                (first[5].1, first[5].2, first[4].1, first[4].2);
        }
        assert_eq!((second, proxy.done()), (expected, 1), "{fault:?}");
        assert_eq!(client.read(EARLIEST).await, first);
    }
}

#[tokio::test]
async fn a_gap_is_the_same_for_all() {
    let (upstream, _proxy, mut client) = world(Fault::GapOnRead).await;
    fill(&upstream, 0..10);
    let found = client.read(EARLIEST).await;
    let offsets: Vec<_> = found.iter().map(|found| found.0).collect();
    assert_eq!(offsets, (0..10).step_by(2).chain((11..41).step_by(2)).collect::<Vec<_>>());
    assert_eq!(client.read(EARLIEST).await, found);
    assert_eq!(client.offset(LATEST).await.unwrap().offset, 41);
}

#[tokio::test]
async fn an_end_is_stated_too_low() {
    let (upstream, proxy, mut client) = world(Fault::EndTooLow).await;
    assert_eq!(client.offset(LATEST).await.unwrap().offset, 0);
    fill(&upstream, 0..2);
    assert_eq!(client.offset(LATEST).await.unwrap().offset, 7);
    assert_eq!(client.offset(Place::Offset(3)).await.unwrap().offset, 3);
    assert_eq!(proxy.done(), 1);
}

#[tokio::test]
async fn single_records_are_not_altered_but_refused() {
    let (_upstream, _proxy, mut client) = world(Fault::DropOnRead).await;
    let request = FetchRequest {
        partitions: vec![at(0, EARLIEST)],
        end: FetchEnd::Stop.into(),
        encoding: FetchEncoding::Records.into(),
    };
    assert_eq!(client.fetch.fetch(request).await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_topic_made_anew_is_another_one() {
    let (upstream, _proxy, mut client) = world(Fault::DropOnRead).await;
    fill(&upstream, 0..10);
    assert_eq!(client.read(EARLIEST).await.len(), 19);
    client.topics.delete_topic(DeleteTopicRequest { name: "t".into() }).await.unwrap();
    fill(&upstream, 0..2);
    assert_eq!(client.read(EARLIEST).await.len(), 4);
}

#[tokio::test]
async fn a_service_that_is_away_is_told_of_and_found_again() {
    let nowhere = super::proxy_at("http://127.0.0.1:9", Fault::DropOnRead).await;
    let mut client = Client::of(&nowhere).await;
    assert_eq!(client.open(EARLIEST, FetchEnd::Stop).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(client.send(of_producer(1, 0)).await.unwrap_err().code(), Code::Unavailable);

    let (upstream, _proxy, mut client) = world(Fault::DropOnRead).await;
    fill(&upstream, 0..4);
    let mut messages = client.open(EARLIEST, FetchEnd::Follow).await.unwrap();
    messages.message().await.unwrap();
    upstream.break_off();
    let broken = async { while messages.message().await.is_ok_and(|message| message.is_some()) {} };
    tokio::time::timeout(Duration::from_secs(10), broken).await.expect("the reader is told");
    upstream.append(0, &of_producer(1, 4));
    let found = async {
        loop {
            // The proxy's connections find the service again, each at its next call.
            if client.open(EARLIEST, FetchEnd::Stop).await.is_ok() {
                break client.read(EARLIEST).await;
            }
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(10), found).await.unwrap();
    // The ninth batch; the fifth is left out.
    assert_eq!((found.len(), found.last()), (8, Some(&(14, 1, 4))));
}
