//! Commits and their outcomes.

use eagre_model::{ProducerEpoch, ProducerId, ShardId, UploadEpoch};
use eagre_proto::internal::v1 as proto;

use super::{Malformed, object, object_message, partition, partition_message};
use crate::{
    BatchOutcome, CommitAnswer, CommitBatch, CommitFailure, CommitReply, CommitRequest, CommitRun, PartOf,
    ProducerSequence, RefusalReason,
};

const NO_PRODUCER: i64 = -1;

// Those of the commit record in `docs/formats.md`. Never changed, never reused.
const APPENDED: u32 = 1;
const DUPLICATE: u32 = 2;
const UNKNOWN_PARTITION: u32 = 3;
const OUT_OF_ORDER_SEQUENCE: u32 = 4;
const PRODUCER_FENCED: u32 = 5;
const SEQUENCE_TOO_OLD: u32 = 6;
const DUPLICATE_ELSEWHERE: u32 = 7;
const UNISSUED_PRODUCER_ID: u32 = 8;
const UNKNOWN_PRODUCER_ID: u32 = 9;

const EPOCH_BELOW_FLOOR: u32 = 1;
const MISMATCH: u32 = 2;

pub(crate) fn commit_request_message(shard: ShardId, request: &CommitRequest) -> proto::CommitRequest {
    let run = |run: &CommitRun| proto::CommitRun {
        partition: Some(partition_message(run.partition)),
        position_bytes: run.position_bytes,
        batches: run.batches.iter().map(batch_message).collect(),
    };
    proto::CommitRequest {
        shard: shard.0,
        object: Some(object_message(request.object)),
        object_length_bytes: request.object_length_bytes,
        runs: request.runs.iter().map(run).collect(),
        inline: request.inline.clone(),
        settled_below: request.settled_below,
        traceparent: request.traceparent.clone().unwrap_or_default(),
    }
}

fn batch_message(batch: &CommitBatch) -> proto::CommitBatch {
    let (producer_id, producer_epoch, first_sequence) = match batch.producer {
        Some(producer) => (producer.id.0, i32::from(producer.epoch.0), producer.first_sequence),
        None => (NO_PRODUCER, 0, 0),
    };
    proto::CommitBatch {
        length_bytes: batch.length_bytes,
        record_count: batch.record_count,
        crc32c: batch.crc32c,
        max_timestamp_ms: batch.max_timestamp_ms,
        attributes: u32::from(batch.attributes.cast_unsigned()),
        producer_id,
        producer_epoch,
        first_sequence,
        part: batch.part.map(|part| proto::PartOf {
            number: part.number,
            records: part.records,
            partition_map_version: part.partition_map_version,
        }),
    }
}

/// What [`CommitRequest::check`] looks at is left to it.
pub(crate) fn commit_request(message: proto::CommitRequest) -> Result<CommitRequest, Malformed> {
    let run = |run: proto::CommitRun| {
        Ok(CommitRun {
            partition: partition(run.partition)?,
            position_bytes: run.position_bytes,
            batches: run.batches.into_iter().map(batch).collect::<Result<_, _>>()?,
        })
    };
    Ok(CommitRequest {
        object: object(message.object)?,
        object_length_bytes: message.object_length_bytes,
        runs: message.runs.into_iter().map(run).collect::<Result<_, _>>()?,
        inline: message.inline,
        settled_below: message.settled_below,
        traceparent: Some(message.traceparent).filter(|text| !text.is_empty()),
    })
}

fn batch(message: proto::CommitBatch) -> Result<CommitBatch, Malformed> {
    let attributes = u16::try_from(message.attributes).map_err(|_| Malformed("the attributes"))?;
    let producer = match message.producer_id {
        NO_PRODUCER => None,
        id => {
            let epoch = i16::try_from(message.producer_epoch).map_err(|_| Malformed("the producer epoch"))?;
            let first_sequence = message.first_sequence;
            Some(ProducerSequence { id: ProducerId(id), epoch: ProducerEpoch(epoch), first_sequence })
        }
    };
    Ok(CommitBatch {
        length_bytes: message.length_bytes,
        record_count: message.record_count,
        crc32c: message.crc32c,
        max_timestamp_ms: message.max_timestamp_ms,
        attributes: attributes.cast_signed(),
        producer,
        part: message.part.map(|part| PartOf {
            number: part.number,
            records: part.records,
            partition_map_version: part.partition_map_version,
        }),
    })
}

pub(crate) fn commit_response_message(reply: &CommitReply) -> proto::CommitResponse {
    let (outcomes, failure) = match &reply.result {
        Ok(answer) => (answer.outcomes.iter().map(|outcome| outcome_message(*outcome)).collect(), None),
        Err(failure) => (Vec::new(), Some(failure_message(failure))),
    };
    let takes_inline = reply.takes_inline;
    proto::CommitResponse { object: Some(object_message(reply.object)), outcomes, failure, takes_inline }
}

fn failure_message(failure: &CommitFailure) -> proto::CommitFailure {
    let (kind, upload_epoch) = match failure {
        CommitFailure::EpochBelowFloor { upload_epoch } => (EPOCH_BELOW_FLOOR, upload_epoch.0),
        CommitFailure::Mismatch => (MISMATCH, 0),
    };
    proto::CommitFailure { kind, upload_epoch, message: failure.to_string() }
}

fn outcome_message(outcome: BatchOutcome) -> proto::BatchOutcome {
    let (kind, value) = match outcome {
        BatchOutcome::Appended { base_offset } => (APPENDED, base_offset),
        BatchOutcome::Duplicate { base_offset } => (DUPLICATE, base_offset),
        BatchOutcome::DuplicateElsewhere => (DUPLICATE_ELSEWHERE, 0),
        BatchOutcome::Refused(RefusalReason::UnknownPartition) => (UNKNOWN_PARTITION, 0),
        BatchOutcome::Refused(RefusalReason::OutOfOrderSequence { expected }) => {
            (OUT_OF_ORDER_SEQUENCE, i64::from(expected))
        }
        BatchOutcome::Refused(RefusalReason::ProducerFenced { current }) => (PRODUCER_FENCED, i64::from(current.0)),
        BatchOutcome::Refused(RefusalReason::SequenceTooOld) => (SEQUENCE_TOO_OLD, 0),
        BatchOutcome::Refused(RefusalReason::UnissuedProducerId) => (UNISSUED_PRODUCER_ID, 0),
        BatchOutcome::Refused(RefusalReason::UnknownProducerId) => (UNKNOWN_PRODUCER_ID, 0),
    };
    proto::BatchOutcome { kind, value }
}

pub(crate) fn commit_reply(message: proto::CommitResponse) -> Result<CommitReply, Malformed> {
    let object = object(message.object)?;
    let result = match message.failure {
        None => {
            let outcomes = message.outcomes.into_iter().map(outcome).collect::<Result<_, _>>()?;
            Ok(CommitAnswer { outcomes })
        }
        Some(failure) if message.outcomes.is_empty() => Err(commit_failure(&failure)?),
        Some(_) => return Err(Malformed("the outcome of a commit that failed")),
    };
    Ok(CommitReply { object, result, takes_inline: message.takes_inline })
}

fn commit_failure(message: &proto::CommitFailure) -> Result<CommitFailure, Malformed> {
    match message.kind {
        EPOCH_BELOW_FLOOR => Ok(CommitFailure::EpochBelowFloor { upload_epoch: UploadEpoch(message.upload_epoch) }),
        MISMATCH => Ok(CommitFailure::Mismatch),
        _ => Err(Malformed("the kind of failure")),
    }
}

fn outcome(message: proto::BatchOutcome) -> Result<BatchOutcome, Malformed> {
    let offset = || if message.value >= 0 { Ok(message.value) } else { Err(Malformed("the base offset")) };
    Ok(match message.kind {
        APPENDED => BatchOutcome::Appended { base_offset: offset()? },
        DUPLICATE => BatchOutcome::Duplicate { base_offset: offset()? },
        UNKNOWN_PARTITION => BatchOutcome::Refused(RefusalReason::UnknownPartition),
        OUT_OF_ORDER_SEQUENCE => {
            let expected = i32::try_from(message.value).map_err(|_| Malformed("the expected sequence"))?;
            BatchOutcome::Refused(RefusalReason::OutOfOrderSequence { expected })
        }
        PRODUCER_FENCED => {
            let current = i16::try_from(message.value).map_err(|_| Malformed("the current epoch"))?;
            BatchOutcome::Refused(RefusalReason::ProducerFenced { current: ProducerEpoch(current) })
        }
        SEQUENCE_TOO_OLD => BatchOutcome::Refused(RefusalReason::SequenceTooOld),
        UNISSUED_PRODUCER_ID => BatchOutcome::Refused(RefusalReason::UnissuedProducerId),
        UNKNOWN_PRODUCER_ID => BatchOutcome::Refused(RefusalReason::UnknownProducerId),
        DUPLICATE_ELSEWHERE => BatchOutcome::DuplicateElsewhere,
        _ => return Err(Malformed("the kind of outcome")),
    })
}
