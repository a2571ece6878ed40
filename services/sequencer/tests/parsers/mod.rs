//! The parser of claims as one function over bytes, with what must hold of its outcome. Shared by the mutations
//! (`tests/mutations.rs`, stable Rust) and by cargo-fuzz (`fuzz/`).

use eagre_sequencer::Claim;

/// What is taken for a claim is still the same one after writing it.
pub fn claim(bytes: &[u8]) {
    if let Ok(claim) = Claim::decode(bytes) {
        assert_eq!(Claim::decode(&claim.encode()), Ok(claim));
    }
}
