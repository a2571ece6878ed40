//! The footer's parser stands whatever a bucket may hold.

#![cfg(test)]

mod parsers;

use eagre_log::{TRAILER_BYTES, WalObjectBuilder};
use eagre_model::{ObjectId, UploadEpoch, batch::crc32c};
use eagre_mutate::{CountingAllocator, Mutations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn repair(bytes: &mut [u8]) {
    let Some(trailer) = bytes.len().checked_sub(TRAILER_BYTES) else { return };
    let footer_bytes = bytes[trailer..trailer + 4].try_into().map_or(0, u32::from_be_bytes);
    let Some(start) = trailer.checked_sub(footer_bytes as usize) else { return };
    bytes[trailer + 12..].copy_from_slice(b"EAGREWAL");
    let crc = crc32c(&bytes[start..trailer + 8]);
    bytes[trailer + 8..trailer + 12].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn wal_object_stands_mutations() {
    let empty = WalObjectBuilder::new().finish(ObjectId { epoch: UploadEpoch(1), incarnation: 2, number: 3 });
    Mutations::of("WAL object")
        .grown_from_files(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"), ".wal")
        .grown_from(empty.bytes.to_vec())
        .repaired_by(repair)
        .allocating_at_most(4 << 10, 8)
        .run(parsers::wal_object);
}
