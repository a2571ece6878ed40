//! Values of single fields: durations, bytes, rates, counts. What is wrong is said in words that follow a path and a colon.

use std::{ops::RangeInclusive, time::Duration};

use bytesize::ByteSize;

use super::section::meant;
use crate::tree::Value;

/// Far beyond what a machine sends; below it, all arithmetic of schedules is exact enough.
const RECORDS_PER_S_MAX: f64 = 1e9;
/// Of anything: a year.
pub(super) const TIME_MAX: Duration = Duration::from_secs(366 * 86_400);

/// As it was typed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rate {
    /// Of values, in a second.
    Bytes(u64),
    /// In a second.
    Records(f64),
}

impl Rate {
    pub fn records_per_s(&self, value_bytes_mean: f64) -> f64 {
        match self {
            Self::Bytes(bytes) => *bytes as f64 / value_bytes_mean,
            Self::Records(records) => *records,
        }
    }

    pub fn bytes_per_s(&self, value_bytes_mean: f64) -> f64 {
        match self {
            Self::Bytes(bytes) => *bytes as f64,
            Self::Records(records) => records * value_bytes_mean,
        }
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => {
                let (unit, name) = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
                    .into_iter()
                    .find(|(unit, _)| bytes >= unit)
                    .unwrap_or((1, "B"));
                let rounded = (*bytes as f64 / unit as f64 * 100.0).round() / 100.0;
                write!(out, "{rounded} {name}/s")
            }
            Self::Records(records) => write!(out, "{records} records/s"),
        }
    }
}

pub(super) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        other => Err(format!("it is {} and has to be a text in quotes", other.kind())),
    }
}

/// Texts in brackets.
pub(super) fn texts(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::List(list) => list.iter().map(|node| text(&node.value)).collect(),
        other => Err(format!("it is {} and has to be texts in brackets", other.kind())),
    }
}

/// One of some words.
pub(super) fn word<T: Copy>(known: &'static [(&'static str, T)]) -> impl FnOnce(&Value) -> Result<T, String> {
    move |value| {
        let typed = text(value)?;
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        known
            .iter()
            .find(|(name, _)| *name == typed)
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| format!("`{typed}` is not known here; {}", meant(&typed, &names)))
    }
}

pub(super) fn count(range: RangeInclusive<u32>) -> impl FnOnce(&Value) -> Result<u32, String> {
    move |value| {
        let Value::Integer(number) = value else {
            return Err(format!("it is {} and has to be a whole number", shown(value)));
        };
        u32::try_from(*number)
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("{number} is not between {} and {}", range.start(), range.end()))
    }
}

/// From 0 on.
pub(super) fn natural(value: &Value) -> Result<u64, String> {
    match value {
        Value::Integer(number) => u64::try_from(*number).map_err(|_| format!("{number} is negative; it begins at 0")),
        other => Err(format!("it is {} and has to be a whole number", shown(other))),
    }
}

pub(super) fn real(range: RangeInclusive<f64>) -> impl FnOnce(&Value) -> Result<f64, String> {
    move |value| {
        let number = match value {
            Value::Integer(number) => *number as f64,
            Value::Float(number) => *number,
            other => return Err(format!("it is {} and has to be a number", shown(other))),
        };
        // NaN is in no range.
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(format!("{number} is not between {} and {}", range.start(), range.end()))
        }
    }
}

/// May be zero.
pub(super) fn time(value: &Value) -> Result<Duration, String> {
    let Value::Text(typed) = value else {
        return Err(format!("it is {} and has to be a time with its unit, such as \"20s\"", shown(value)));
    };
    let time = humantime::parse_duration(typed)
        .map_err(|error| format!("`{typed}` is not a time such as \"20s\" or \"1h 30m\": {error}"))?;
    if time > TIME_MAX { Err(format!("`{typed}` is longer than a year")) } else { Ok(time) }
}

/// Longer than nothing.
pub(super) fn time_above_zero(value: &Value) -> Result<Duration, String> {
    match time(value)? {
        Duration::ZERO => Err("it has to be longer than 0".to_owned()),
        time => Ok(time),
    }
}

/// A plain number is bytes.
pub(super) fn bytes(value: &Value) -> Result<u64, String> {
    match value {
        Value::Integer(number) => u64::try_from(*number).map_err(|_| format!("{number} bytes are fewer than none")),
        Value::Text(typed) => typed_bytes(typed),
        other => Err(format!("it is {} and has to be bytes, such as \"1KiB\"", other.kind())),
    }
}

pub(super) fn bytes_within(range: RangeInclusive<usize>) -> impl FnOnce(&Value) -> Result<usize, String> {
    move |value| {
        let found = bytes(value)?;
        usize::try_from(found)
            .ok()
            .filter(|found| range.contains(found))
            .ok_or_else(|| format!("{found} bytes are not between {} and {}", range.start(), range.end()))
    }
}

/// Above 0.
pub(super) fn rate(value: &Value) -> Result<Rate, String> {
    match rate_or_zero(value)? {
        Rate::Bytes(0) => Err("a rate of 0: nothing would ever be sent".to_owned()),
        Rate::Records(records) if records <= 0.0 => Err("a rate of 0: nothing would ever be sent".to_owned()),
        rate => Ok(rate),
    }
}

/// `50MiB` or `50MiB/s` of values, `1000/s` records.
pub(super) fn rate_or_zero(value: &Value) -> Result<Rate, String> {
    let how = "\"10MiB\" (bytes of values a second) or \"1000/s\" (records a second)";
    let Value::Text(typed) = value else { return Err(format!("it is {} and has to be a rate: {how}", shown(value))) };
    let amount = typed.trim().strip_suffix("/s").map(str::trim);
    let plain = amount.unwrap_or(typed.trim());
    if plain.starts_with('-') {
        return Err(format!("`{typed}` is negative; a rate is above 0"));
    }
    match (plain.parse::<f64>(), amount) {
        (Ok(records), Some(_)) if records.is_finite() && records <= RECORDS_PER_S_MAX => Ok(Rate::Records(records)),
        (Ok(_), Some(_)) => Err(format!("`{typed}` is more than {RECORDS_PER_S_MAX} records a second")),
        (Ok(_), None) => Err(format!("`{typed}` of what? It has to be {how}")),
        (Err(_), _) => match typed_bytes(plain) {
            Ok(bytes) if bytes as f64 <= RECORDS_PER_S_MAX * 1024.0 => Ok(Rate::Bytes(bytes)),
            Ok(_) => Err(format!("`{typed}` is more than any machine sends")),
            Err(_) => Err(format!("`{typed}` is not a rate; it has to be {how}")),
        },
    }
}

fn typed_bytes(typed: &str) -> Result<u64, String> {
    if typed.trim_start().starts_with('-') {
        return Err(format!("`{typed}` is negative"));
    }
    typed
        .parse::<ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| format!("`{typed}` is not a number of bytes, such as \"1KiB\""))
}

/// Numbers as they are, everything else by its kind.
fn shown(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Text(text) => format!("`{text}`"),
        other => other.kind().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn rates_are_bytes_or_records() {
        assert_eq!(rate(&typed("50MiB")), Ok(Rate::Bytes(50 << 20)));
        assert_eq!(rate(&typed("1.5 MiB/s")), Ok(Rate::Bytes(3 << 19)));
        assert_eq!(rate(&typed("0.1/s")), Ok(Rate::Records(0.1)));
        assert_eq!(rate_or_zero(&typed("0/s")), Ok(Rate::Records(0.0)));
        for wrong in ["1000", "-1/s", "-5MiB", "0/s", "0B", "fast", "nan/s", "inf/s", "1e10/s", "", "/s", "999999TiB"] {
            assert!(rate(&typed(wrong)).is_err(), "{wrong}");
        }
        assert!(rate(&Value::Integer(5)).is_err());
    }

    #[test]
    fn rates_are_shown_as_one_writes_them() {
        for (rate, text) in [
            (Rate::Bytes(10 << 20), "10 MiB/s"),
            (Rate::Bytes(1_572_864), "1.5 MiB/s"),
            (Rate::Bytes(100), "100 B/s"),
            (Rate::Records(0.1), "0.1 records/s"),
        ] {
            assert_eq!(rate.to_string(), text);
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(time(&typed("1h 30m")), Ok(Duration::from_secs(5_400)));
        assert_eq!(time(&typed("0s")), Ok(Duration::ZERO));
        for wrong in ["20", "-1s", "2years", "soon"] {
            assert!(time(&typed(wrong)).is_err(), "{wrong}");
        }
        assert!(time(&Value::Integer(20)).is_err() && time_above_zero(&typed("0s")).is_err());
    }

    #[test]
    fn numbers_stay_within_their_ranges() {
        assert_eq!(count(1..=9)(&Value::Integer(9)), Ok(9));
        assert!(count(1..=9)(&Value::Integer(0)).is_err() && count(1..=9)(&Value::Integer(i64::MAX)).is_err());
        assert!(real(0.0..=1.0)(&Value::Float(f64::NAN)).is_err() && real(0.0..=1.0)(&Value::Integer(1)).is_ok());
        assert_eq!(bytes_within(32..=64)(&typed("64B")), Ok(64));
        assert!(bytes_within(32..=64)(&Value::Integer(31)).is_err());
    }
}
