//! Codecs of a batch's body. Output is capped: what a few bytes may swell to is decided by the limit, not by them.

use std::io::{Read, Write};

use super::{BatchError, Flaw, Limited, lz4, snappy};

/// The largest window that a zstd frame may ask for, as a power of two: 8 MiB, enough for level 19. The decoder
/// allocates the window before it has seen any data.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const ZSTD_LEVEL: i32 = 3;

/// How the records of a batch are compressed. Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// Snappy: written plain, read plain and in the framing of `snappy-java`.
    Snappy,
    /// LZ4 frame with independent blocks.
    Lz4,
    /// Zstandard, RFC 8878.
    Zstd,
}

impl Compression {
    /// Every codec.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec of a batch's attributes, bits 0 to 2.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The number in a batch's attributes.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Kafka's name: what `compression.type` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Appends the compressed `body` to `out`.
    ///
    /// # Errors
    /// [`BatchError::Invalid`]: the body is too long for the codec.
    pub fn compress(self, body: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
        let written = match self {
            Self::None => out.write_all(body),
            Self::Gzip => gzip(body, out),
            Self::Snappy => return snappy::compress(body, out),
            Self::Lz4 => return lz4::compress(body, out),
            Self::Zstd => zstd(body, out),
        };
        written.map_err(|_| Flaw::Unencodable("records").into())
    }

    /// The body as it was before compression, at most `max_bytes` of it: no more is ever allocated for it, beside a codec's
    /// window of up to 8 MiB.
    ///
    /// # Errors
    /// [`BatchError::TooLarge`]: it is longer. [`BatchError::Invalid`]: it is damaged.
    pub fn decompress(self, body: &[u8], max_bytes: usize) -> Result<Vec<u8>, BatchError> {
        match self {
            Self::None => Ok(body.to_vec()),
            Self::Gzip => self.read_capped(flate2::bufread::MultiGzDecoder::new(body), body.len(), max_bytes),
            Self::Snappy => snappy::decompress(body, max_bytes),
            Self::Lz4 => {
                lz4::check_frame(body)?;
                self.read_capped(lz4_flex::frame::FrameDecoder::new(body), body.len(), max_bytes)
            }
            Self::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(body).and_then(|mut decoder| {
                    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                    Ok(decoder)
                });
                let decoder = decoder.map_err(|_| self.damaged())?;
                self.read_capped(decoder, body.len(), max_bytes)
            }
        }
    }

    pub(super) fn damaged(self) -> BatchError {
        Flaw::Compressed(self.name()).into()
    }

    fn read_capped(self, reader: impl Read, compressed: usize, max_bytes: usize) -> Result<Vec<u8>, BatchError> {
        // A guess that costs little when it is wrong; the vector doubles from there.
        let mut out = Vec::with_capacity(compressed.saturating_mul(2).min(max_bytes));
        let capped = max_bytes as u64;
        reader.take(capped.saturating_add(1)).read_to_end(&mut out).map_err(|_| self.damaged())?;
        if out.len() as u64 > capped {
            return Err(too_large(out.len() as u64, max_bytes));
        }
        Ok(out)
    }
}

pub(super) fn too_large(size_bytes: u64, max_bytes: usize) -> BatchError {
    BatchError::TooLarge { what: Limited::Decompressed, size_bytes, limit_bytes: max_bytes as u64 }
}

fn gzip(body: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
    encoder.write_all(body)?;
    encoder.finish().map(drop)
}

fn zstd(body: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    out.extend_from_slice(&zstd::bulk::compress(body, ZSTD_LEVEL)?);
    Ok(())
}
