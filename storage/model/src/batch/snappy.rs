//! Snappy as Kafka clients write it: one plain block, or the chunks of `snappy-java`'s `SnappyOutputStream` (Java).

use super::compression::too_large;
use super::{BatchError, Compression, Flaw};

/// Starts a stream of chunks; a version and the lowest compatible version follow, 32 bits each.
const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;
/// The longest copy, 64 bytes, takes three bytes; nothing in the format swells more.
const EXPANSION_MAX: usize = 22;

pub(super) fn compress(body: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
    let compressed = snap::raw::Encoder::new().compress_vec(body).map_err(|_| Flaw::Unencodable("records"))?;
    out.extend_from_slice(&compressed);
    Ok(())
}

pub(super) fn decompress(body: &[u8], max_bytes: usize) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::new();
    if !body.starts_with(&XERIAL_MAGIC) {
        block(body, max_bytes, &mut out)?;
        return Ok(out);
    }
    let mut rest = body;
    while !rest.is_empty() {
        // The header comes first, and again where streams were put together.
        if rest.starts_with(&XERIAL_MAGIC) {
            rest = rest.get(XERIAL_HEADER_BYTES..).ok_or(Compression::Snappy.damaged())?;
            continue;
        }
        let (chunk, after) = take_chunk(rest).ok_or(Compression::Snappy.damaged())?;
        block(chunk, max_bytes, &mut out)?;
        rest = after;
    }
    Ok(out)
}

/// A big-endian length and so many bytes.
fn take_chunk(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

fn block(block: &[u8], max_bytes: usize, out: &mut Vec<u8>) -> Result<(), BatchError> {
    let damaged = Compression::Snappy.damaged();
    let stated = snap::raw::decompress_len(block).map_err(|_| damaged)?;
    if stated > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(damaged);
    }
    let start = out.len();
    let end = start + stated;
    if end > max_bytes {
        return Err(too_large(end as u64, max_bytes));
    }
    out.resize(end, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut out[start..]).map_err(|_| damaged)?;
    if written == stated { Ok(()) } else { Err(damaged) }
}
