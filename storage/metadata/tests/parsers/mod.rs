//! The decoders of rows as one function over bytes, with what must hold of its outcome. Shared by the mutations
//! (`tests/mutations.rs`, stable Rust) and by cargo-fuzz (`fuzz/`).

use eagre_metadata::RowKind;
use eagre_metadata::rows::{
    Free, InlineBytes, InlineHead, InlineObject, InlineRecord, Meta, Object, Outcomes, Partition, Producer, RunRow,
    Tail, Topic, TopicName, TopicProducer, WINDOW_BATCHES, WINDOW_PARTS, WINDOW_REQUESTS,
};

/// A row as input: the key's length in a byte, the key, the value.
pub fn row_input(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&[key.len() as u8][..], key, value].concat()
}

/// Decodes a row by the kind that its key names. What is taken for a row has one encoding: the bytes that came.
pub fn row(bytes: &[u8]) {
    let Some((&length, rest)) = bytes.split_first() else { return };
    let Some((key, value)) = rest.split_at_checked(usize::from(length)) else { return };
    match key.first() {
        Some(&Meta::KIND) => drop(decoded::<Meta>(key, value)),
        Some(&TopicName::KIND) => drop(decoded::<TopicName>(key, value)),
        Some(&Topic::KIND) => drop(decoded::<Topic>(key, value)),
        Some(&Partition::KIND) => drop(decoded::<Partition>(key, value)),
        Some(&Tail::KIND) => drop(decoded::<Tail>(key, value)),
        Some(&RunRow::KIND) => drop(decoded::<RunRow>(key, value)),
        Some(&Producer::KIND) => {
            let bounded = decoded::<Producer>(key, value).is_none_or(|row| row.window.len() <= WINDOW_BATCHES);
            assert!(bounded, "the window is bounded");
        }
        Some(&Object::KIND) => {
            if let Some(row) = decoded::<Object>(key, value) {
                expand(&row.outcomes);
            }
        }
        Some(&TopicProducer::KIND) => {
            let row = decoded::<TopicProducer>(key, value);
            let parts = |row: &TopicProducer| row.window.iter().map(|request| request.parts.len()).sum::<usize>();
            let bounded = |row: &TopicProducer| row.window.len() <= WINDOW_REQUESTS && parts(row) <= WINDOW_PARTS;
            assert!(row.as_ref().is_none_or(bounded), "the window is bounded");
        }
        Some(&Free::KIND) => drop(decoded::<Free>(key, value)),
        Some(&InlineBytes::KIND) => drop(decoded::<InlineBytes>(key, value)),
        Some(&InlineObject::KIND) => drop(decoded::<InlineObject>(key, value)),
        Some(&InlineHead::KIND) => drop(decoded::<InlineHead>(key, value)),
        Some(&InlineRecord::KIND) => {
            if let Some(row) = decoded::<InlineRecord>(key, value) {
                expand(&row.record.outcomes);
            }
        }
        _ => {}
    }
}

fn decoded<R: RowKind>(key_bytes: &[u8], value_bytes: &[u8]) -> Option<R::Value> {
    let key = R::decode_key(key_bytes).ok()?;
    assert_eq!(R::encode_key(&key), key_bytes, "a key has one encoding");
    let value = R::decode_value(&key, value_bytes).ok()?;
    assert_eq!(R::encode_value(&key, &value), value_bytes, "a value has one encoding");
    Some(value)
}

/// A stretch of four billion batches is no more than the request that it is held against.
fn expand(outcomes: &Outcomes) {
    if let Ok(expanded) = outcomes.expand([1; 100]) {
        assert_eq!(expanded.len(), 100, "an outcome for each batch");
    }
}
