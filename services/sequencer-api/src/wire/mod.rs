//! Between the contract's types and the messages of `eagre.internal.v1`. What comes in is checked: a message that no
//! sequencer or gateway would send is an error, never a default.

mod commit;
mod index;
pub mod parsers;
mod status;
mod topic;

pub(crate) use commit::{commit_reply, commit_request, commit_request_message, commit_response_message};
pub(crate) use index::{
    bounds, bounds_message, inline_response, inline_response_message, partition, partition_message, ping_answer,
    ping_message, run, run_message, tail_update, tail_update_message,
};
pub(crate) use status::{
    Failure, create_failure, create_status, read_failure, sequencer_status, topic_failure, topic_status, write_failure,
};
pub(crate) use topic::{topic, topic_message};

use eagre_model::{ObjectId, UploadEpoch};
use eagre_proto::internal::v1 as proto;

/// A message that makes no sense; says which part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is missing or out of range")]
pub struct Malformed(pub &'static str);

pub(crate) fn object_message(object: ObjectId) -> proto::ObjectId {
    proto::ObjectId { epoch: object.epoch.0, incarnation: object.incarnation, number: object.number }
}

pub(crate) fn object(message: Option<proto::ObjectId>) -> Result<ObjectId, Malformed> {
    let message = message.ok_or(Malformed("the object"))?;
    Ok(ObjectId { epoch: UploadEpoch(message.epoch), incarnation: message.incarnation, number: message.number })
}

#[cfg(test)]
mod tests;
