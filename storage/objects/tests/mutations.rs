//! The parsers of the bucket's marker and of the record of its races stand seeded mutations of well-formed ones.

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

#[test]
fn race_record_stands_mutations() {
    let record = br#"{"format":1,"verdict":"right","checked_by":"0.1.0","checked_at_ms":1790000000000,"create_races":64,"writers":8,"has_conditional_overwrite":true}"#;
    Mutations::of("race record").grown_from(record.to_vec()).allocating_at_most(16 << 10, 16).run(parsers::race_record);
}
