//! What JSON requests are made of: objects that are objects, and errors in the words of the API.
//!
//! serde takes a list for a struct, field by field, and says of a mistake what Rust calls it. Neither is of use to whoever
//! writes JSON.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Error, error::Category};

/// How an error begins that says of a list that it is too long.
pub(super) const TOO_MANY: &str = "there are more than";
/// A name that is no field is repeated up to here.
const FIELD_CHARACTERS_MAX: usize = 64;

/// An object of a request, in words: `an object with …`.
pub(super) trait Shape {
    const WHAT: &'static str;
    /// What stands for a body of no bytes.
    const NOTHING: &'static [u8] = b"";
}

/// An object and nothing else.
#[derive(Debug)]
pub(super) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de> + Shape> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(std::marker::PhantomData))
    }
}

struct ObjectVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de> + Shape> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// A list of at most so many objects.
pub(super) struct Objects<T, const MAX: usize>(pub std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de> + Shape, const MAX: usize> Visitor<'de> for Objects<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX}, each {}", T::WHAT)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(Object(next)) = list.next_element()? {
            if all.len() == MAX {
                return Err(A::Error::custom(format_args!("{TOO_MANY} {MAX}; split the request")));
            }
            all.push(next);
        }
        Ok(all)
    }
}

/// What is wrong with a body, for whoever wrote it, with its line and column.
pub(super) fn explained(error: &Error) -> String {
    let (line, column) = (error.line(), error.column());
    let said = error.to_string();
    let what = said.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&said);
    match error.classify() {
        Category::Data => {
            format!("the JSON is not what is expected here, at line {line}, column {column}: {}", of_data(what))
        }
        Category::Eof => {
            format!("the body is not JSON: it ends at line {line}, column {column}, before {}", unfinished(what))
        }
        Category::Syntax | Category::Io => {
            format!("the body is not JSON, at line {line}, column {column}: {}", what.replace('`', "'"))
        }
    }
}

/// `EOF while parsing an object` and the like.
fn unfinished(what: &str) -> String {
    let inside = what.strip_prefix("EOF while parsing ").unwrap_or("a value");
    format!("the end of {inside}")
}

/// What a type does not take. Values are not repeated: they may be long, and are nobody else's business.
fn of_data(what: &str) -> String {
    if let Some((found, expected)) =
        what.strip_prefix("invalid type: ").and_then(|rest| rest.rsplit_once(", expected "))
    {
        return format!("{} stands where this belongs: {}", kind(found), wanted(expected));
    }
    if let Some((found, expected)) =
        what.strip_prefix("invalid value: ").and_then(|rest| rest.rsplit_once(", expected "))
    {
        return format!("{} is out of range where this belongs: {}", kind(found), wanted(expected));
    }
    if let Some(field) = what.strip_prefix("missing field ") {
        return format!("the field {} is missing", field.replace('`', "\""));
    }
    if let Some(field) = what.strip_prefix("duplicate field ") {
        return format!("the field {} is given twice", field.replace('`', "\""));
    }
    if let Some((field, known)) = what.strip_prefix("unknown field ").and_then(|rest| rest.rsplit_once(", expected ")) {
        let known = known.strip_prefix("one of ").unwrap_or(known).replace('`', "\"");
        let field: String = field.trim_matches('`').chars().take(FIELD_CHARACTERS_MAX).collect();
        return format!("there is no field {field:?}, only {known}");
    }
    what.replace('`', "\"")
}

/// JSON's name of what was found: serde adds the value, and says `map` and `sequence`.
fn kind(found: &str) -> &'static str {
    match found.split(' ').next() {
        Some("map") => "an object",
        Some("sequence") => "a list",
        Some("string" | "character") => "a string",
        Some("boolean") => "true or false",
        Some("null") => "null",
        Some("integer" | "floating" | "number") => "a number",
        Some(_) | None => "another value",
    }
}

/// What belongs there: types by their range, everything else as its visitor says it.
fn wanted(expected: &str) -> String {
    match expected {
        "i64" => "a whole number from -2^63 to 2^63 - 1".to_owned(),
        "i32" => format!("a whole number from {} to {}", i32::MIN, i32::MAX),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        other => other.to_owned(),
    }
}
