//! How the messages of a call are compressed: what its headers say, and the codecs.
//!
//! Requests are decompressed here and not by tonic: its decoders cap what comes out, but let a zstd frame of a few bytes
//! ask for a window of 128 MiB, and they run before anything could be charged for it.

use eagre_model::batch::{BatchError, Compression};
use tonic::{Status, codegen::http::HeaderMap, metadata::MetadataValue};

use crate::refusal::Refusal;

const ENCODING: &str = "grpc-encoding";
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
/// What is understood, as a header says it.
const UNDERSTOOD: &str = "gzip,zstd,identity";
/// No byte of deflate stands for more than so many.
const GZIP_RATIO_MAX: usize = 1_032;

/// A codec of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Gzip,
    Zstd,
}

/// How the messages of one call go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Codecs {
    /// Those that are marked as compressed.
    pub requests: Option<Codec>,
    /// `None`: as they are.
    pub answers: Option<Codec>,
}

impl Codecs {
    /// Takes what the headers of a call say out of them: whoever handles it further sees plain messages. Answers are
    /// compressed as the requests are, if the client takes that; a client that sends plain ones gets plain ones, because
    /// many say that they understand gzip without having asked for its cost.
    pub fn take(headers: &mut HeaderMap) -> Result<Self, Status> {
        let requests = match headers.remove(ENCODING) {
            None => None,
            Some(encoding) => match encoding.as_bytes() {
                b"gzip" => Some(Codec::Gzip),
                b"zstd" => Some(Codec::Zstd),
                b"identity" => None,
                _ => return Err(not_understood()),
            },
        };
        let accepted = headers.remove(ACCEPT_ENCODING);
        let accepted = accepted.as_ref().and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
        let takes = |codec: &Codec| accepted.split(',').any(|name| name.trim() == codec.name());
        Ok(Self { requests, answers: requests.filter(takes) })
    }
}

/// Required by the gRPC protocol: `UNIMPLEMENTED`, and the names of what would have been understood.
fn not_understood() -> Status {
    let mut status = Status::unimplemented(format!(
        "the messages are compressed in another way than {UNDERSTOOD}; take one of these"
    ));
    status.metadata_mut().insert(ACCEPT_ENCODING, MetadataValue::from_static(UNDERSTOOD));
    status
}

impl Codec {
    /// As headers name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn compression(self) -> Compression {
        match self {
            Self::Gzip => Compression::Gzip,
            Self::Zstd => Compression::Zstd,
        }
    }

    /// The most bytes that a message of this length is let become.
    pub fn bound_bytes(self, compressed: usize, bytes_max: usize) -> usize {
        match self {
            Self::Gzip => compressed.saturating_mul(GZIP_RATIO_MAX).min(bytes_max),
            Self::Zstd => bytes_max,
        }
    }

    /// The message; never allocates for more than `bytes_max` of it, beside a window of 8 MiB while it works.
    pub fn decompress(self, message: &[u8], bytes_max: usize) -> Result<Vec<u8>, Refusal> {
        self.compression().decompress(message, bytes_max).map_err(|error| match error {
            BatchError::TooLarge { .. } => {
                Refusal::TooLarge(format!("the request is over the limit of {bytes_max} bytes when it is decompressed"))
            }
            BatchError::Invalid(_) | BatchError::Corrupt { .. } => {
                Refusal::invalid("message", format!("the request is not well-formed {}; send it anew", self.name()))
            }
        })
    }

    /// Appends the compressed message.
    pub fn compress(self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
        let failed = |error: BatchError| Status::internal(format!("the answer cannot be compressed: {error}"));
        self.compression().compress(message, out).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(encoding: Option<&'static str>, accepted: Option<&'static str>) -> Result<Codecs, Status> {
        let mut headers = HeaderMap::new();
        let pairs = [(ENCODING, encoding), (ACCEPT_ENCODING, accepted)];
        for (name, value) in pairs.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            headers.insert(name, value.parse().unwrap());
        }
        let codecs = Codecs::take(&mut headers);
        assert!(headers.is_empty() || codecs.is_err());
        codecs
    }

    #[test]
    fn answers_are_compressed_as_requests_are() {
        let none = Codecs::default();
        assert_eq!(taken(None, Some("identity, deflate, gzip")).unwrap(), none, "it did not ask for the cost");
        assert_eq!(taken(Some("identity"), Some("gzip")).unwrap(), none);
        for codec in [Codec::Gzip, Codec::Zstd] {
            let requests = Some(codec);
            assert_eq!(
                taken(Some(codec.name()), Some("identity, gzip,zstd")).unwrap(),
                Codecs { requests, answers: requests }
            );
            assert_eq!(taken(Some(codec.name()), Some("deflate")).unwrap(), Codecs { requests, answers: None });
            assert_eq!(taken(Some(codec.name()), None).unwrap(), Codecs { requests, answers: None });
        }
        let status = taken(Some("deflate"), None).unwrap_err();
        assert_eq!(status.metadata().get(ACCEPT_ENCODING).unwrap(), UNDERSTOOD);
    }

    #[test]
    fn no_gzip_is_denser_than_said() {
        let zeros = vec![0; 4 << 20];
        let mut dense = Vec::new();
        Codec::Gzip.compress(&zeros, &mut dense).unwrap();
        assert!(Codec::Gzip.bound_bytes(dense.len(), usize::MAX) >= zeros.len());
        assert_eq!(Codec::Gzip.decompress(&dense, zeros.len()).unwrap(), zeros);
    }
}
