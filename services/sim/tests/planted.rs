//! Each known bug is found within few seeds, by the right name.

use eagre_env::PlantedBug;
use eagre_sim::{Scenario, run};
use eagre_verify::ViolationKind;

/// Runs seeds with the bug until the judge names one of the kinds.
fn finds(bug: PlantedBug, kinds: &[ViolationKind], seeds_max: u64) {
    let mut others = Vec::new();
    for seed in 0..seeds_max {
        let verdict = run(&Scenario::of_seed(seed).with_planted(bug));
        if let Some(found) = verdict.violations.iter().find(|violation| kinds.contains(&violation.kind)) {
            eprintln!("| {bug:?} | {} | {found} |", seed + 1);
            let mut kinds: Vec<_> = verdict.violations.iter().map(|violation| violation.kind).collect();
            kinds.dedup();
            kinds.sort();
            kinds.dedup();
            eprintln!("ALL {bug:?} {kinds:?} {:?}", verdict.complaints.first());
            return;
        }
        let kinds: Vec<_> = verdict.violations.iter().take(3).map(|violation| violation.kind).collect();
        others.push((seed, kinds, verdict.complaints.first().cloned()));
    }
    panic!("{bug:?} is not found in {seeds_max} seeds; {others:?}");
}

const ANY: &[ViolationKind] = &[
    ViolationKind::InconsistentOffset,
    ViolationKind::OffsetUntrue,
    ViolationKind::Duplicate,
    ViolationKind::CorruptRecord,
    ViolationKind::LostWrite,
    ViolationKind::Unseen,
    ViolationKind::Vanished,
    ViolationKind::AbortedRead,
    ViolationKind::OffsetGap,
    ViolationKind::PollSkip,
    ViolationKind::PollNonmonotonic,
    ViolationKind::SendNonmonotonic,
    ViolationKind::StaleEnd,
    ViolationKind::EndWentBack,
    ViolationKind::WatermarkWentBack,
    ViolationKind::ReadAboveWatermark,
    ViolationKind::NotLinearizable,
    ViolationKind::IdempotenceBroken,
    ViolationKind::SequenceGap,
    ViolationKind::SequenceDisorder,
    ViolationKind::OldEpochAppended,
    ViolationKind::ZombieAcked,
    ViolationKind::IndexNotTiled,
    ViolationKind::IndexDangling,
];

#[test]
fn explore() {
    for bug in PlantedBug::ALL {
        let _ = std::panic::catch_unwind(|| finds(bug, ANY, 40));
    }
}
