//! Every parser of this crate as one function over bytes, with what must hold of its outcome. Shared by the mutations
//! (`tests/mutations.rs`, stable Rust) and by cargo-fuzz (`fuzz/`).

use bytes::Bytes;
use eagre_model::batch::{BatchHeader, HEADER_BYTES, Limits, batches, crc32c, validate, with_base_offset};
use eagre_model::records::decode;

/// Small, so that going over them is tried as well.
pub const LIMITS: Limits =
    Limits { max_batch_bytes: 128 << 10, max_record_bytes: 16 << 10, max_decompressed_bytes: 256 << 10 };

/// States the length and CRC that the bytes have, so that a parser looks past them.
pub fn repair(batch: &mut [u8]) {
    if batch.len() >= HEADER_BYTES {
        let length = batch.len() as i32 - 12;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

/// `validate`: what passes has the CRC it says, and its records can be read.
pub fn batch_validate(bytes: &[u8]) {
    let Ok(valid) = validate(bytes, &LIMITS) else { return };
    assert_eq!(valid.crc32c_whole, crc32c(bytes), "the combined CRC is that of the bytes");
    let header = valid.header;
    // As it is stored: what the producer wrote as base offset is ignored, and may be anything.
    let decoded = decode(&Bytes::copy_from_slice(bytes), &LIMITS).expect("a valid batch is read as it came");
    assert_eq!(i32::try_from(decoded.len()), Ok(header.record_count), "as many records as the header says");
    // As it goes out.
    let mut stored = bytes.to_vec();
    with_base_offset(&mut stored, 1000);
    let decoded = decode(&stored.into(), &LIMITS).expect("a valid batch is read");
    let count = i64::from(header.record_count);
    assert!(decoded.iter().map(|record| record.offset).eq(1000..1000 + count), "as many records as the header says");
    let max_timestamp_ms = decoded.iter().map(|record| record.timestamp_ms).max().expect("a batch has a record");
    assert_eq!(max_timestamp_ms, header.max_timestamp, "the max timestamp is that of the records");
}

/// `decode`: what a reader does with stored bytes. Offsets are inside the batch.
pub fn batch_decode(bytes: &[u8]) {
    let batch = Bytes::copy_from_slice(bytes);
    let Ok(decoded) = decode(&batch, &LIMITS) else { return };
    let header = BatchHeader::parse(bytes).expect("a batch that was read has a header");
    assert_eq!(i32::try_from(decoded.len()), Ok(header.record_count), "as many records as the header says");
    for record in decoded {
        let delta = record.offset.wrapping_sub(header.base_offset);
        assert!((0..=i64::from(header.last_offset_delta)).contains(&delta), "inside the batch");
    }
}

/// `batches`: the walk over a run. What was walked before an error lies without a gap at the front.
pub fn batch_walk(bytes: &[u8]) {
    let run = Bytes::copy_from_slice(bytes);
    let mut walked = 0;
    for batch in batches(&run) {
        let Ok((header, batch)) = batch else { return };
        assert_eq!(batch.len(), header.total_length_bytes(), "as long as its header says");
        assert_eq!(batch, bytes[walked..walked + batch.len()], "without a gap");
        walked += batch.len();
    }
    assert_eq!(walked, bytes.len(), "to the end");
}
