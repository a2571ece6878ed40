//! The parsers stand seeded mutations of the golden batches.

mod parsers;

use std::path::Path;

use eagre_model::batch::{Limits, validate};
use eagre_mutate::{CountingAllocator, Mutations, peak_of};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn golden(name: &str) -> Mutations {
    Mutations::of(name).grown_from_files(Path::new(env!("CARGO_MANIFEST_DIR")).join("golden"), ".batch")
}

#[test]
fn validate_stands_mutations() {
    // What passes is decoded as well: see below.
    golden("batch validate").repaired_by(parsers::repair).allocating_at_most(6 << 20, 64).run(parsers::batch_validate);
}

#[test]
fn decode_stands_mutations() {
    // A decoded record takes up to 20 times its bytes, which may be 256 KiB after decompression.
    golden("batch decode").repaired_by(parsers::repair).allocating_at_most(6 << 20, 64).run(parsers::batch_decode);
}

#[test]
fn walk_stands_mutations() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let batch = |name| std::fs::read(folder.join(name)).expect("a golden batch");
    let run = [batch("java-none.batch"), batch("librdkafka-zstd.batch"), batch("eagre-gzip.batch")].concat();
    golden("batch walk").grown_from(run).allocating_at_most(4 << 10, 2).run(parsers::batch_walk);
}

#[test]
fn validate_allocates_nothing_for_an_uncompressed_batch() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let held_at_most = |name| {
        let batch = std::fs::read(folder.join(name)).expect("a golden batch");
        let (valid, peak_bytes) = peak_of(|| validate(&batch, &Limits::default()));
        assert!(valid.is_ok(), "{name}: {valid:?}");
        peak_bytes
    };
    assert_eq!(held_at_most("java-none.batch"), 0);
    assert!(held_at_most("java-gzip.batch") > 0, "allocations are counted");
}
