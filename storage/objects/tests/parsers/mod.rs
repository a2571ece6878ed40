//! The parsers of what a bucket holds at its top, each as one function over bytes, with what must hold of its outcome. Shared
//! by the mutations (`tests/mutations.rs`, stable Rust) and by cargo-fuzz (`fuzz/`).

use eagre_objects::{Marker, check::Record};

/// What is taken for a marker is still the same one after writing it.
pub fn marker(bytes: &[u8]) {
    if let Ok(marker) = Marker::decode(bytes) {
        assert_eq!(Marker::decode(&marker.encode()), Ok(marker));
    }
}

/// What is taken for a record of passed races is still the same one after writing it.
pub fn race_record(bytes: &[u8]) {
    if let Some(record) = Record::decode(bytes) {
        assert_eq!(Record::decode(&record.encode()), Some(record));
    }
}
