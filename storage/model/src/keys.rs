//! Where a key goes: Kafka's murmur2, and residue classes of its hash.

use crate::{Placement, ResidueClass};

const SEED: u32 = 0x9747_B28C;
const M: u32 = 0x5BD1_E995;

/// The number of partitions with which an elastic topic starts: class and Kafka's mod agree there.
pub const ELASTIC_PARTITIONS_FIRST: u32 = 4;

/// Murmur2 with Kafka's seed, as `org.apache.kafka.common.utils.Utils.murmur2` computes it (there a signed number).
pub fn murmur2(bytes: &[u8]) -> u32 {
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (i, &byte) in tail.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// Without the sign bit: `Utils.toPositive`.
pub fn positive(hash: u32) -> u32 {
    hash & 0x7FFF_FFFF
}

/// The partition of a key. `None`: the placement leaves it without one, which one that passed [`check_placement`] never does.
pub fn partition_for_key(placement: &Placement, key: &[u8]) -> Option<u32> {
    let hash = positive(murmur2(key));
    match placement {
        Placement::Fixed { partitions } => hash.checked_rem(*partitions),
        Placement::Elastic { classes } => {
            let partition = classes.iter().position(|class| class_holds(class, hash))?;
            u32::try_from(partition).ok()
        }
    }
}

/// A key with this (positive) hash is of the class.
pub fn class_holds(class: &ResidueClass, hash: u32) -> bool {
    hash.checked_rem(class.modulus) == Some(class.remainder)
}

/// The placement of a new elastic topic: partition p owns the class (p, 4).
pub fn elastic_placement() -> Placement {
    let class = |remainder| ResidueClass { remainder, modulus: ELASTIC_PARTITIONS_FIRST };
    Placement::Elastic { classes: (0..ELASTIC_PARTITIONS_FIRST).map(class).collect() }
}

/// Why a placement is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// No partition.
    #[error("a topic has at least one partition")]
    NoPartition,
    /// A modulus that is no power of two up to 2^31, or a remainder that is not below it.
    #[error("partition {partition} has the residue class ({remainder}, {modulus}), which is none")]
    Class {
        /// Whose class.
        partition: usize,
        /// As given.
        remainder: u32,
        /// As given.
        modulus: u32,
    },
    /// Two classes share hashes, or some hash is in none.
    #[error("the residue classes do not cover every hash exactly once")]
    Cover,
}

/// Checks that every key has exactly one partition. For placements that come from outside.
///
/// # Errors
/// What is wrong with it.
pub fn check_placement(placement: &Placement) -> Result<(), PlacementError> {
    let classes = match placement {
        Placement::Fixed { partitions: 0 } => return Err(PlacementError::NoPartition),
        Placement::Fixed { .. } => return Ok(()),
        Placement::Elastic { classes } => classes,
    };
    if classes.is_empty() {
        return Err(PlacementError::NoPartition);
    }
    // Disjoint classes whose shares of all hashes add up to one cover everything. Shares in units of 2^-31.
    let mut share = 0u64;
    for (partition, &ResidueClass { remainder, modulus }) in classes.iter().enumerate() {
        if !modulus.is_power_of_two() || remainder >= modulus {
            return Err(PlacementError::Class { partition, remainder, modulus });
        }
        share += u64::from((1u32 << 31) / modulus);
    }
    if share != 1 << 31 || !disjoint(classes) {
        return Err(PlacementError::Cover);
    }
    Ok(())
}

/// Classes of powers of two are disjoint or one contains the other. Sorted by their bits from the lowest on, a class that
/// is contained comes right after one that contains it.
fn disjoint(classes: &[ResidueClass]) -> bool {
    let mut sorted: Vec<_> = classes.iter().map(|c| (c.remainder.reverse_bits(), c.modulus, c.remainder)).collect();
    sorted.sort_unstable();
    let contains = |(_, outer, remainder): (u32, u32, u32), (_, modulus, inner): (u32, u32, u32)| {
        outer <= modulus && inner % outer == remainder
    };
    sorted.windows(2).all(|pair| !contains(pair[0], pair[1]))
}

#[cfg(test)]
mod tests;
