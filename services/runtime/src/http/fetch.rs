//! `GET /v1/topics/T/records`.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use eagre_proto::v1::{
    ConsumedRecord, DescribeTopicRequest, Earliest, FetchEncoding, FetchEnd, FetchPartition, FetchRequest,
    FetchResponse, Latest, ListOffsetsRequest, PartitionOffset, Position, fetch_service_client::FetchServiceClient,
    position, topic_service_client::TopicServiceClient,
};
use eagre_transport::MESSAGE_BYTES_MAX;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::{
    answer::{Charged, Json, Turn},
    api::Api,
    error::ApiError,
    query::Query,
};

const RECORDS_MAX_DEFAULT: usize = 100;
const RECORDS_MAX: usize = 10_000;
/// An answer that holds so many bytes of records takes no more.
const ANSWER_BYTES: usize = 1 << 20;
const WAIT_MS_MAX: u64 = 30_000;
/// For the answer itself, beside the wait for records.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Records in the order of each partition.
#[derive(Debug, Default, Serialize)]
pub(super) struct Fetched {
    records: Vec<RecordBody>,
    /// Where to go on, for each partition that was asked for.
    next: Vec<NextBody>,
    #[serde(skip)]
    bytes: usize,
    /// From the first records on.
    #[serde(skip)]
    turn: Option<Turn>,
}

#[derive(Debug, Serialize)]
struct NextBody {
    partition: u32,
    offset: i64,
    high_watermark: i64,
}

#[derive(Debug, Serialize)]
struct RecordBody {
    partition: u32,
    offset: i64,
    timestamp_ms: i64,
    #[serde(flatten)]
    key: Key,
    #[serde(flatten)]
    value: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<HeaderBody>,
}

/// Text where it is UTF-8, else base64.
#[derive(Debug, Serialize)]
enum Key {
    #[serde(rename = "key")]
    Text(Option<String>),
    #[serde(rename = "key_base64")]
    Base64(String),
}

#[derive(Debug, Serialize)]
enum Value {
    #[serde(rename = "value")]
    Text(Option<String>),
    #[serde(rename = "value_base64")]
    Base64(String),
}

#[derive(Debug, Serialize)]
struct HeaderBody {
    key: String,
    #[serde(flatten)]
    value: Value,
}

/// What is asked for.
#[derive(Debug)]
struct Asked {
    partition: Option<u32>,
    from: position::Position,
    max: usize,
    wait: Duration,
}

/// Reads from a place to the end, at most `max` records; when there are none, waits for some.
pub(super) async fn fetch(
    State(api): State<Api>,
    Path(topic): Path<String>,
    request: Request,
) -> Result<Charged<Fetched>, ApiError> {
    let asked = Asked::of(Query::of(&request, &["from", "partition", "max", "wait_ms"])?)?;
    let begun = Instant::now();
    let mut fetched = begin(&api, &topic, &asked).await?;
    let has_records = |next: &NextBody| next.offset < next.high_watermark;
    if fetched.next.iter().any(has_records) {
        read(&api, &topic, &mut fetched, FetchEnd::Stop, asked.max, begun + ANSWER_WITHIN).await?;
    } else if !asked.wait.is_zero() {
        read(&api, &topic, &mut fetched, FetchEnd::Follow, asked.max, begun + asked.wait).await?;
    }
    let turn = fetched.turn.take();
    Ok(Charged(Json(fetched), turn))
}

impl Asked {
    fn of(mut query: Query) -> Result<Self, ApiError> {
        let partition = query.number("partition", 0..=u32::MAX)?;
        let max = query.number("max", 1..=RECORDS_MAX)?.unwrap_or(RECORDS_MAX_DEFAULT);
        let wait = Duration::from_millis(query.number("wait_ms", 0..=WAIT_MS_MAX)?.unwrap_or(0));
        let from = match query.take("from").as_deref() {
            None | Some("earliest") => position::Position::Earliest(Earliest {}),
            Some("latest") => position::Position::Latest(Latest {}),
            Some(text) if text.starts_with('@') => match text[1..].parse() {
                Ok(timestamp_ms) => position::Position::TimestampMs(timestamp_ms),
                Err(_) => {
                    let why = format!("from is {text:?}; a time is @ and milliseconds since 1970, as @1767225600000");
                    return Err(ApiError::invalid("from", why));
                }
            },
            Some(text) => match (text.parse::<i64>(), partition) {
                (Ok(offset), Some(_)) if offset >= 0 => position::Position::Offset(offset),
                (Ok(offset), None) if offset >= 0 => {
                    let why = "an offset is one of a partition; say which with the parameter partition";
                    return Err(ApiError::invalid("partition", why));
                }
                _ => {
                    let why = format!(
                        "from is {text:?}; it is earliest, latest, @ and a time in milliseconds, or an offset from 0 on"
                    );
                    return Err(ApiError::invalid("from", why));
                }
            },
        };
        Ok(Self { partition, from, max, wait })
    }
}

/// The offsets to begin at.
async fn begin(api: &Api, topic: &str, asked: &Asked) -> Result<Fetched, ApiError> {
    let numbers = match asked.partition {
        Some(partition) => vec![partition],
        None => {
            let request = DescribeTopicRequest { name: topic.to_owned() };
            let answer = TopicServiceClient::new(api.routes.clone()).describe_topic(request).await?.into_inner();
            answer.bounds.iter().map(|bounds| bounds.partition).collect()
        }
    };
    let partitions = numbers.iter().map(|partition| at(topic, *partition, asked.from)).collect();
    let answer = FetchServiceClient::new(api.routes.clone()).list_offsets(ListOffsetsRequest { partitions }).await?;
    let next = |(partition, place): (u32, PartitionOffset)| NextBody {
        partition,
        offset: place.offset,
        high_watermark: place.high_watermark,
    };
    let next = numbers.into_iter().zip(answer.into_inner().offsets).map(next).collect();
    Ok(Fetched { next, ..Fetched::default() })
}

fn at(topic: &str, partition: u32, position: position::Position) -> FetchPartition {
    FetchPartition { topic: topic.to_owned(), partition, position: Some(Position { position: Some(position) }) }
}

/// One stream: to the ends of the partitions, or until something has come; until there is enough, or no time left.
async fn read(
    api: &Api,
    topic: &str,
    fetched: &mut Fetched,
    end: FetchEnd,
    max: usize,
    until: Instant,
) -> Result<(), ApiError> {
    let follows = end == FetchEnd::Follow;
    let wanted = |next: &&NextBody| follows || next.offset < next.high_watermark;
    let wanted: Vec<(u32, i64)> =
        fetched.next.iter().filter(wanted).map(|next| (next.partition, next.offset)).collect();
    let asked = |(partition, offset): &(u32, i64)| at(topic, *partition, position::Position::Offset(*offset));
    let request = FetchRequest {
        partitions: wanted.iter().map(asked).collect(),
        end: end.into(),
        encoding: FetchEncoding::Records.into(),
    };
    let late = || ApiError::unavailable("the records were not read in time; try again");
    if !follows && fetched.turn.is_none() {
        // Before anything is read: what waits for a turn holds nothing that whoever has one may need.
        fetched.turn = Some(api.answers.turn().await?);
    }
    let mut service = FetchServiceClient::new(api.routes.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut messages = match timeout_at(until, service.fetch(request)).await {
        Ok(messages) => messages?.into_inner(),
        Err(_) if follows => return Ok(()),
        Err(_) => return Err(late()),
    };
    loop {
        let message = match timeout_at(until, messages.message()).await {
            Ok(message) => message?,
            // Nothing has come, which is an answer.
            Err(_) if follows => None,
            Err(_) => return Err(late()),
        };
        let Some(message) = message else { return Ok(()) };
        if fetched.turn.is_none() {
            fetched.turn = Some(api.answers.turn().await?);
        }
        let index = usize::try_from(message.index).unwrap_or(usize::MAX);
        let Some((partition, _)) = wanted.get(index) else {
            return Err(Status::internal("a partition that was not asked for").into());
        };
        fetched.take(*partition, message, max)?;
        let enough = fetched.records.len() >= max || fetched.bytes >= ANSWER_BYTES;
        if enough || (follows && !fetched.records.is_empty()) {
            return Ok(());
        }
    }
}

impl Fetched {
    fn take(&mut self, partition: u32, message: FetchResponse, max: usize) -> Result<(), ApiError> {
        if let Some(error) = message.error {
            return Err(ApiError::from(&error));
        }
        let room = max - self.records.len();
        let offset = message.records.get(room).map_or(message.next_offset, |first_left| first_left.offset);
        for record in message.records.into_iter().take(room) {
            self.bytes += record.key.as_ref().map_or(0, Bytes::len) + record.value.as_ref().map_or(0, Bytes::len);
            self.records.push(body(partition, record));
        }
        if let Some(next) = self.next.iter_mut().find(|next| next.partition == partition) {
            (next.offset, next.high_watermark) = (offset, message.high_watermark);
        }
        Ok(())
    }
}

fn body(partition: u32, record: ConsumedRecord) -> RecordBody {
    let headers = record.headers.into_iter().map(|header| HeaderBody { key: header.key, value: value(header.value) });
    let key = match value(record.key) {
        Value::Text(text) => Key::Text(text),
        Value::Base64(bytes) => Key::Base64(bytes),
    };
    RecordBody {
        partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key,
        value: value(record.value),
        headers: headers.collect(),
    }
}

fn value(bytes: Option<Bytes>) -> Value {
    match bytes.as_deref().map(|bytes| str::from_utf8(bytes).map_err(|_| bytes)) {
        None => Value::Text(None),
        Some(Ok(text)) => Value::Text(Some(text.to_owned())),
        Some(Err(bytes)) => Value::Base64(STANDARD.encode(bytes)),
    }
}
