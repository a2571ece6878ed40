//! Random numbers that follow from the seed: each producer has streams of its own, so that nothing depends on who draws first.

use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

/// What is drawn. The numbers are part of what a seed means: they stay.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Times.
    Arrivals = 1,
    /// Sizes, keys, places in the pool.
    Records = 2,
    /// Bytes of the pool.
    Pool = 3,
}

/// A named generator: unlike rand's standard one it will draw the same after an update.
pub(crate) fn draws(seed: u64, purpose: Purpose, producer: u32) -> Xoshiro256PlusPlus {
    let stream = (purpose as u64) << 32 | u64::from(producer);
    Xoshiro256PlusPlus::seed_from_u64(mixed(seed ^ mixed(stream)))
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): neighbouring numbers come out unrelated.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
