//! The same seed gives the same trace: every bucket request, crash and client-visible event at the same virtual time.

use eagre_sim::{BucketKind, Scenario, Shape, run};

#[test]
fn a_seed_gives_one_trace() {
    // One seed of each kind of world, with deaths of nodes in each.
    let kinds = [
        (Shape::Single, BucketKind::Remote),
        (Shape::Single, BucketKind::Folder { fsync: true }),
        (Shape::Pair, BucketKind::Remote),
    ];
    for (shape, bucket) in kinds {
        let of_kind = |scenario: &Scenario| scenario.shape == shape && scenario.bucket == bucket;
        let mut scenarios = (1_000..).map(Scenario::of_seed).filter(of_kind);
        let (scenario, first) = scenarios
            .find_map(|scenario| {
                let verdict = run(&scenario);
                (verdict.tally.crashes > 0).then_some((scenario, verdict))
            })
            .unwrap();
        assert!(first.tally.acked > 100, "{:?}", first.tally);
        let second = run(&scenario);
        let parting = first.parting(&second);
        assert_eq!(
            first.fingerprint, second.fingerprint,
            "seed {} of {shape:?} over {bucket:?}:\n{parting}",
            scenario.seed
        );
    }
}

#[test]
fn seeds_differ() {
    assert_ne!(run(&Scenario::of_seed(1)).fingerprint, run(&Scenario::of_seed(2)).fingerprint);
}
