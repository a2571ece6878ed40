//! Records as they are printed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use eagre_client::ConsumedRecord;

use crate::cli::Format;

/// Appends a record as one line: its value (nothing for null), or a JSON object.
pub fn append(out: &mut Vec<u8>, record: &ConsumedRecord, format: Format) {
    match format {
        Format::Text => out.extend_from_slice(record.value.as_deref().unwrap_or_default()),
        Format::Json => append_json(out, record),
    }
    out.push(b'\n');
}

fn append_json(out: &mut Vec<u8>, record: &ConsumedRecord) {
    let ConsumedRecord { partition, offset, timestamp_ms, .. } = record;
    let start = format!(r#"{{"partition":{partition},"offset":{offset},"timestamp":{timestamp_ms},"key":"#);
    out.extend_from_slice(start.as_bytes());
    append_bytes(out, record.key.as_deref());
    out.extend_from_slice(br#","value":"#);
    append_bytes(out, record.value.as_deref());
    out.extend_from_slice(br#","headers":["#);
    for (index, (name, value)) in record.headers.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.push(b'[');
        append_string(out, name);
        out.push(b',');
        append_bytes(out, value.as_deref());
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
}

/// A string, null, or base64 where it is not UTF-8.
fn append_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes.map(std::str::from_utf8) {
        None => out.extend_from_slice(b"null"),
        Some(Ok(text)) => append_string(out, text),
        Some(Err(_)) => {
            out.extend_from_slice(br#"{"base64":""#);
            out.extend_from_slice(STANDARD.encode(bytes.unwrap_or_default()).as_bytes());
            out.extend_from_slice(br#""}"#);
        }
    }
}

fn append_string(out: &mut Vec<u8>, text: &str) {
    let length = out.len();
    // Writing a string to a vector does not fail.
    if serde_json::to_writer(&mut *out, text).is_err() {
        out.truncate(length);
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn record() -> ConsumedRecord {
        ConsumedRecord {
            topic: "rides".into(),
            partition: 3,
            offset: 42,
            timestamp_ms: 1_795_428_000_000,
            key: Some(Bytes::from_static("N\"14\n".as_bytes())),
            value: Some(Bytes::from_static(b"\xff\xfe")),
            headers: vec![("a".into(), Some(Bytes::from_static(b"1"))), ("a".into(), None)],
        }
    }

    fn printed(record: &ConsumedRecord, format: Format) -> Vec<u8> {
        let mut out = Vec::new();
        append(&mut out, record, format);
        out
    }

    #[test]
    fn json_is_one_object_a_line() {
        let expected = concat!(
            r#"{"partition":3,"offset":42,"timestamp":1795428000000,"key":"N\"14\n","value":{"base64":"//4="},"#,
            r#""headers":[["a","1"],["a",null]]}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(printed(&record(), Format::Json)).unwrap(), expected);
        let bare = ConsumedRecord { key: None, value: None, headers: Vec::new(), ..record() };
        let expected =
            "{\"partition\":3,\"offset\":42,\"timestamp\":1795428000000,\"key\":null,\"value\":null,\"headers\":[]}\n";
        assert_eq!(String::from_utf8(printed(&bare, Format::Json)).unwrap(), expected);
    }

    #[test]
    fn json_is_read_by_others() {
        let text = "\u{0}\u{1f}\u{7f}é\u{2028}😀\\/\"";
        let record = ConsumedRecord { value: Some(text.into()), ..record() };
        let read: serde_json::Value = serde_json::from_slice(&printed(&record, Format::Json)).unwrap();
        assert_eq!(read["value"], text);
    }

    #[test]
    fn text_is_the_value() {
        assert_eq!(printed(&record(), Format::Text), b"\xff\xfe\n");
        assert_eq!(printed(&ConsumedRecord { value: None, ..record() }, Format::Text), b"\n");
    }
}
