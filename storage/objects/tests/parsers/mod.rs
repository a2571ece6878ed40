//! The parser of the bucket's marker as one function over bytes, with what must hold of its outcome. Shared by the
//! mutations (`tests/mutations.rs`, stable Rust) and by cargo-fuzz (`fuzz/`).

use eagre_objects::Marker;

/// What is taken for a marker is still the same one after writing it.
pub fn marker(bytes: &[u8]) {
    if let Ok(marker) = Marker::decode(bytes) {
        assert_eq!(Marker::decode(&marker.encode()), Ok(marker));
    }
}
