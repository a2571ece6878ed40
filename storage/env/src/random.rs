//! The only source of random numbers.

use std::sync::Mutex;

use rand::{Rng, SeedableRng, rngs::StdRng};

/// Random numbers and ids.
pub trait Randomness: Send + Sync + std::fmt::Debug {
    /// 64 uniform random bits.
    fn next_u64(&self) -> u64;

    /// 128 uniform random bits, for ids that never meet.
    fn next_u128(&self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }

    /// A uniform number below `bound`, which is above 0. The bias is below bound / 2^64.
    fn below(&self, bound: u64) -> u64 {
        assert!(bound > 0, "an empty range has no number");
        u64::try_from((u128::from(self.next_u64()) * u128::from(bound)) >> 64).unwrap_or(0)
    }
}

/// A generator that gives the same numbers for the same seed.
pub struct SeededRandomness(Mutex<StdRng>);

impl SeededRandomness {
    /// A generator for this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

/// A generator seeded by the operating system.
pub fn system_randomness() -> SeededRandomness {
    let mut seed = [0u8; 32];
    let mut filled = 0;
    while filled < seed.len() {
        match rustix::rand::getrandom(&mut seed[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => filled += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => unreachable!("getrandom with valid arguments fails only when interrupted: {error}"),
        }
    }
    SeededRandomness(Mutex::new(StdRng::from_seed(seed)))
}

impl Randomness for SeededRandomness {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next_u64()
    }
}

impl std::fmt::Debug for SeededRandomness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SeededRandomness")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_sequence() {
        let take = |seed| {
            let random = SeededRandomness::new(seed);
            (0..8).map(|_| random.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
    }

    #[test]
    fn below_stays_below_and_reaches_all() {
        let random = SeededRandomness::new(1);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[usize::try_from(random.below(5)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 5]);
    }

    #[test]
    fn the_system_seeds_differ() {
        assert_ne!(system_randomness().next_u128(), system_randomness().next_u128());
    }
}
