//! The key of a line.

use std::fmt;

use bytes::Bytes;
use eagre_client::Record;
use memchr::memmem;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::cli::KeyArgs;

/// Where keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// There are none.
    None,
    /// Every record has this one.
    Constant(Bytes),
    /// The field of this name of a JSON object.
    Field(String),
    /// What comes before the first occurrence.
    Separator(Box<memmem::Finder<'static>>),
}

impl KeySource {
    /// As the command line says.
    pub fn new(args: KeyArgs) -> Self {
        match args {
            KeyArgs { constant: Some(key), .. } => Self::Constant(key.into()),
            KeyArgs { field: Some(field), .. } => Self::Field(field),
            KeyArgs { separator: Some(separator), .. } => {
                Self::Separator(Box::new(memmem::Finder::new(&separator).into_owned()))
            }
            KeyArgs { .. } => Self::None,
        }
    }

    /// The record of a line, or why there is none.
    pub fn record(&self, line: Bytes) -> Result<Record, String> {
        let (key, value) = match self {
            Self::None => (None, line),
            Self::Constant(key) => (Some(key.clone()), line),
            Self::Field(name) => (field(name, &line)?, line),
            Self::Separator(separator) => {
                let at = separator
                    .find(&line)
                    .ok_or_else(|| format!("it has no separator {:?}", String::from_utf8_lossy(separator.needle())))?;
                (Some(line.slice(..at)), line.slice(at + separator.needle().len()..))
            }
        };
        Ok(Record { key, value: Some(value), ..Record::default() })
    }
}

/// The field of a JSON object: a string's content, a number's or truth value's own spelling, nothing for null. The line is
/// read to its end, so that what is not JSON is found; of fields that repeat the last one counts.
fn field(name: &str, line: &Bytes) -> Result<Option<Bytes>, String> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    let value = FieldOf(name).deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    let value = value.map_err(|error| format!("it is not a JSON object: {error}"))?;
    let text = value.ok_or_else(|| format!("it has no field {name:?}"))?.get();
    match text.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => {
            let unescaped: String = serde_json::from_str(text).map_err(|error| error.to_string())?;
            Ok(Some(unescaped.into()))
        }
        Some(b'{' | b'[') => Err(format!("its field {name:?} is neither a string nor a number")),
        _ => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
    }
}

/// Finds one field and skips the others without keeping them.
struct FieldOf<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for FieldOf<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldOf<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_wanted) = map.next_key_seed(Name(self.0))? {
            if is_wanted {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a field has this name, escapes undone.
struct Name<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_field(line: &str) -> Result<Option<String>, String> {
        let source = KeySource::Field("id".to_owned());
        let record = source.record(Bytes::copy_from_slice(line.as_bytes()))?;
        assert_eq!(record.value.unwrap(), line, "the value is the whole line");
        Ok(record.key.map(|key| String::from_utf8(key.to_vec()).unwrap()))
    }

    #[test]
    fn a_field_is_a_key() {
        let key = |line| of_field(line).unwrap();
        assert_eq!(key(r#"{"a": {"id": 1}, "id": "N14228", "b": [1, 2]}"#).unwrap(), "N14228");
        assert_eq!(key(r#" { "id" : "a\n\u00e9\"" } "#).unwrap(), "a\né\"");
        assert_eq!(key(r#"{"i\u0064": "x"}"#).unwrap(), "x");
        assert_eq!(key(r#"{"id": 1.50e3}"#).unwrap(), "1.50e3");
        assert_eq!(key(r#"{"id": 123456789012345678901234567890}"#).unwrap(), "123456789012345678901234567890");
        assert_eq!(key(r#"{"id": true}"#).unwrap(), "true");
        assert_eq!(key(r#"{"id": ""}"#).unwrap(), "");
        assert_eq!(key(r#"{"id": 1, "id": 2}"#).unwrap(), "2");
        assert_eq!(key(r#"{"id": null}"#), None);
    }

    #[test]
    fn a_line_without_the_field_is_refused() {
        for line in
            ["", "12", "[]", r#"{"other": 1}"#, r#"{"id": 1"#, r#"{"id": {}}"#, r#"{"id": [1]}"#, r#"{"id":1} x"#]
        {
            assert!(of_field(line).is_err(), "{line}");
        }
        assert_eq!(of_field(r#"{"other": 1}"#).unwrap_err(), r#"it has no field "id""#);
    }

    #[test]
    fn the_first_separator_parts_key_and_value() {
        let args = KeyArgs { constant: None, field: None, separator: Some("::".to_owned()) };
        let source = KeySource::new(args);
        let record = source.record(Bytes::from_static(b"a:b::c::d")).unwrap();
        assert_eq!((&*record.key.unwrap(), &*record.value.unwrap()), (&b"a:b"[..], &b"c::d"[..]));
        let record = source.record(Bytes::from_static(b"::")).unwrap();
        assert_eq!((&*record.key.unwrap(), &*record.value.unwrap()), (&b""[..], &b""[..]));
        assert_eq!(source.record(Bytes::from_static(b"a:b")).unwrap_err(), r#"it has no separator "::""#);
    }
}
