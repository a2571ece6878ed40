use std::collections::BTreeSet;

use super::*;

const PAGE: &str = include_str!("../../../../docs/errors.md");

/// One of each.
fn all() -> Vec<Refusal> {
    let (why, topic) = (|| "why".to_owned(), || "t".to_owned());
    vec![
        Refusal::invalid("field", "why"),
        Refusal::InvalidBatch(why()),
        Refusal::CorruptBatch(why()),
        Refusal::TooLarge(why()),
        Refusal::UnknownTopic { topic: topic() },
        Refusal::UnknownPartition { topic: topic(), partition: 2, partitions: 2 },
        Refusal::AnotherTopic { topic: topic() },
        Refusal::TopicGone { topic: topic() },
        Refusal::TopicExists { topic: topic() },
        Refusal::InvalidTopicName { field: "name", why: why() },
        Refusal::OffsetOutOfRange { offset: 9, log_start_offset: 1, high_watermark: 7 },
        Refusal::OutOfOrderSequence { expected: 3 },
        Refusal::ProducerFenced { current: ProducerEpoch(2) },
        Refusal::SequenceTooOld,
        Refusal::UnissuedProducerId,
        Refusal::UnknownProducerId,
        Refusal::Unavailable(why()),
        Refusal::OutcomeUnknown(why()),
        Refusal::MaybePartly(why()),
        Refusal::StoredDataCorrupt(why()),
    ]
}

/// The first cells of the page's table: reason, gRPC code, outcome, whether to send it again, and after how long.
fn told() -> BTreeSet<[String; 5]> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let cells = |row: &str| {
        let cells: Vec<_> = row.split('|').skip(1).map(cell).collect();
        [0, 1, 3, 4, 5].map(|column| cells[column].clone())
    };
    rows.map(cells).collect()
}

#[test]
fn the_page_of_errors_is_true() {
    let said = |refusal: Refusal| {
        let status = Status::from(refusal.clone());
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.domain, ERROR_DOMAIN);
        let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let delay = retry.map_or_else(String::new, |delay| format!("{} ms", delay.as_millis()));
        let retriable = if info.metadata["retriable"] == "true" { "yes" } else { "no" };
        let code = match status.code() {
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::NotFound => "NOT_FOUND",
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::OutOfRange => "OUT_OF_RANGE",
            Code::FailedPrecondition => "FAILED_PRECONDITION",
            Code::Unavailable => "UNAVAILABLE",
            Code::Unknown => "UNKNOWN",
            Code::DataLoss => "DATA_LOSS",
            other => panic!("{refusal:?} has the code {other:?}"),
        };
        [info.reason, code.to_owned(), info.metadata["outcome"].clone(), retriable.to_owned(), delay]
    };
    assert_eq!(told(), all().into_iter().map(said).collect());
}

#[test]
fn every_reason_of_the_protocol_is_given() {
    let given: BTreeSet<_> = all().iter().map(|refusal| refusal.wire().0.as_str_name()).collect();
    let reasons = (1..).map_while(|number| ErrorReason::try_from(number).ok());
    assert_eq!(given, reasons.map(|reason| reason.as_str_name()).collect());
}

#[test]
fn what_is_wrong_in_a_request_is_named() {
    for refusal in all() {
        let status = Status::from(refusal.clone());
        let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        let is_named = violations.first().is_some_and(|violation| !violation.field.is_empty());
        let is_wrong = matches!(status.code(), Code::InvalidArgument | Code::OutOfRange)
            || matches!(refusal, Refusal::UnknownPartition { .. });
        assert_eq!(is_named, is_wrong, "{refusal:?}");
    }
}

#[test]
fn a_stream_says_the_same() {
    for refusal in all() {
        let info = Status::from(refusal.clone()).get_details_error_info().unwrap();
        let error = refusal.clone().into_produce_error();
        assert_eq!(error.outcome_unknown, info.metadata["outcome"] == "unknown", "{refusal:?}");
        assert_eq!(error.retriable, info.metadata["retriable"] == "true", "{refusal:?}");
        assert!(error.retriable || error.retry_after_ms.is_none(), "{refusal:?}");
    }
}
