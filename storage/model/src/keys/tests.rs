//! Kafka's own hashes, and that residue classes place every key once.

use super::*;
use proptest::prelude::*;

/// Key, hash, and its place among 4 and among 7 partitions, from Kafka's own code.
fn kafka_hashes() -> Vec<(Vec<u8>, i32, u32, u32)> {
    let text = include_str!("../../golden/murmur2.txt");
    let line = |line: &str| {
        let mut fields = line.split(' ');
        let hex = fields.next().unwrap().trim_matches('"');
        let key = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        let mut number = || fields.next().unwrap().parse::<i32>().unwrap();
        (key, number(), number() as u32, number() as u32)
    };
    text.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

fn elastic(classes: &[(u32, u32)]) -> Placement {
    Placement::Elastic {
        classes: classes.iter().map(|&(remainder, modulus)| ResidueClass { remainder, modulus }).collect(),
    }
}

#[test]
fn hashes_and_places_as_kafka_does() {
    let hashes = kafka_hashes();
    assert!(hashes.len() > 70);
    for (key, hash, mod_4, mod_7) in hashes {
        assert_eq!(murmur2(&key) as i32, hash, "{key:02x?}");
        assert_eq!(partition_for_key(&Placement::Fixed { partitions: 4 }, &key), Some(mod_4), "{key:02x?}");
        assert_eq!(partition_for_key(&Placement::Fixed { partitions: 7 }, &key), Some(mod_7), "{key:02x?}");
        assert_eq!(partition_for_key(&elastic_placement(), &key), Some(mod_4), "{key:02x?}");
    }
}

#[test]
fn refuses_placements_that_leave_keys_without_a_partition_or_with_two() {
    let good = [
        elastic_placement(),
        Placement::Fixed { partitions: 1 },
        elastic(&[(0, 1)]),
        elastic(&[(0, 2), (1, 4), (3, 8), (7, 8)]),
        elastic(&[(0, 8), (1, 4), (2, 4), (3, 4), (4, 8)]),
    ];
    for placement in good {
        assert_eq!(check_placement(&placement), Ok(()), "{placement:?}");
    }
    let class = |partition, remainder, modulus| PlacementError::Class { partition, remainder, modulus };
    let bad = [
        (Placement::Fixed { partitions: 0 }, PlacementError::NoPartition),
        (elastic(&[]), PlacementError::NoPartition),
        (elastic(&[(0, 2), (0, 3)]), class(1, 0, 3)),
        (elastic(&[(0, 0)]), class(0, 0, 0)),
        (elastic(&[(2, 2), (0, 2)]), class(0, 2, 2)),
        (elastic(&[(0, 2)]), PlacementError::Cover),
        (elastic(&[(0, 2), (1, 2), (1, 2)]), PlacementError::Cover),
        (elastic(&[(0, 2), (0, 2)]), PlacementError::Cover),
        // The shares add up, but (0, 2) holds (2, 4) and nothing holds (3, 4).
        (elastic(&[(0, 2), (2, 4), (1, 4)]), PlacementError::Cover),
        (elastic(&[(2, 4), (0, 2), (1, 4)]), PlacementError::Cover),
    ];
    for (placement, error) in bad {
        assert_eq!(check_placement(&placement), Err(error), "{placement:?}");
    }
    assert_eq!(partition_for_key(&Placement::Fixed { partitions: 0 }, b"k"), None);
    assert_eq!(partition_for_key(&elastic(&[]), b"k"), None);
}

proptest! {
    #[test]
    fn the_first_classes_agree_with_mod_4(key in proptest::collection::vec(any::<u8>(), 0..40)) {
        let kafka = partition_for_key(&Placement::Fixed { partitions: ELASTIC_PARTITIONS_FIRST }, &key);
        prop_assert_eq!(partition_for_key(&elastic_placement(), &key), kafka);
    }

    /// Splitting classes at will keeps every hash in exactly one, and a child's keys were its parent's.
    #[test]
    fn splits_keep_every_hash_in_one_class(splits in proptest::collection::vec(any::<usize>(), 0..40), hash in 0..1u32 << 31) {
        let Placement::Elastic { mut classes } = elastic_placement() else { unreachable!("it is elastic") };
        for split in splits {
            let parent = split % classes.len();
            let ResidueClass { remainder, modulus } = classes[parent];
            if modulus == 1 << 30 {
                continue;
            }
            let modulus = modulus * 2;
            classes[parent].modulus = modulus;
            classes.push(ResidueClass { remainder: remainder + modulus / 2, modulus });
        }
        prop_assert_eq!(classes.iter().filter(|class| class_holds(class, hash)).count(), 1);
        prop_assert_eq!(check_placement(&Placement::Elastic { classes }), Ok(()));
    }
}
