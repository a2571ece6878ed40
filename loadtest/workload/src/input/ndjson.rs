//! A JSON object on each line.

use serde_json::Value;

use super::{Columns, Fields, moment};

/// Columns are fields of the object itself, texts or numbers.
pub(super) fn fields(line: &str, columns: &Columns) -> Result<Fields, String> {
    let object = match serde_json::from_str(line) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return Err("the line is not a JSON object".to_owned()),
        Err(error) => return Err(format!("the line is not JSON: {error}")),
    };
    let find = |name: &String| object.get(name).ok_or_else(|| format!("there is no field `{name}`"));
    let at_ns = match &columns.time {
        None => None,
        Some(name) => match find(name)? {
            Value::String(text) => Some(moment::of_text(text)?),
            Value::Number(number) => Some(moment::of_text(&number.to_string())?),
            other => return Err(format!("the time `{name}` is {other}")),
        },
    };
    let key = match &columns.key {
        None => None,
        Some(name) => match find(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => return Err(format!("the key `{name}` is neither a text nor a number")),
        },
    };
    Ok(Fields { at_ns, key })
}
