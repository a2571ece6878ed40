//! Each known bug is found within few seeds, by the right name; without it the same scenarios are clean. `docs/testing.md`
//! has the table, printed by `cargo test -p eagre-sim --test planted -- --nocapture`.

use std::time::Duration;

use eagre_env::PlantedBug;
use eagre_sim::{BucketKind, Disturbance, Faults, Inline, Scenario, Shape, Verdict, run};
use eagre_verify::ViolationKind::{
    self, AbortedRead, CorruptRecord, Duplicate, EndWentBack, IdempotenceBroken, InconsistentOffset, IndexDangling,
    IndexNotTiled, LostWrite, MadeUpIdAccepted, NotLinearizable, OffsetUntrue, OldEpochAppended, SendNonmonotonic,
    StaleEnd, Unreadable, Unseen, Vanished, WatermarkWentBack, ZombieAcked,
};

/// Every bug is found within so many seeds.
const SEEDS: u64 = 32;

/// Plays seeds with the bug until the judge names one of the kinds; then plays that seed without the bug.
#[track_caller]
#[expect(clippy::print_stderr, reason = "a row of the table in docs/testing.md")]
fn is_found(bug: PlantedBug, kinds: &[ViolationKind]) {
    let mut others = Vec::new();
    let found = (0..SEEDS).find_map(|seed| {
        let scenario = Scenario::provoking(bug, seed);
        let verdict = run(&scenario);
        let found = verdict.violations.iter().find(|violation| kinds.contains(&violation.kind)).cloned();
        // What both judges look for, both find.
        if [AbortedRead, Duplicate, LostWrite, OffsetUntrue, Unseen].iter().any(|kind| verdict.shows(*kind)) {
            assert!(!verdict.streamed.is_clean(), "{bug:?}, only one judge finds it:\n{}", verdict.story(40));
        }
        let kinds: Vec<_> = verdict.violations.iter().take(3).map(|violation| violation.kind).collect();
        others.push((seed, kinds, verdict.complaints));
        Some((scenario, found?))
    });
    assert!(found.is_some(), "{bug:?} is not found in {SEEDS} seeds, which show {others:?}");
    if let Some((scenario, violation)) = found {
        eprintln!("| `{bug:?}` | {} | {violation} |", scenario.seed + 1);
        let sound = run(&Scenario { planted: None, ..scenario });
        assert!(sound.is_clean(), "without the bug:\n{}", sound.story(40));
    }
}

#[test]
fn ack_before_put() {
    is_found(PlantedBug::AckBeforePut, &[IndexDangling, Unreadable]);
}

#[test]
fn ack_before_flush() {
    is_found(PlantedBug::AckBeforeFlush, &[LostWrite, Unseen, OffsetUntrue, StaleEnd, IdempotenceBroken]);
}

#[test]
fn duplicate_from_tentative() {
    is_found(PlantedBug::DuplicateFromTentative, &[LostWrite, Unseen, OffsetUntrue, StaleEnd, IdempotenceBroken]);
}

#[test]
fn whole_run_duplicate_check() {
    is_found(PlantedBug::WholeRunDuplicateCheck, &[Duplicate, LostWrite, OffsetUntrue, InconsistentOffset]);
}

#[test]
fn floor_before_record() {
    is_found(PlantedBug::FloorBeforeRecord, &[Duplicate]);
}

#[test]
fn resent_taken_for_new() {
    is_found(PlantedBug::ResentTakenForNew, &[Duplicate]);
}

#[test]
fn fenced_is_failure() {
    is_found(PlantedBug::FencedIsFailure, &[AbortedRead]);
}

#[test]
fn resend_out_of_order() {
    is_found(PlantedBug::ResendOutOfOrder, &[SendNonmonotonic]);
}

#[test]
fn producer_state_lost() {
    is_found(PlantedBug::ProducerStateLost, &[Duplicate, IdempotenceBroken]);
}

#[test]
fn old_epoch_accepted() {
    is_found(PlantedBug::OldEpochAccepted, &[OldEpochAppended, ZombieAcked]);
}

#[test]
fn watermark_before_flush() {
    is_found(
        PlantedBug::WatermarkBeforeFlush,
        &[IndexNotTiled, EndWentBack, WatermarkWentBack, Vanished, NotLinearizable],
    );
}

#[test]
fn authority_skipped() {
    is_found(PlantedBug::AuthoritySkipped, &[StaleEnd, EndWentBack]);
}

#[test]
fn offset_reused() {
    is_found(PlantedBug::OffsetReused, &[InconsistentOffset, OffsetUntrue, LostWrite]);
}

#[test]
fn stale_cache_page() {
    is_found(PlantedBug::StaleCachePage, &[InconsistentOffset, CorruptRecord, Unreadable]);
}

#[test]
fn truncated_read() {
    is_found(PlantedBug::TruncatedRead, &[CorruptRecord, Unreadable]);
}

#[test]
fn flush_out_of_order() {
    is_found(
        PlantedBug::FlushOutOfOrder,
        &[LostWrite, Unseen, OffsetUntrue, StaleEnd, IdempotenceBroken, IndexNotTiled],
    );
}

#[test]
fn rival_taken_for_own() {
    is_found(
        PlantedBug::RivalTakenForOwn,
        &[InconsistentOffset, OffsetUntrue, LostWrite, Unseen, StaleEnd, EndWentBack, Duplicate],
    );
}

#[test]
fn fence_too_short() {
    is_found(
        PlantedBug::FenceTooShort,
        &[IndexNotTiled, LostWrite, Unseen, OffsetUntrue, StaleEnd, InconsistentOffset],
    );
}

#[test]
fn timeout_is_success() {
    is_found(PlantedBug::TimeoutIsSuccess, &[IndexDangling, Unreadable]);
}

#[test]
fn window_forgotten() {
    is_found(PlantedBug::WindowForgotten, &[Duplicate, IdempotenceBroken]);
}

#[test]
fn expired_state_accepted() {
    is_found(PlantedBug::ExpiredStateAccepted, &[Duplicate, IdempotenceBroken]);
}

#[test]
fn unissued_id_accepted() {
    is_found(PlantedBug::UnissuedIdAccepted, &[MadeUpIdAccepted]);
}

#[test]
fn inline_served_tentative() {
    is_found(
        PlantedBug::InlineServedTentative,
        &[IndexNotTiled, EndWentBack, WatermarkWentBack, Vanished, NotLinearizable],
    );
}

#[test]
fn swap_without_check() {
    is_found(PlantedBug::SwapWithoutCheck, &[IndexNotTiled, Unreadable, OffsetUntrue, LostWrite]);
}

#[test]
fn swap_before_put() {
    is_found(PlantedBug::SwapBeforePut, &[IndexDangling, Unreadable]);
}

/// Not a bug of ours but of whoever runs us: the power fails under a disk that lies.
#[test]
fn a_folder_that_does_not_sync() {
    let power_fails = |seed| {
        let crash = Disturbance::Crash { node: 0, down: Duration::from_millis(100), power: true };
        Scenario {
            shape: Shape::Single,
            bucket: BucketKind::Folder { fsync: false },
            faults: Faults::NONE,
            scatterers: 0,
            patience: Duration::from_secs(20),
            disturbances: vec![(Duration::from_secs(3), crash)],
            // Objects that are lost beside metadata that is not: what is inline is lost with it.
            inline: Inline::none(),
            ..Scenario::of_seed(seed)
        }
    };
    // The whole metadata may be lost as well, and then the node does not start; that alone would be no proof.
    let expected = [LostWrite, Unseen, Vanished, Unreadable, IndexDangling, OffsetUntrue, InconsistentOffset];
    let is_named = |verdict: &Verdict| verdict.violations.iter().any(|found| expected.contains(&found.kind));
    let mut others = Vec::new();
    let is_found = (0..32).any(|seed| {
        let verdict = run(&power_fails(seed));
        let is_named = is_named(&verdict);
        let kinds: Vec<_> = verdict.violations.iter().take(3).map(|violation| violation.kind).collect();
        others.push((seed, kinds, verdict.complaints));
        is_named
    });
    assert!(is_found, "nothing was lost: {others:?}");
    assert!(run(&Scenario { bucket: BucketKind::Folder { fsync: true }, ..power_fails(0) }).is_clean());
}

#[test]
fn every_known_bug_has_a_test_above() {
    let source = include_str!("planted.rs");
    for bug in PlantedBug::ALL {
        assert!(source.contains(&format!("PlantedBug::{bug:?},")), "{bug:?}");
    }
}
