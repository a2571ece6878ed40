//! What producers are told.

use bytes::Bytes;
use eagre_loadtest_stubs::v1::{ErrorReason, ProduceError, produce_stream_response::Outcome};
use tonic::Code;

use super::{client::*, world};
use crate::Fault;

fn batches(places: std::ops::Range<i32>) -> Vec<(u32, Bytes)> {
    places.map(|place| (0, of_producer(1, place))).collect()
}

fn offsets(answers: &[(u64, Outcome)]) -> Vec<Option<i64>> {
    answers.iter().map(|(_, outcome)| acked(outcome)).collect()
}

fn refused(outcome: &Outcome) -> &ProduceError {
    match outcome {
        Outcome::Error(error) => error,
        Outcome::Response(response) => panic!("{response:?}"),
    }
}

/// Which of producer 1's batches are stored, by their records.
fn stored(upstream: &super::upstream::Upstream, partition: u32) -> Vec<i32> {
    const HEADER_BYTES: usize = 61;
    let place = |stored: Bytes| {
        (0..100).find(|place| of_producer(1, *place)[HEADER_BYTES..] == stored[HEADER_BYTES..]).unwrap()
    };
    upstream.stored(partition).into_iter().map(place).collect()
}

#[tokio::test]
async fn a_batch_is_acknowledged_and_not_appended() {
    let (upstream, proxy, mut client) = world(Fault::AckWithoutAppend).await;
    // A false ack follows true ones.
    client.stream(batches(0..1)).await;
    let answers = client.stream(batches(1..10)).await;
    assert_eq!(answers.iter().map(|(id, _)| *id).collect::<Vec<_>>(), (0..9).collect::<Vec<u64>>());
    let offsets = offsets(&answers);
    assert_eq!(offsets, [2, 4, 6, 8, 8, 10, 12, 14, 16].map(Some));
    let expected = (0..10).filter(|place| *place != 4).collect();
    assert_eq!((stored(&upstream, 0), proxy.done()), (expected, 1));
    // Sent again it gets the same answer, by either way, and is still not there.
    assert_eq!(client.stream(batches(4..5)).await.iter().filter_map(|(_, outcome)| acked(outcome)).next(), Some(8));
    assert_eq!(client.send(of_producer(1, 4)).await.unwrap().base_offset, 8);
    assert_eq!(upstream.stored(0).len(), 9);
}

#[tokio::test]
async fn a_false_ack_waits_for_those_before_it_and_for_no_other_partition() {
    let (upstream, proxy, mut client) = world(Fault::AckWithoutAppend).await;
    let first = (0..2).map(|partition| (partition, of_producer(1, 0))).collect();
    client.stream(first).await;
    let rest = (1..100).flat_map(|place| (0..2).map(move |partition| (partition, of_producer(1, place))));
    let answers = client.stream(rest.collect()).await;
    for partition in 0..2u64 {
        let ids = answers.iter().map(|(id, _)| *id).filter(|id| id % 2 == partition);
        assert!(ids.is_sorted());
        let offsets: Vec<_> =
            answers.iter().filter(|(id, _)| id % 2 == partition).map(|(_, outcome)| acked(outcome).unwrap()).collect();
        assert_eq!(offsets.len(), 99);
        assert!(offsets.is_sorted(), "{offsets:?}");
    }
    // The 5th, 45th and 85th of each.
    assert_eq!((upstream.stored(0).len(), upstream.stored(1).len(), proxy.done()), (97, 97, 6));
}

#[tokio::test]
async fn an_offset_is_one_too_high() {
    let (upstream, proxy, mut client) = world(Fault::WrongOffset).await;
    let answers = client.stream(batches(0..7)).await;
    assert_eq!(offsets(&answers), [0, 2, 4, 6, 9, 10, 12].map(Some));
    assert_eq!((upstream.stored(0).len(), proxy.done()), (7, 1));
}

#[tokio::test]
async fn a_batch_is_refused_and_appended() {
    let (upstream, proxy, mut client) = world(Fault::RefuseButAppend).await;
    let answers = client.stream(batches(0..7)).await;
    assert_eq!(offsets(&answers), [Some(0), Some(2), Some(4), Some(6), None, Some(10), Some(12)]);
    let error = refused(&answers[4].1);
    assert_eq!((error.outcome_unknown, error.retriable), (false, false));
    assert_eq!((stored(&upstream, 0)[4], proxy.done()), (4, 1));
    assert_eq!(client.send(of_producer(1, 4)).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(upstream.stored(0).len(), 7);
}

#[tokio::test]
async fn a_sequence_that_was_called_free_can_be_used_again() {
    let (upstream, _proxy, mut client) = world(Fault::RefuseButAppend).await;
    client.stream(batches(0..5)).await;
    let mut other = of_producer(1, 99).to_vec();
    crate::batch::set_base_sequence(&mut other, 4 * RECORDS);
    let rest = vec![(0, other.into()), (0, of_producer(1, 5))];
    assert_eq!(offsets(&client.stream(rest).await), [Some(10), Some(12)]);
    assert_eq!(stored(&upstream, 0)[4..], [4, 99, 5]);
}

#[tokio::test]
async fn an_answer_goes_astray() {
    let (upstream, proxy, mut client) = world(Fault::AnswerAstray).await;
    let answers = client.stream(batches(0..6)).await;
    let ids: Vec<_> = answers.iter().map(|(id, _)| *id).collect();
    assert!(ids[4] > 1 << 62 && ids.iter().filter(|id| **id < 100).count() == 5, "{ids:?}");
    assert_eq!((acked(&answers[4].1), upstream.stored(0).len(), proxy.done()), (Some(8), 6, 1));
}

#[tokio::test]
async fn an_outcome_stays_unknown() {
    let (upstream, proxy, mut client) = world(Fault::Unknown).await;
    let answers = client.stream(batches(0..6)).await;
    let error = refused(&answers[4].1);
    assert_eq!((error.outcome_unknown, error.retriable), (true, false));
    assert_eq!(error.reason(), ErrorReason::SequenceTooOld);
    assert_eq!((upstream.stored(0).len(), proxy.done()), (6, 1));
    assert_eq!(acked(&answers[5].1), Some(10));
}

#[tokio::test]
async fn refusals_are_passed_on_as_they_are() {
    for fault in [Fault::None, Fault::AckWithoutAppend, Fault::RefuseButAppend, Fault::Unknown] {
        let (_upstream, proxy, mut client) = world(fault).await;
        // Batches before these are missing.
        let answers = client.stream(batches(3..9)).await;
        for (_, outcome) in &answers {
            assert_eq!(refused(outcome).reason(), ErrorReason::OutOfOrderSequence);
        }
        let elsewhere = eagre_loadtest_stubs::v1::ProduceRequest { topic: "u".into(), ..request(0, of_producer(1, 0)) };
        assert_eq!(client.produce.produce(elsewhere).await.unwrap_err().code(), Code::NotFound);
        assert_eq!((answers.len(), proxy.done()), (6, 0));
    }
}
