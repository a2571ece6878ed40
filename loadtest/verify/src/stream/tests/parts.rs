//! The sets, the waiting runs and the blocks, against plain ones.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::stream::{
    blocks::{BLOCK_OFFSETS, Blocks, Passing},
    folded::mix,
    intervals::{Budget, Full, Intervals, SET_INTERVALS_MAX},
    waiting::{Run, Waiting},
};

fn members(set: &Intervals) -> BTreeSet<u64> {
    set.iter().flat_map(|(from, to)| from..to).collect()
}

fn flat(stretches: impl Iterator<Item = (u64, u64)>) -> BTreeSet<u64> {
    stretches.flat_map(|(from, to)| from..to).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sets(steps in prop::collection::vec((any::<bool>(), 0_u64..60, 0_u64..9), 0..60), low in 0_u64..70, length in 0_u64..30) {
        let (mut set, mut plain, mut budget) = (Intervals::default(), BTreeSet::new(), Budget::default());
        for (add, from, count) in steps {
            if add {
                let before = plain.len();
                plain.extend(from..from + count);
                prop_assert_eq!(budget.insert(&mut set, from, from + count), Ok((plain.len() - before) as u64));
            } else {
                plain.retain(|member| !(from..from + count).contains(member));
                budget.remove(&mut set, from, from + count);
            }
            prop_assert_eq!(members(&set), plain.clone());
            prop_assert_eq!(Intervals::from_sorted(&set.iter().collect::<Vec<_>>()), Some(set.clone()));
            prop_assert_eq!(set.total(), plain.len() as u64);
        }
        let range = low..low + length;
        prop_assert!((0..80).all(|member| set.contains(member) == plain.contains(&member)));
        prop_assert_eq!(flat(set.within(low, low + length)), plain.iter().copied().filter(|at| range.contains(at)).collect());
        prop_assert_eq!(flat(set.missing(low, low + length)), range.clone().filter(|at| !plain.contains(at)).collect());
        let mut other = Intervals::default();
        other.insert(low, low + length);
        prop_assert_eq!(members(&set.and(&other)), plain.iter().copied().filter(|at| range.contains(at)).collect());
        prop_assert_eq!(members(&set.minus(&other)), plain.iter().copied().filter(|at| !range.contains(at)).collect());
    }

    #[test]
    fn waiting_runs(steps in prop::collection::vec((0_u64..60, 1_u64..9, any::<bool>()), 0..60)) {
        let (mut waiting, mut plain) = (Waiting::default(), std::collections::BTreeMap::new());
        for (first, count, push) in steps {
            let free = (first..first + count).all(|sequence| !plain.contains_key(&sequence));
            if push && free {
                let offset = i64::try_from(first * 2).unwrap();
                waiting.push(Run { first, count, offset });
                plain.extend((first..).zip((offset..).take(usize::try_from(count).unwrap())));
            } else if count == 1 {
                prop_assert_eq!(waiting.take_one(first), plain.remove(&first));
            } else {
                let mut taken = Vec::new();
                waiting.take(first, first + count, |run| taken.extend((run.first..run.end()).map(|at| (at, run.offset_of(at)))));
                let expected: Vec<_> = (first..first + count).filter_map(|at| plain.remove(&at).map(|offset| (at, offset))).collect();
                prop_assert_eq!(taken, expected);
            }
            let all: Vec<_> = waiting.iter().flat_map(|run| (run.first..run.end()).map(|at| (at, run.offset_of(at)))).collect();
            prop_assert_eq!(all, plain.clone().into_iter().collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_set_that_is_full() {
    let (mut set, mut budget) = (Intervals::default(), Budget::default());
    for at in 0..SET_INTERVALS_MAX as u64 {
        assert_eq!(budget.insert(&mut set, at * 2, at * 2 + 1), Ok(1));
    }
    assert_eq!(budget.insert(&mut set, 50_000, 50_001), Err(Full));
    // What makes no further stretch still goes in.
    assert_eq!(budget.insert(&mut set, 7, 8), Ok(1));
    assert_eq!(budget.insert(&mut set, 50_000, 50_001), Ok(1));
}

#[test]
fn sums_of_blocks() {
    let mut blocks = Blocks::default();
    let mut walk = |from: i64, to: i64, changed: i64| {
        let mut passing = Passing::new(from, &blocks);
        let mut differ = Vec::new();
        for offset in from..to {
            differ.extend(passing.add(offset, mix(offset, u32::from(offset == changed), 1), &mut blocks));
        }
        differ.extend(passing.settle(&mut blocks));
        differ.into_iter().map(|differ| (differ.0, differ.1)).collect::<Vec<_>>()
    };
    let end = 2 * BLOCK_OFFSETS + 100;
    assert_eq!(walk(0, end, -1), []);
    assert_eq!(walk(0, end, -1), []);
    assert_eq!(walk(0, end, 5), [(0, BLOCK_OFFSETS)]);
    assert_eq!(walk(0, end, BLOCK_OFFSETS), [(BLOCK_OFFSETS, 2 * BLOCK_OFFSETS)]);
    assert_eq!(walk(0, end, end - 1), [(2 * BLOCK_OFFSETS, end)]);
    // One goes further, and one begins in the middle of the first block.
    assert_eq!(walk(0, end + 50, end - 1), [(2 * BLOCK_OFFSETS, end)]);
    assert_eq!(walk(0, end + 50, -1), []);
    assert_eq!(walk(7, end + 50, 9), []);
    assert_eq!(walk(7, end + 50, BLOCK_OFFSETS), [(BLOCK_OFFSETS, 2 * BLOCK_OFFSETS)]);
    assert_eq!(blocks.whole().len(), 2);
}
