//! `POST /v1/topics/T/records` and `POST /v1/producers`.

use axum::extract::{Path, Request, State};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use eagre_proto::v1::{
    Header, InitProducerRequest, ProduceRequest, ProducerSequence, Record, RecordList, produce_request::Payload,
    produce_service_client::ProduceServiceClient,
};
use eagre_trace::TRACEPARENT;
use eagre_transport::MESSAGE_BYTES_MAX;
use serde::{Deserialize, Serialize};

use super::{
    answer::Json,
    api::Api,
    body,
    error::ApiError,
    shape::{Object, Shape},
};

/// Records to append.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProduceBody {
    #[serde(deserialize_with = "body::records")]
    records: Vec<RecordBody>,
    /// Left out: each record goes where its key belongs.
    partition: Option<u32>,
    /// Makes the request land once, however often it is sent.
    producer: Option<Object<ProducerBody>>,
}

impl Shape for ProduceBody {
    const WHAT: &'static str = "an object with records, and, where wanted, partition and producer";
}

/// A request that says all by its path.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Shape for Nothing {
    const WHAT: &'static str = "an empty object";
    const NOTHING: &'static [u8] = b"{}";
}

/// Text, or bytes in base64; neither: null.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordBody {
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    #[serde(default, deserialize_with = "body::headers")]
    headers: Vec<HeaderBody>,
    timestamp_ms: Option<i64>,
}

impl Shape for RecordBody {
    const WHAT: &'static str = "an object with key, value, headers and timestamp_ms, each where wanted";
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderBody {
    key: String,
    value: Option<String>,
    value_base64: Option<String>,
}

impl Shape for HeaderBody {
    const WHAT: &'static str = "an object with key and, where wanted, value";
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProducerBody {
    id: i64,
    #[serde(default)]
    epoch: u32,
    first_sequence: i32,
}

impl Shape for ProducerBody {
    const WHAT: &'static str = "an object with id, epoch and first_sequence";
}

#[derive(Debug, Serialize)]
pub(super) struct Produced {
    /// It had been appended before.
    duplicate: bool,
    /// One a record, in the order of the request. Empty for a duplicate whose places are not remembered.
    positions: Vec<PositionBody>,
}

#[derive(Debug, Serialize)]
struct PositionBody {
    partition: u32,
    offset: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct NewProducer {
    id: i64,
    epoch: u32,
}

/// `POST /v1/topics/T/records`.
pub(super) async fn produce(
    State(api): State<Api>,
    Path(topic): Path<String>,
    request: Request,
) -> Result<Json<Produced>, ApiError> {
    let caller = request.headers().get(TRACEPARENT).and_then(|caller| caller.to_str().ok()?.parse().ok());
    let (body, _granted) = api.budget.read::<ProduceBody>(request).await?;
    let count = body.records.len();
    let partition = body.partition;
    let producer = body.producer.as_ref().map(|Object(producer)| ProducerSequence {
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        first_sequence: producer.first_sequence,
    });
    let records = wire_records(body)?;
    let payload = Some(Payload::Records(RecordList { records }));
    let mut service = ProduceServiceClient::new(api.routes)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut request = tonic::Request::new(ProduceRequest { topic, partition, payload, producer, topic_id: None });
    if let Some(caller) = caller {
        request.metadata_mut().insert(TRACEPARENT, caller);
    }
    let answer = service.produce(request).await?.into_inner();
    let positions = match partition {
        Some(partition) => {
            (answer.base_offset..).take(count).map(|offset| PositionBody { partition, offset }).collect()
        }
        None => {
            let place = |place: eagre_proto::v1::RecordPosition| PositionBody {
                partition: place.partition,
                offset: place.offset,
            };
            answer.positions.into_iter().map(place).collect()
        }
    };
    Ok(Json(Produced { duplicate: answer.duplicate, positions }))
}

/// `POST /v1/producers`: an identity under which requests can be numbered.
pub(super) async fn init_producer(State(api): State<Api>, request: Request) -> Result<Json<NewProducer>, ApiError> {
    let (Nothing {}, _granted) = api.budget.read(request).await?;
    let answer = ProduceServiceClient::new(api.routes).init_producer(InitProducerRequest {}).await?.into_inner();
    Ok(Json(NewProducer { id: answer.producer_id, epoch: answer.producer_epoch }))
}

/// The records as the service takes them.
pub(super) fn wire_records(body: ProduceBody) -> Result<Vec<Record>, ApiError> {
    body.records.into_iter().enumerate().map(|(number, body)| record(number, body)).collect()
}

fn record(number: usize, body: RecordBody) -> Result<Record, ApiError> {
    let at = |field: &str| format!("records[{number}].{field}");
    let header = |(place, header): (usize, HeaderBody)| {
        let value = bytes(&at(&format!("headers[{place}].value")), header.value, header.value_base64)?;
        Ok::<_, ApiError>(Header { key: header.key, value })
    };
    Ok(Record {
        key: bytes(&at("key"), body.key, body.key_base64)?,
        value: bytes(&at("value"), body.value, body.value_base64)?,
        headers: body.headers.into_iter().enumerate().map(header).collect::<Result<_, _>>()?,
        timestamp_ms: body.timestamp_ms,
    })
}

fn bytes(field: &str, text: Option<String>, base64: Option<String>) -> Result<Option<Bytes>, ApiError> {
    match (text, base64) {
        (Some(_), Some(_)) => {
            Err(ApiError::invalid(field, format!("{field} is given as text and as base64; leave one out")))
        }
        (Some(text), None) => Ok(Some(text.into())),
        (None, Some(base64)) => {
            let decoded = STANDARD.decode(base64);
            let wrong =
                |error| ApiError::invalid(field, format!("{field}_base64 is not base64 (RFC 4648, padded): {error}"));
            decoded.map(|bytes| Some(bytes.into())).map_err(wrong)
        }
        (None, None) => Ok(None),
    }
}
