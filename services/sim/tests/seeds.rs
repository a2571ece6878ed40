//! Seeds: whole simulations without known bugs, in which the judge finds nothing.

#![cfg(test)]

use eagre_sim::{Scenario, run};

/// `EAGRE_SEED=n` runs one seed and prints its story; `EAGRE_SEEDS=a..b` or `EAGRE_SEEDS=count` chooses many. With `EAGRE_TWICE` each
/// seed is run twice, and both traces must be the same.
fn seeds() -> std::ops::Range<u64> {
    let number = |text: &str| text.trim().parse::<u64>().unwrap();
    if let Ok(one) = std::env::var("EAGRE_SEED") {
        return number(&one)..number(&one) + 1;
    }
    match std::env::var("EAGRE_SEEDS") {
        Ok(range) => match range.split_once("..") {
            Some((from, to)) => number(from)..number(to),
            None => 0..number(&range),
        },
        Err(_) => 0..20,
    }
}

#[test]
fn no_seed_shows_a_violation() {
    let seeds = seeds();
    let alone = seeds.end - seeds.start == 1;
    let twice = std::env::var_os("EAGRE_TWICE").is_some();
    let mut failures = Vec::new();
    for seed in seeds {
        let verdict = run(&Scenario::of_seed(seed));
        eprintln!("seed {seed}: {} {:?}", verdict.fingerprint, verdict.tally);
        if twice {
            let again = run(&Scenario::of_seed(seed));
            assert_eq!(verdict.fingerprint, again.fingerprint, "seed {seed}:\n{}", verdict.parting(&again));
        }
        if !verdict.is_clean() || alone {
            eprintln!("{}", verdict.story(60));
        }
        if !verdict.is_clean() {
            failures.push(seed);
        }
    }
    assert!(failures.is_empty(), "seeds {failures:?} fail");
}
