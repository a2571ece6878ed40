//! `[records]` and `[input]`.

use std::{borrow::Cow, path::Path};

use super::{
    KEYS_MAX, VALUE_BYTES_MAX, Value,
    section::Section,
    units::{bytes_within, count, real, text, word},
};
use crate::{
    Input, Keys, Payload, Records, STAMP_BYTES, ScenarioError, Size,
    input::{Columns, Format},
    shipped,
};

const RECORD_BYTES: usize = 1 << 10;

#[derive(Clone, Copy)]
enum KeyKind {
    None,
    Uniform,
    Zipf,
    Hot,
    Input,
}

#[derive(Clone, Copy)]
enum PayloadKind {
    Random,
    Compressible,
    Input,
}

/// The rows that `[input]` names.
pub(super) fn input(root: &Section<'_>, base: &Path) -> Result<Option<Input>, ScenarioError> {
    if !root.has("input") {
        return Ok(None);
    }
    let section = root.section("input")?.only(&["file", "shipped", "format", "time", "key"])?;
    let columns = Columns { time: section.optional("time", text)?, key: section.optional("key", text)? };
    let format = section.optional("format", word(&[("csv", Format::Csv), ("ndjson", Format::Ndjson)]))?;
    match (section.optional("file", text)?, section.optional("shipped", text)?) {
        (Some(_), Some(_)) => Err(section.refused("shipped", "there is a file already")),
        (None, None) => Err(section.refused("file", "it is missing")),
        (None, Some(name)) if name != shipped::FLIGHTS => {
            Err(section.refused("shipped", format!("`{name}` does not come with the load test; `flights` does")))
        }
        (None, Some(name)) => Input::read(name, Cow::Borrowed(shipped::flights()), Format::Csv, &columns).map(Some),
        (Some(file), None) => {
            let Some(format) = format.or_else(|| by_ending(&file)) else {
                return Err(section.refused("format", "it is missing, and the file ends in neither .csv nor .ndjson"));
            };
            Input::open(&base.join(file), format, &columns).map(Some)
        }
    }
}

fn by_ending(file: &str) -> Option<Format> {
    match Path::new(file).extension()?.to_str()? {
        "csv" => Some(Format::Csv),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        _ => None,
    }
}

/// What records are, checked against the input.
pub(super) fn records(root: &Section<'_>, input: Option<&Input>) -> Result<Records, ScenarioError> {
    let records = root.section("records")?.only(&["size", "keys", "payload"])?;
    let missing = "it takes from the input, and there is no [input]";
    let size = size(&records)?;
    if size == Size::Input && input.is_none() {
        return Err(records.refused("size", missing));
    }
    let keys = keys(&records.section("keys")?)?;
    if keys == Keys::Input && !input.is_some_and(Input::is_keyed) {
        return Err(records.refused("keys", "it takes keys from the input, and [input] names no key column"));
    }
    let payload = payload(&records.section("payload")?)?;
    if payload == Payload::Input && input.is_none() {
        return Err(records.refused("payload", missing));
    }
    Ok(Records { size, keys, payload })
}

fn size(records: &Section<'_>) -> Result<Size, ScenarioError> {
    let is_table = records.optional("size", |value| Ok(matches!(value, Value::Table(_))))?;
    if is_table != Some(true) {
        return records.or("size", plain_size, Size::Fixed(RECORD_BYTES));
    }
    let size = records.section("size")?.only(&["median", "sigma", "max"])?;
    let (median, max) = (size.required("median", value_bytes)?, size.or("max", value_bytes, VALUE_BYTES_MAX)?);
    if max < median {
        return Err(size.refused("max", format!("{max} bytes are fewer than the median, {median}")));
    }
    Ok(Size::LogNormal { median, sigma: size.required("sigma", real(0.0..=5.0))?, max })
}

fn plain_size(value: &Value) -> Result<Size, String> {
    match value {
        Value::Text(text) if text == "input" => Ok(Size::Input),
        value => value_bytes(value).map(Size::Fixed),
    }
}

fn value_bytes(value: &Value) -> Result<usize, String> {
    let stamped = |reason| format!("{reason} (every value begins with a stamp of {STAMP_BYTES} bytes)");
    bytes_within(STAMP_BYTES..=VALUE_BYTES_MAX)(value).map_err(stamped)
}

fn keys(keys: &Section<'_>) -> Result<Keys, ScenarioError> {
    let kinds = word(&[
        ("none", KeyKind::None),
        ("uniform", KeyKind::Uniform),
        ("zipf", KeyKind::Zipf),
        ("hot", KeyKind::Hot),
        ("input", KeyKind::Input),
    ]);
    let kind = keys.or("kind", kinds, KeyKind::None)?;
    let fields: &[&str] = match kind {
        KeyKind::None | KeyKind::Input => &["kind"],
        KeyKind::Uniform => &["kind", "count"],
        KeyKind::Zipf => &["kind", "count", "exponent"],
        KeyKind::Hot => &["kind", "count", "share"],
    };
    keys.check(fields)?;
    let many = || keys.required("count", count(1..=KEYS_MAX));
    Ok(match kind {
        KeyKind::None => Keys::None,
        KeyKind::Input => Keys::Input,
        KeyKind::Uniform => Keys::Uniform { count: many()? },
        KeyKind::Zipf => Keys::Zipf { count: many()?, exponent: keys.or("exponent", real(0.01..=10.0), 1.0)? },
        KeyKind::Hot => Keys::Hot { count: many()?, share: keys.required("share", real(0.0..=1.0))? },
    })
}

fn payload(payload: &Section<'_>) -> Result<Payload, ScenarioError> {
    let kinds = word(&[
        ("random", PayloadKind::Random),
        ("compressible", PayloadKind::Compressible),
        ("input", PayloadKind::Input),
    ]);
    let kind = payload.or("kind", kinds, PayloadKind::Random)?;
    payload.check(if matches!(kind, PayloadKind::Compressible) { &["kind", "ratio"] } else { &["kind"] })?;
    Ok(match kind {
        PayloadKind::Random => Payload::Compressible { ratio: 1.0 },
        PayloadKind::Compressible => Payload::Compressible { ratio: payload.required("ratio", real(1.0..=1000.0))? },
        PayloadKind::Input => Payload::Input,
    })
}
