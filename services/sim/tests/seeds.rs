//! Seeds: whole simulations without known bugs, in which the judge finds nothing.
//!
//! `EAGRE_SEED=n` runs one seed and prints its story; `EAGRE_SEEDS=a..b` or `EAGRE_SEEDS=count` chooses many. With
//! `EAGRE_TWICE` each seed is run twice, and both traces must be the same. With `EAGRE_TRACE` every line is printed when
//! it is written.

use std::{
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use eagre_sim::{POINTS, Scenario, Verdict, run};

/// As many as take about two minutes on two cores, and as are needed for everything that is wanted to happen.
const DEFAULT_SEEDS: Range<u64> = 0..200;

fn seeds() -> Range<u64> {
    let number = |text: &str| text.trim().parse::<u64>().expect("seeds are numbers");
    if let Ok(one) = std::env::var("EAGRE_SEED") {
        return number(&one)..number(&one) + 1;
    }
    match std::env::var("EAGRE_SEEDS") {
        Ok(range) => match range.split_once("..") {
            Some((from, to)) => number(from)..number(to),
            None => 0..number(&range),
        },
        Err(_) => DEFAULT_SEEDS,
    }
}

/// Plays seeds on all cores; each verdict is looked at as soon as it is there.
fn play(seeds: Range<u64>, look: impl Fn(Verdict) + Sync) {
    let next = AtomicU64::new(seeds.start);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) {
                        return;
                    }
                    let scenario = Scenario::of_seed(seed);
                    let verdict = run(&scenario);
                    if std::env::var_os("EAGRE_TWICE").is_some() {
                        let again = run(&scenario);
                        let parting = || verdict.parting(&again);
                        assert!(verdict.fingerprint == again.fingerprint, "seed {seed} parts:\n{}", parting());
                    }
                    look(verdict);
                }
            });
        }
    });
}

#[test]
fn no_seed_shows_a_violation() {
    let seeds = seeds();
    let alone = seeds.end - seeds.start == 1;
    let failures = Mutex::new(Vec::new());
    let seen = Mutex::new((0, 0, 0));
    // What has to happen somewhere among many seeds, or they prove little.
    let wanted: Vec<String> = POINTS.iter().map(|point| format!("at {point}: Crash")).collect();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).chain(HAPPENINGS).collect();
    let missing = Mutex::new(wanted);
    play(seeds.clone(), |verdict| {
        eprintln!("seed {}: {} {:?}", verdict.seed, verdict.fingerprint, verdict.tally);
        if !verdict.is_clean() || alone {
            eprintln!("{}", verdict.story(60));
        }
        if !verdict.is_clean() {
            failures.lock().unwrap().push(verdict.seed);
        }
        missing.lock().unwrap().retain(|what| verdict.lines_with(&[what]).is_empty());
        let mut seen = seen.lock().unwrap();
        *seen = (seen.0 + verdict.tally.acked, seen.1 + verdict.tally.unknown, seen.2 + verdict.tally.crashes);
    });
    let (acked, unknown, crashes) = *seen.lock().unwrap();
    let mut failures = failures.into_inner().unwrap();
    failures.sort_unstable();
    assert!(failures.is_empty(), "seeds {failures:?} fail");
    let count = seeds.end - seeds.start;
    if count >= DEFAULT_SEEDS.end {
        let missing = missing.into_inner().unwrap();
        assert!(missing.is_empty(), "among {count} seeds this never happened: {missing:?}");
        assert!(acked > 300 * count && unknown > count && crashes > count / 2, "{acked} {unknown} {crashes}");
    }
}

/// Parts of trace lines.
const HAPPENINGS: [&str; 37] = [
    "-> AnswerLost",
    "-> Late",
    "late change of",
    "-> Refused",
    "-> OwnConflict",
    "-> Hard",
    "-> broken",
    "-> short",
    "power loss: ",
    "Delay(",
    "node-b     holds the shard",
    "Swallow",
    "node-b     stopped",
    "stopped, and has answered all",
    "a whole life with 4 records",
    "asked for times",
    // An object store, and the layer before it.
    "-> Failed { applied: true }",
    "-> Failed { applied: false }",
    "late change of meta/0/wal",
    "lasting: 60s",
    "eagre_bucket_hedges_total op=put result=won",
    "eagre_bucket_hedges_total op=put result=lost",
    "eagre_bucket_hedges_total op=create result=won",
    "eagre_bucket_hedges_total op=create result=lost",
    "eagre_bucket_hedges_total op=get result=won",
    "eagre_bucket_creates_met_total owner=own",
    "eagre_bucket_creates_met_total owner=rival",
    "eagre_bucket_retries_total traffic=commit",
    "eagre_bucket_given_up_total reason=away",
    "passes spill.swapped",
    "passes spill.freed",
    "passes inline.read",
    "passes inline.full",
    "passes expiry.expired",
    "passes expiry.evicted",
    ": Some(UnknownProducerId)",
    ": Some(UnissuedProducerId)",
];
