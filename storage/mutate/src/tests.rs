//! The runner finds what it is for.

use super::*;
use std::sync::Mutex;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn inputs_of(seed: u64) -> Vec<Vec<u8>> {
    let corpus = [vec![0; 40], (0..200).collect(), vec![]];
    let mutator = Mutator::new(&corpus, 300);
    let mut random = Random::new(seed);
    (0..2000).map(|_| mutator.mutate(&mut random)).collect()
}

#[test]
fn a_seed_always_gives_the_same_inputs() {
    assert_eq!(inputs_of(3), inputs_of(3));
    assert_ne!(inputs_of(3), inputs_of(4));
    assert!(inputs_of(3).iter().all(|input| input.len() <= 300));
}

fn caught(parse: impl Fn(&[u8])) -> String {
    let run = || Mutations::of("planted").grown_from([0u8, 0, 0, 1, 9]).allocating_at_most(10_000, 0).run(parse);
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("the planted bug is found");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
}

fn count_of(input: &[u8]) -> usize {
    input.first_chunk().map_or(0, |count| u32::from_be_bytes(*count) as usize)
}

#[test]
fn a_trusted_count_is_found() {
    let message = caught(|input| drop(Vec::<u8>::with_capacity(count_of(input))));
    assert!(message.starts_with("planted: allocated "), "{message}");
}

#[test]
fn an_unchecked_index_is_found() {
    let message =
        caught(|input| assert!(count_of(input) == 0 || input[4..].get(count_of(input) - 1).is_some(), "index"));
    assert_eq!(message, "index");
}

#[test]
fn a_careful_parser_stands_and_sees_repaired_input() {
    let repaired = Mutex::new(0u64);
    let tried = Mutations::of("careful")
        .grown_from([0u8; 1000])
        .repaired_by(|input| input.fill(7))
        .run(|input| *repaired.lock().expect("no panic") += u64::from(input.iter().all(|&byte| byte == 7)));
    let share = *repaired.lock().expect("no panic") as f64 / tried as f64;
    assert!((0.6..0.9).contains(&share), "{share}");
}
