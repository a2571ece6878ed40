//! The parser of WAL objects as one function over bytes, with what must hold of its outcome. Shared by the mutations
//! (`tests/mutations.rs`, stable Rust) and by cargo-fuzz (`fuzz/`).

use eagre_log::{FooterError, TRAILER_BYTES, parse_footer, verify_object};

/// Takes the bytes for a whole object, and for the ends of it that its trailer asks for.
pub fn wal_object(object: &[u8]) {
    let length = object.len() as u64;
    let whole = parse_footer(object, length);
    let mut end_bytes = TRAILER_BYTES.min(object.len());
    let from_end = loop {
        match parse_footer(&object[object.len() - end_bytes..], length) {
            Err(FooterError::NeedsMore { needed_bytes }) => {
                assert!((end_bytes + 1..=object.len()).contains(&needed_bytes), "more, and no more than there is");
                end_bytes = needed_bytes;
            }
            parsed => break parsed,
        }
    };
    assert_eq!(from_end, whole, "the end is enough");
    let Ok(footer) = whole else { return };
    let mut position_bytes = 0;
    for run in &footer.runs {
        assert_eq!(run.position_bytes, position_bytes, "without a gap");
        position_bytes += u64::from(run.length_bytes);
    }
    assert!(position_bytes < length, "the runs lie before the footer");
    if let Ok(verified) = verify_object(object) {
        assert_eq!(verified, footer);
    }
}
