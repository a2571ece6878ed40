//! The parser of claims stands seeded mutations of well-formed ones.

mod parsers;

use eagre_env::HostIdentity;
use eagre_model::ShardId;
use eagre_mutate::{CountingAllocator, Mutations};
use eagre_sequencer::Claim;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn claims_stand_mutations() {
    let claim = Claim {
        shard: ShardId::FIRST,
        number: 17,
        nonce: 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f,
        address: "127.0.0.1:8070".into(),
        host: HostIdentity { machine: "a-machine".into(), process: 4711, started: 1_790_000_000 },
    };
    Mutations::of("claim").grown_from(claim.encode()).allocating_at_most(16 << 10, 16).run(parsers::claim);
}
