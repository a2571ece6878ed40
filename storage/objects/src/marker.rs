//! The marker object: what makes a folder a bucket of Eagre, and which format it has.
//!
//! The number in `format` is never given another meaning. Every later version reads `format` and `needs_eagre` of every
//! marker, whatever else it holds, so that a version that is too old can say what it takes.

use eagre_env::Env;
use serde::{Deserialize, Serialize};

/// Key of the marker.
pub const MARKER_KEY: &str = "eagre.json";

/// The bucket format that this version writes, and the highest that it reads. A bucket of a lower one is raised when it is
/// opened: 2 has a log of metadata that format 1 does not know.
pub const BUCKET_FORMAT: u32 = 2;

/// The first version that reads [`BUCKET_FORMAT`].
const NEEDS_EAGRE: &str = "0.2.0";

/// Longer markers are not read.
pub(crate) const MARKER_BYTES_MAX: u64 = 64 * 1024;

/// The marker of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// [`BUCKET_FORMAT`] of the version that made the bucket.
    pub format: u32,
    /// The oldest version that understands the format.
    pub needs_eagre: String,
    /// A random UUID, given once. It tells the bucket from every other one.
    pub cluster_id: String,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}

/// Why a marker cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// Not what any version writes.
    #[error("the marker {MARKER_KEY} cannot be read: {0}")]
    Unreadable(String),
    /// Written by a later version.
    #[error(
        "the bucket has format {found}, this version reads up to format {BUCKET_FORMAT}; \
         it needs eagre {needs_eagre} or newer"
    )]
    NewerFormat {
        /// The bucket's format.
        found: u32,
        /// The oldest version that reads it.
        needs_eagre: String,
    },
}

/// The part that every format keeps.
#[derive(Deserialize)]
struct Head {
    format: u32,
    #[serde(default)]
    needs_eagre: Option<String>,
}

impl Marker {
    /// A marker with a new cluster id.
    pub(crate) fn new(env: &Env) -> Self {
        Self {
            format: BUCKET_FORMAT,
            needs_eagre: NEEDS_EAGRE.into(),
            cluster_id: uuid_v4(env.random.next_u128()),
            created_at_ms: env.clock.unix_ms(),
        }
    }

    /// The same bucket in [`BUCKET_FORMAT`]; `None` when it has that.
    pub(crate) fn raised(&self) -> Option<Self> {
        let is_raised = self.format < BUCKET_FORMAT;
        is_raised.then(|| Self { format: BUCKET_FORMAT, needs_eagre: NEEDS_EAGRE.into(), ..self.clone() })
    }

    /// The bytes to store: one line of JSON.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("numbers and strings are always JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Reads stored bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, MarkerError> {
        let unreadable = |error: serde_json::Error| MarkerError::Unreadable(error.to_string());
        let head: Head = serde_json::from_slice(bytes).map_err(unreadable)?;
        if head.format > BUCKET_FORMAT {
            let needs_eagre = head.needs_eagre.unwrap_or_else(|| "a later version".into());
            return Err(MarkerError::NewerFormat { found: head.format, needs_eagre });
        }
        if head.format == 0 {
            return Err(MarkerError::Unreadable("there is no format 0".into()));
        }
        let marker: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        if marker.cluster_id.is_empty() {
            return Err(MarkerError::Unreadable("the cluster id is empty".into()));
        }
        Ok(marker)
    }
}

/// RFC 9562, section 5.4.
fn uuid_v4(random: u128) -> String {
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &[u8] = br#"{"format":2,"needs_eagre":"0.2.0","cluster_id":"00010203-0405-4607-8809-0a0b0c0d0e0f","created_at_ms":1790000000000}
"#;

    fn golden() -> Marker {
        Marker {
            format: 2,
            needs_eagre: "0.2.0".into(),
            cluster_id: uuid_v4(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f),
            created_at_ms: 1_790_000_000_000,
        }
    }

    #[test]
    fn golden_both_ways() {
        assert_eq!(golden().encode(), GOLDEN);
        assert_eq!(Marker::decode(GOLDEN), Ok(golden()));
    }

    #[test]
    fn the_first_format_is_read_and_raised() {
        let first = br#"{"format":1,"needs_eagre":"0.1.0","cluster_id":"00010203-0405-4607-8809-0a0b0c0d0e0f","created_at_ms":1790000000000}"#;
        let marker = Marker::decode(first).unwrap();
        assert_eq!(marker, Marker { format: 1, needs_eagre: "0.1.0".into(), ..golden() });
        assert_eq!(marker.raised(), Some(golden()));
        assert_eq!(golden().raised(), None);
    }

    #[test]
    fn a_newer_format_says_what_it_needs_whatever_else_it_holds() {
        let newer = br#"{"format":7,"needs_eagre":"2.3.0","shape":{"unheard":"of"}}"#;
        let error = Marker::decode(newer).unwrap_err();
        assert_eq!(error, MarkerError::NewerFormat { found: 7, needs_eagre: "2.3.0".into() });
        assert!(error.to_string().contains("needs eagre 2.3.0 or newer"), "{error}");
    }

    #[test]
    fn unreadable_at_every_truncation() {
        for length in 0..GOLDEN.len() - 2 {
            let result = Marker::decode(&GOLDEN[..length]);
            assert!(matches!(result, Err(MarkerError::Unreadable(_))), "{length}: {result:?}");
        }
    }

    #[test]
    fn unreadable_when_not_ours() {
        for bytes in [
            &b"null"[..],
            b"{}",
            b"[]",
            br#"{"format":"1"}"#,
            br#"{"format":-1}"#,
            br#"{"format":1}"#,
            b"\xff\xfe",
            br#"{"format":0,"needs_eagre":"0.1.0","cluster_id":"x","created_at_ms":1}"#,
            br#"{"format":1,"needs_eagre":"0.1.0","cluster_id":"","created_at_ms":1}"#,
            br#"{"format":1,"needs_eagre":"0.1.0","cluster_id":"x","created_at_ms":1,"more":2}"#,
        ] {
            let result = Marker::decode(bytes);
            assert!(matches!(result, Err(MarkerError::Unreadable(_))), "{result:?}");
        }
    }
}
