//! The decoders of rows stand seeded mutations of the golden rows.

mod parsers;

use eagre_mutate::{CountingAllocator, Mutations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex")).collect()
}

#[test]
fn rows_stand_mutations() {
    let mut mutations = Mutations::of("rows").allocating_at_most(16 << 10, 64);
    for line in include_str!("../golden/rows.txt").lines().filter(|line| !line.starts_with('#')) {
        let (key, value) = line.split_once(' ').expect("a key and a value");
        mutations = mutations.grown_from(parsers::row_input(&bytes(key), &bytes(value)));
    }
    mutations.run(parsers::row);
}
