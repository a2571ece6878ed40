//! Bytes that values are cut from, of a given compressibility.

use rand::Rng;

use crate::{
    VALUE_BYTES_MAX,
    draws::{Purpose, draws},
};

/// Where a value can begin. Larger than any batch, and than what compressors look back over.
pub(super) const PLACES: usize = 16 << 20;
/// Random bytes in a row before they are repeated: many against the few bytes that a compressor needs to say "again".
const RANDOM_BYTES: usize = 128;

/// Shared by all sources.
#[derive(Debug)]
pub(super) struct Pool(Vec<u8>);

impl Pool {
    /// Blocks that begin with random bytes and repeat them until the block is `ratio` times as long.
    pub fn new(ratio: f64, seed: u64) -> Self {
        let mut draws = draws(seed, Purpose::Pool, 0);
        let block = ((RANDOM_BYTES as f64 * ratio).round() as usize).clamp(RANDOM_BYTES, PLACES);
        let mut bytes = vec![0; PLACES];
        for block in bytes.chunks_mut(block) {
            let random = block.len().min(RANDOM_BYTES);
            draws.fill_bytes(&mut block[..random]);
            for at in (random..block.len()).step_by(RANDOM_BYTES) {
                let more = RANDOM_BYTES.min(block.len() - at);
                block.copy_within(..more, at);
            }
        }
        // A value that begins at the last place goes on with the first.
        bytes.extend_from_within(..VALUE_BYTES_MAX);
        Self(bytes)
    }

    pub fn fill(&self, place: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.0[place..place + out.len()]);
    }
}
