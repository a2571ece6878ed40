//! LZ4 frames as Kafka's Java clients read them: one frame of independent blocks, closed by its end mark.

use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::{BatchError, Compression, Flaw};

const MAGIC: [u8; 4] = 0x184D_2204u32.to_le_bytes();
const VERSION_BITS: u8 = 0b1100_0000;
const VERSION: u8 = 0b0100_0000;
const INDEPENDENT_BIT: u8 = 1 << 5;
const BLOCK_CHECKSUM_BIT: u8 = 1 << 4;
const CONTENT_SIZE_BIT: u8 = 1 << 3;
const CONTENT_CHECKSUM_BIT: u8 = 1 << 2;
const DICTIONARY_BIT: u8 = 1;
/// Of a block's length: the block is not compressed.
const UNCOMPRESSED_BIT: u32 = 1 << 31;

pub(super) fn compress(body: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
    let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder.write_all(body).map_err(|_| Flaw::Unencodable("records"))?;
    encoder.finish().map_err(|_| Flaw::Unencodable("records"))?;
    Ok(())
}

/// Checks the frame's outer shape, which the decoder takes lightly: a frame cut at a block's edge would pass there, and
/// linked blocks are not read by Kafka's Java clients.
pub(super) fn check_frame(body: &[u8]) -> Result<(), BatchError> {
    match walk_frame(body) {
        Some([]) => Ok(()),
        Some(_) | None => Err(Compression::Lz4.damaged()),
    }
}

/// The bytes after the frame. `None`: not a whole frame.
fn walk_frame(body: &[u8]) -> Option<&[u8]> {
    let (magic, rest) = body.split_first_chunk::<4>()?;
    // Flags, block size, and at the end of the descriptor one byte of checksum.
    let (&flags, rest) = rest.split_first()?;
    if *magic != MAGIC || flags & VERSION_BITS != VERSION || flags & INDEPENDENT_BIT == 0 || flags & DICTIONARY_BIT != 0
    {
        return None;
    }
    let content_size_bytes = if flags & CONTENT_SIZE_BIT == 0 { 0 } else { 8 };
    let mut rest = rest.get(1 + content_size_bytes + 1..)?;
    let block_checksum_bytes = if flags & BLOCK_CHECKSUM_BIT == 0 { 0 } else { 4 };
    loop {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        if length == 0 {
            let content_checksum_bytes = if flags & CONTENT_CHECKSUM_BIT == 0 { 0 } else { 4 };
            return after.get(content_checksum_bytes..);
        }
        let length = (length & !UNCOMPRESSED_BIT) as usize;
        rest = after.get(length.checked_add(block_checksum_bytes)?..)?;
    }
}
