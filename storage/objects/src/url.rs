//! How a user names a bucket.

use std::{ffi::OsString, fmt, os::unix::ffi::OsStringExt, path::PathBuf, str::FromStr};

use crate::{ModelUrl, ModelUrlError};

/// Where a bucket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketUrl {
    /// `file:///path` or a plain path: a folder of this machine, made when it is not there.
    Folder(PathBuf),
    /// `memory://`: gone when the process ends.
    Memory,
    /// `model+memory://`: memory that takes the time of an object store, for measurements.
    Modelled(ModelUrl),
}

/// What is wrong with a bucket's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BucketUrlError {
    /// Nothing was given.
    #[error("the bucket is empty; {ACCEPTED}")]
    Empty,
    /// A scheme that is not known.
    #[error("the bucket '{url}' has the unknown scheme '{scheme}'; {ACCEPTED}")]
    UnknownScheme {
        /// As given.
        url: String,
        /// What stands before `://`.
        scheme: String,
    },
    /// `file://` that is not followed by an absolute path.
    #[error("the bucket '{0}' names no absolute path; {ACCEPTED}")]
    NotAbsolute(String),
    /// A `%` that is not followed by two hexadecimal digits, or stands for a NUL.
    #[error("the bucket '{0}' has a wrong percent-escape; {ACCEPTED}")]
    BadEscape(String),
    /// `memory://` followed by something.
    #[error("the bucket '{0}' names something in memory; {ACCEPTED}")]
    MemoryWithName(String),
    /// `model+memory://` followed by what it does not take.
    #[error("the bucket '{url}' cannot be modelled: {source}")]
    Modelled {
        /// As given.
        url: String,
        /// What is wrong.
        source: ModelUrlError,
    },
}

const ACCEPTED: &str = "a bucket is file:///absolute/path, a plain path, or memory://";

impl FromStr for BucketUrl {
    type Err = BucketUrlError;

    fn from_str(url: &str) -> Result<Self, BucketUrlError> {
        if url.is_empty() {
            return Err(BucketUrlError::Empty);
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            // `file:/path` and `s3:bucket` would otherwise silently become folders of that name.
            return match url.split_once(':') {
                Some((scheme, _)) if is_scheme(scheme) => {
                    Err(BucketUrlError::UnknownScheme { url: url.into(), scheme: scheme.into() })
                }
                _ => Ok(Self::Folder(url.into())),
            };
        };
        match scheme {
            "file" if rest.starts_with('/') => Ok(Self::Folder(unescape(rest, url)?)),
            "file" => Err(BucketUrlError::NotAbsolute(url.into())),
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err(BucketUrlError::MemoryWithName(url.into())),
            ModelUrl::SCHEME => ModelUrl::parse(rest)
                .map(Self::Modelled)
                .map_err(|source| BucketUrlError::Modelled { url: url.into(), source }),
            _ if is_scheme(scheme) => Err(BucketUrlError::UnknownScheme { url: url.into(), scheme: scheme.into() }),
            _ => Ok(Self::Folder(url.into())),
        }
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Memory => f.write_str("memory://"),
            Self::Modelled(model) => model.fmt(f),
        }
    }
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    let mut letters = text.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'+' | b'-' | b'.'))
}

fn unescape(path: &str, url: &str) -> Result<PathBuf, BucketUrlError> {
    let bad = || BucketUrlError::BadEscape(url.into());
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(bad);
        let value = u8::try_from(digit()? * 16 + digit()?).map_err(|_| bad())?;
        if value == 0 {
            return Err(bad());
        }
        bytes.push(value);
    }
    Ok(OsString::from_vec(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted() {
        for (given, expected) in [
            ("memory://", BucketUrl::Memory),
            ("file:///var/lib/eagre", BucketUrl::Folder("/var/lib/eagre".into())),
            ("file:///a%20b/%C3%A9", BucketUrl::Folder("/a b/é".into())),
            ("./eagre-data", BucketUrl::Folder("./eagre-data".into())),
            ("/data", BucketUrl::Folder("/data".into())),
            ("data/2024-01-01T10:00", BucketUrl::Folder("data/2024-01-01T10:00".into())),
            ("a%20b", BucketUrl::Folder("a%20b".into())),
        ] {
            assert_eq!(given.parse(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn refused_with_what_is_accepted() {
        for given in [
            "",
            "s3://bucket",
            "file://host/path",
            "file://",
            "file:///a%2",
            "file:///a%zz",
            "file:///a%00",
            "file:/a",
            "memory://x",
            "s3:bucket",
            "gs://b/c",
        ] {
            let error = given.parse::<BucketUrl>().unwrap_err().to_string();
            assert!(error.ends_with(ACCEPTED), "{given}: {error}");
        }
    }

    #[test]
    fn a_modelled_store_refuses_what_it_does_not_take() {
        let error = "model+memory://?sed=7".parse::<BucketUrl>().unwrap_err().to_string();
        assert!(error.contains("'sed=7'") && error.contains("seed=N"), "{error}");
    }

    #[test]
    fn display_can_be_parsed_again() {
        for given in ["memory://", "/var/lib/eagre", "./eagre-data", "model+memory://?seed=7&hedges=off"] {
            assert_eq!(given.parse::<BucketUrl>().unwrap().to_string(), given);
        }
    }
}
