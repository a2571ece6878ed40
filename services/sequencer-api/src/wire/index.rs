//! Partitions, runs, tails, bounds, pings.

use bytes::Bytes;
use eagre_model::{Run, RunKind, TopicNumber, TopicPartition};
use eagre_proto::internal::v1 as proto;

use super::{Malformed, object, object_message};
use crate::{PartitionBounds, PingAnswer, Tail, TailUpdate};

pub(crate) fn partition_message(partition: TopicPartition) -> proto::PartitionId {
    proto::PartitionId { topic: partition.topic.0, partition: partition.partition }
}

pub(crate) fn partition(message: Option<proto::PartitionId>) -> Result<TopicPartition, Malformed> {
    let message = message.ok_or(Malformed("the partition"))?;
    Ok(TopicPartition { topic: TopicNumber(message.topic), partition: message.partition })
}

// As in the rows of the index, `docs/formats.md`; 0 is what a sequencer says that knows no other.
const WAL: u32 = 0;
const INLINE: u32 = 3;

pub(crate) fn run_message(run: &Run) -> proto::Run {
    proto::Run {
        base_offset: run.base_offset,
        last_offset: run.last_offset,
        object: Some(object_message(run.object)),
        position_bytes: run.position_bytes,
        length_bytes: run.length_bytes,
        batches: run.batches,
        crc32c: run.crc32c,
        prefix_max_timestamp_ms: run.prefix_max_timestamp_ms,
        kind: match run.kind {
            RunKind::Wal => WAL,
            RunKind::Inline => INLINE,
        },
    }
}

pub(crate) fn run(message: proto::Run) -> Result<Run, Malformed> {
    if message.base_offset < 0 || message.last_offset < message.base_offset || message.last_offset == i64::MAX {
        return Err(Malformed("the offsets of a run"));
    }
    if message.length_bytes == 0 || message.batches == 0 {
        return Err(Malformed("the length of a run"));
    }
    if message.position_bytes.checked_add(u64::from(message.length_bytes)).is_none() {
        return Err(Malformed("the position of a run"));
    }
    let kind = match message.kind {
        WAL => RunKind::Wal,
        INLINE => RunKind::Inline,
        _ => return Err(Malformed("the kind of a run")),
    };
    Ok(Run {
        kind,
        base_offset: message.base_offset,
        last_offset: message.last_offset,
        object: object(message.object)?,
        position_bytes: message.position_bytes,
        length_bytes: message.length_bytes,
        batches: message.batches,
        crc32c: message.crc32c,
        prefix_max_timestamp_ms: message.prefix_max_timestamp_ms,
    })
}

pub(crate) fn inline_response_message(runs: Vec<Option<Bytes>>) -> proto::ReadInlineResponse {
    let run = |bytes: Option<Bytes>| proto::InlineRun { bytes };
    proto::ReadInlineResponse { runs: runs.into_iter().map(run).collect() }
}

/// The answer to a question for so many runs.
pub(crate) fn inline_response(
    message: proto::ReadInlineResponse,
    asked: usize,
) -> Result<Vec<Option<Bytes>>, Malformed> {
    let count = message.runs.len();
    if count > asked || (count == 0 && asked > 0) {
        return Err(Malformed("the number of inline runs"));
    }
    // In buffers of their own: as they come they share that of the message, and caches keep each for as long as it is read.
    Ok(message.runs.into_iter().map(|run| run.bytes.map(|bytes| Bytes::copy_from_slice(&bytes))).collect())
}

/// `0 <= log start <= high watermark`.
fn check_bounds(log_start_offset: i64, high_watermark: i64) -> Result<(), Malformed> {
    if (0..=high_watermark).contains(&log_start_offset) { Ok(()) } else { Err(Malformed("the bounds of a log")) }
}

pub(crate) fn tail_update_message(update: &TailUpdate) -> proto::SubscribeResponse {
    let tail = |tail: &Tail| proto::Tail {
        partition: Some(partition_message(tail.partition)),
        log_start_offset: tail.log_start_offset,
        high_watermark: tail.high_watermark,
        runs: tail.runs.iter().map(run_message).collect(),
    };
    proto::SubscribeResponse {
        number: update.number,
        tails: update.tails.iter().map(tail).collect(),
        deleted_topics: update.deleted_topics.iter().map(|topic| topic.0).collect(),
    }
}

pub(crate) fn tail_update(message: proto::SubscribeResponse) -> Result<TailUpdate, Malformed> {
    let tail = |message: proto::Tail| {
        check_bounds(message.log_start_offset, message.high_watermark)?;
        Ok(Tail {
            partition: partition(message.partition)?,
            log_start_offset: message.log_start_offset,
            high_watermark: message.high_watermark,
            runs: message.runs.into_iter().map(run).collect::<Result<_, _>>()?,
        })
    };
    Ok(TailUpdate {
        number: message.number,
        tails: message.tails.into_iter().map(tail).collect::<Result<_, _>>()?,
        deleted_topics: message.deleted_topics.into_iter().map(TopicNumber).collect(),
    })
}

pub(crate) fn bounds_message(bounds: Option<&PartitionBounds>) -> proto::MaybeBounds {
    match bounds {
        Some(bounds) => proto::MaybeBounds {
            log_start_offset: Some(bounds.log_start_offset),
            high_watermark: bounds.high_watermark,
            size_bytes: bounds.size_bytes,
        },
        None => proto::MaybeBounds::default(),
    }
}

pub(crate) fn bounds(message: &proto::MaybeBounds) -> Result<Option<PartitionBounds>, Malformed> {
    let Some(log_start_offset) = message.log_start_offset else { return Ok(None) };
    check_bounds(log_start_offset, message.high_watermark)?;
    Ok(Some(PartitionBounds {
        log_start_offset,
        high_watermark: message.high_watermark,
        size_bytes: message.size_bytes,
    }))
}

pub(crate) fn ping_message(answer: &PingAnswer) -> proto::PingResponse {
    let nonce = Bytes::copy_from_slice(&answer.nonce.to_be_bytes());
    proto::PingResponse { claim: answer.claim, nonce, healthy: answer.healthy }
}

pub(crate) fn ping_answer(message: &proto::PingResponse) -> Result<PingAnswer, Malformed> {
    let nonce = message.nonce.as_ref().try_into().map_err(|_| Malformed("the nonce"))?;
    Ok(PingAnswer { claim: message.claim, nonce: u128::from_be_bytes(nonce), healthy: message.healthy })
}
