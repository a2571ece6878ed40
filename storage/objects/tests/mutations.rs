//! The parser of the bucket's marker stands seeded mutations of well-formed ones.

mod parsers;

use eagre_mutate::{CountingAllocator, Mutations};
use eagre_objects::Marker;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn marker_stands_mutations() {
    let cluster_id = "00010203-0405-4607-8809-0a0b0c0d0e0f".into();
    let marker = Marker { format: 1, needs_eagre: "0.1.0".into(), cluster_id, created_at_ms: 1_790_000_000_000 };
    Mutations::of("marker").grown_from(marker.encode()).allocating_at_most(16 << 10, 16).run(parsers::marker);
}
