//! What a peer may send, each kind as one function over bytes, for tests that throw damaged ones at it. It panics when
//! something was taken that does not survive another way over the wire.

use std::fmt::Debug;

use eagre_model::ShardId;
use eagre_proto::internal::v1 as proto;
use prost::Message;

use super::Malformed;

/// To a sequencer: a commit.
pub fn commit_request(bytes: &[u8]) {
    let there = |request: &_| super::commit_request_message(ShardId::FIRST, request);
    survives(bytes, super::commit_request, there);
}

/// From a sequencer: the outcome of a commit.
pub fn commit_response(bytes: &[u8]) {
    survives(bytes, super::commit_reply, super::commit_response_message);
}

/// From a sequencer: new tails.
pub fn tail_update(bytes: &[u8]) {
    survives(bytes, super::tail_update, super::tail_update_message);
}

/// From a sequencer: bytes of inline runs, to a question for four.
pub fn inline_response(bytes: &[u8]) {
    let there = |runs: &Vec<_>| super::inline_response_message(runs.clone());
    survives(bytes, |message| super::inline_response(message, 4), there);
}

/// From a sequencer: a topic's record.
pub fn topic(bytes: &[u8]) {
    survives(bytes, |message| super::topic(Some(message)), super::topic_message);
}

/// From a sequencer: the bounds of a partition.
pub fn bounds(bytes: &[u8]) {
    let there = |bounds: &Option<_>| super::bounds_message(bounds.as_ref());
    survives(bytes, |message: proto::MaybeBounds| super::bounds(&message), there);
}

/// From a sequencer: the answer to a ping.
pub fn ping_answer(bytes: &[u8]) {
    survives(bytes, |message: proto::PingResponse| super::ping_answer(&message), super::ping_message);
}

fn survives<M: Message + Default, T: Debug + PartialEq>(
    bytes: &[u8],
    back: impl Fn(M) -> Result<T, Malformed>,
    there: impl Fn(&T) -> M,
) {
    if let Ok(message) = M::decode(bytes)
        && let Ok(taken) = back(message)
    {
        assert_eq!(back(there(&taken)), Ok(taken));
    }
}
