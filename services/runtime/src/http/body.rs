//! Bodies of JSON requests: bounded before they are read and before they are parsed, and told apart from what is not JSON.
//!
//! `{}` is a record of two bytes as text and of hundreds when it is parsed, so objects are counted first and charged to a
//! pool of their own: who waits there has the text, and who has both waits for neither.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use axum::{body::Body, extract::Request, http::StatusCode};
use futures::StreamExt;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    error::ApiError,
    shape::{Object, Objects, Shape, TOO_MANY, explained},
};

/// The largest body.
const BODY_BYTES_MAX: usize = 4 << 20;
/// What a body and the strings in it may take, for each of its bytes.
const PARSED_FACTOR: usize = 4;
/// Objects of one body: records and headers of all of them, together.
const OBJECTS_MAX: usize = 20_000;
/// What an object may take beside its strings, when it is parsed and on its way to the service: a record takes most.
const OBJECT_BYTES: usize = 720;
/// A body beyond this has to wait for its turn.
const SMALL_BODY_BYTES: usize = 64 << 10;
/// What these, and the beginnings of larger ones, may take together.
const SMALL_BODIES_BYTES: usize = 16 * PARSED_FACTOR * SMALL_BODY_BYTES;
/// A body must be whole after so long, and so long it may have to wait for its turn.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);
/// Records of one request, and headers of one record.
pub(super) const RECORDS_MAX: usize = 10_000;
pub(super) const HEADERS_MAX: usize = 1_000;

/// The memory of JSON requests.
#[derive(Debug, Clone)]
pub(super) struct JsonBudget {
    /// For what small bodies may take, and beginnings of larger ones: granted to each before anything of it is read.
    small: Arc<Semaphore>,
    /// Turns of larger ones.
    large: Arc<Semaphore>,
    objects: Arc<Semaphore>,
}

/// What a body was granted; returned when dropped.
#[derive(Debug)]
pub(super) struct Granted {
    _small: OwnedSemaphorePermit,
    _large: Option<OwnedSemaphorePermit>,
    _objects: OwnedSemaphorePermit,
}

impl JsonBudget {
    /// What all bodies may take together, as text with its strings, and as objects beside these: one of the largest at least.
    pub fn new(text_bytes: usize, objects_bytes: usize) -> Self {
        let large = text_bytes.saturating_sub(SMALL_BODIES_BYTES) / (PARSED_FACTOR * BODY_BYTES_MAX);
        assert!(large > 0, "the largest body fits beside small ones");
        assert!(objects_bytes >= OBJECTS_MAX * OBJECT_BYTES, "its objects fit");
        let pool = |bytes| Arc::new(Semaphore::new(bytes));
        Self { small: pool(SMALL_BODIES_BYTES), large: pool(large), objects: pool(objects_bytes) }
    }

    /// Reads and parses a body. What it was granted has to be held as long as it is there.
    pub async fn read<T: DeserializeOwned + Shape>(&self, request: Request) -> Result<(T, Granted), ApiError> {
        check_content_type(&request)?;
        let length = request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
        let length: usize = length.unwrap_or(BODY_BYTES_MAX);
        let too_large =
            || ApiError::too_large(format!("the body is over the limit of {BODY_BYTES_MAX} bytes; split it"));
        if length > BODY_BYTES_MAX {
            return Err(too_large());
        }
        let arrived = timeout(ARRIVAL_MAX, self.take_in(request.into_body(), length)).await;
        let (bytes, granted) = match arrived {
            Ok(Ok(taken)) => taken,
            Ok(Err(Broken::TooMany)) => {
                let text =
                    format!("the body has more than {OBJECTS_MAX} objects: records, and their headers; split it");
                return Err(ApiError::too_large(text));
            }
            Ok(Err(Broken::TooLong)) => return Err(too_large()),
            Ok(Err(Broken::Off)) => return Err(ApiError::invalid("body", "the body is not whole; send it again")),
            Err(_) => {
                let why = "the body was not whole, or there was no room for it,";
                return Err(ApiError::unavailable(format!("{why} after {ARRIVAL_MAX:?}; try again")));
            }
        };
        let parsed = parse(if bytes.is_empty() { T::NOTHING } else { &bytes })?;
        Ok((parsed, granted))
    }

    /// A body of at most so many bytes. It is large when so much of it is here: who announces much and sends nothing holds up no large
    /// ones. Who has a turn waits for no other text, so bodies never wait for each other.
    async fn take_in(&self, body: Body, length_max: usize) -> Result<(Vec<u8>, Granted), Broken> {
        let (mut bytes, mut pieces) = (Vec::new(), body.into_data_stream());
        let beginning = length_max.clamp(1, SMALL_BODY_BYTES) * PARSED_FACTOR;
        let (small, mut large) = (acquire(&self.small, beginning).await, None);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| Broken::Off)?;
            if bytes.len() + piece.len() > length_max {
                return Err(Broken::TooLong);
            }
            if large.is_none() && bytes.len() + piece.len() > SMALL_BODY_BYTES {
                large = Some(acquire(&self.large, 1).await);
            }
            bytes.extend_from_slice(&piece);
        }
        let objects = objects(&bytes);
        if objects > OBJECTS_MAX {
            return Err(Broken::TooMany);
        }
        let objects = acquire(&self.objects, objects * OBJECT_BYTES).await;
        Ok((bytes, Granted { _small: small, _large: large, _objects: objects }))
    }
}

async fn acquire(pool: &Arc<Semaphore>, permits: usize) -> OwnedSemaphorePermit {
    let permits = u32::try_from(permits).unwrap_or(u32::MAX);
    pool.clone().acquire_many_owned(permits).await.expect("nobody closes it")
}

/// How many objects begin in a text, wherever it is JSON: braces within strings are none.
fn objects(text: &[u8]) -> usize {
    let (mut objects, mut in_string, mut escaped) = (0, false, false);
    for &byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' if !in_string => objects += 1,
            _ => {}
        }
    }
    objects
}

/// Why a body is not taken.
enum Broken {
    TooLong,
    /// It has more objects than may be.
    TooMany,
    /// The connection ended before it did.
    Off,
}

/// One JSON value and nothing else; fields that are unknown, given twice or of another type are refused by the types.
fn parse<T: DeserializeOwned + Shape>(bytes: &[u8]) -> Result<T, ApiError> {
    let parsed = serde_json::from_slice(bytes);
    parsed.map(|Object(parsed)| parsed).map_err(|error| {
        let why = explained(&error);
        if why.contains(TOO_MANY) { ApiError::too_large(why) } else { ApiError::invalid("body", why) }
    })
}

/// # Errors
///
/// It says something else than JSON, or nothing.
fn check_content_type(request: &Request) -> Result<(), ApiError> {
    let content_type = request.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mime = content_type.split(';').next().unwrap_or_default().trim();
    if mime.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let why = format!("the content type is {mime:?}; send JSON with the header content-type: application/json");
    Err(ApiError::of_http(StatusCode::UNSUPPORTED_MEDIA_TYPE, why))
}

/// A list of at most [`RECORDS_MAX`].
pub(super) fn records<'de, D: Deserializer<'de>, T: Deserialize<'de> + Shape>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(Objects::<T, RECORDS_MAX>(PhantomData))
}

/// A list of at most [`HEADERS_MAX`].
pub(super) fn headers<'de, D: Deserializer<'de>, T: Deserialize<'de> + Shape>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(Objects::<T, HEADERS_MAX>(PhantomData))
}

#[cfg(test)]
mod tests {
    use eagre_mutate::{CountingAllocator, peak_of};

    use super::*;
    use crate::http::produce::{ProduceBody, wire_records};

    const TEXT_BYTES: usize = PARSED_FACTOR * BODY_BYTES_MAX + SMALL_BODIES_BYTES;
    const OBJECTS_BYTES: usize = 16 << 20;

    #[global_allocator]
    static ALLOCATOR: CountingAllocator = CountingAllocator;

    #[test]
    fn what_is_not_what_is_expected_is_told_so() {
        let deep = "[".repeat(1 << 20);
        let many = format!(r#"{{"records":[{}{{}}]}}"#, "{},".repeat(RECORDS_MAX));
        let headers =
            format!(r#"{{"records":[{{"headers":[{}{{"key":"k"}}]}}]}}"#, r#"{"key":"k"},"#.repeat(HEADERS_MAX));
        for (what, body, said) in [
            ("nothing", "", "not JSON"),
            ("no JSON", "records=1", "not JSON"),
            ("cut", r#"{"records":[{"value":"a""#, "not JSON"),
            ("behind it", r#"{"records":[{"value":"a"}]} x"#, "not JSON"),
            ("another type", "[1]", "line 1, column 0: a list stands where this belongs: an object with records"),
            ("text", "\"a\"", "line 1, column 3: a string stands where this belongs: an object with records"),
            (
                "a list as record",
                r#"{"records":[["k"]]}"#,
                "a list stands where this belongs: an object with key, value",
            ),
            (
                "a text as record",
                r#"{"records":["k"]}"#,
                "a string stands where this belongs: an object with key, value",
            ),
            (
                "one record",
                r#"{"records":{"value":"a"}}"#,
                "an object stands where this belongs: a list of at most 10000, each an object",
            ),
            ("no records", r#"{"record":[]}"#, r#"there is no field \"record\", only \"records\", \"partition\""#),
            ("records left out", "{}", r#"line 1, column 2: the field \"records\" is missing"#),
            ("unknown field", r#"{"records":[{"payload":"a"}]}"#, r#"there is no field \"payload\", only \"key\""#),
            ("a field twice", r#"{"records":[{"value":"a","value":"b"}]}"#, r#"the field \"value\" is given twice"#),
            (
                "an object as value",
                r#"{"records":[{"value":{"a":1}}]}"#,
                "an object stands where this belongs: a string",
            ),
            ("a number as key", r#"{"records":[{"key":1}]}"#, "a number stands where this belongs: a string"),
            ("an odd text", r#"{"records":", expected x"}"#, "a string stands where this belongs: a list of at most"),
            (
                "a huge number",
                r#"{"records":[{"timestamp_ms":9223372036854775808}]}"#,
                "a number is out of range where this belongs: a whole number",
            ),
            (
                "no whole number",
                r#"{"records":[{"timestamp_ms":1e300}]}"#,
                "a number stands where this belongs: a whole number",
            ),
            (
                "below 0",
                r#"{"records":[{}],"partition":-1}"#,
                "where this belongs: a whole number from 0 to 4294967295",
            ),
            ("deep", &deep, "JSON"),
            ("deep in a field", &format!(r#"{{"records":{deep}"#), "JSON"),
            ("half of a surrogate", r#"{"records":[{"value":"\ud800"}]}"#, "not JSON"),
            ("too many records", &many, "TOO_LARGE"),
            ("too many records", &many, "more than 10000"),
            ("too many headers", &headers, "more than 1000"),
        ] {
            let error = format!("{:?}", parse::<ProduceBody>(body.as_bytes()).expect_err(what));
            assert!(error.contains(said), "{what}: {error}");
            for word in ["serde", "struct", " map", "sequence", "EOF", "Body", "i64", "u32"] {
                assert!(!error.contains(word), "{what}: {word} in {error}");
            }
        }
        assert!(parse::<ProduceBody>(b"{\"records\":[{\"value\":\"\xff\"}]}").is_err(), "wrong UTF-8");
        assert!(parse::<ProduceBody>(br#"{"records":[{"value":"\u00e9"},{}]}"#).is_ok());
    }

    #[test]
    fn objects_are_counted_where_they_are_some() {
        for (text, count) in [
            ("", 0),
            (r#"{"records":[{},{"value":"a"}]}"#, 3),
            (r#"{"value":"{{\"{\\"}"#, 1),
            (r#"{"value":"\\"}{"#, 2),
            (r#""{"#, 0),
        ] {
            assert_eq!(objects(text.as_bytes()), count, "{text}");
        }
    }

    #[test]
    fn what_is_parsed_takes_no_more_than_it_is_charged() {
        let header = r#"{"key":""}"#;
        let cases = [
            ("empty records", format!("{}{{}}", "{},".repeat(9_999))),
            ("a header each", vec![format!(r#"{{"headers":[{header}]}}"#); 9_000].join(",")),
            ("headers", vec![format!(r#"{{"headers":[{}]}}"#, vec![header; 999].join(",")); 19].join(",")),
            ("keys", vec![r#"{"key":"k"}"#; 9_000].join(",")),
            ("values", format!(r#"{{"value":"{}"}}"#, "v".repeat(1 << 20))),
        ];
        for (what, records) in cases {
            let body = format!(r#"{{"records":[{records}]}}"#);
            let objects = objects(body.as_bytes());
            let charged = body.len() * PARSED_FACTOR + objects * OBJECT_BYTES;
            let (records, peak_bytes) = peak_of(|| {
                let parsed = parse::<ProduceBody>(body.as_bytes()).expect(what);
                wire_records(parsed).expect(what)
            });
            assert!(peak_bytes + body.len() <= charged, "{what}: {peak_bytes} bytes, charged are {charged}");
            assert!(objects > records.len() && objects <= OBJECTS_MAX, "{what}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn objects_wait_for_their_grant_and_too_many_are_refused() {
        let request = |objects: usize| {
            let body = format!(r#"{{"records":[{}{{}}]}}"#, "{},".repeat(objects - 2));
            Request::builder().header("content-type", "application/json").body(Body::from(body)).expect("well-formed")
        };
        let budget = JsonBudget::new(TEXT_BYTES, OBJECTS_BYTES);
        let refused = budget.read::<ProduceBody>(request(OBJECTS_MAX + 1)).await.expect_err("too many");
        assert!(format!("{refused:?}").contains("20000 objects"), "{refused:?}");
        let mut held = Vec::new();
        let refused = loop {
            match budget.read::<ProduceBody>(request(10_001)).await {
                Ok(read) => held.push(read),
                Err(refused) => break refused,
            }
        };
        assert_eq!(held.len(), OBJECTS_BYTES / (10_001 * OBJECT_BYTES), "{refused:?}");
        drop(held);
        assert_eq!(budget.objects.available_permits(), OBJECTS_BYTES);
        assert_eq!((budget.small.available_permits(), budget.large.available_permits()), (SMALL_BODIES_BYTES, 1));
    }
}
