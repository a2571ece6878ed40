//! How a user names a bucket.

use std::{ffi::OsString, fmt, os::unix::ffi::OsStringExt, path::PathBuf, str::FromStr};

use eagre_env::redacted_address;

use crate::{ModelUrl, ModelUrlError};

/// Where a bucket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketUrl {
    /// `file:///path` or a plain path: a folder of this machine, made when it is not there.
    Folder(PathBuf),
    /// `memory://`: gone when the process ends.
    Memory,
    /// `s3://`, `gs://` or `az://`: behind a network.
    Remote(RemoteUrl),
    /// `model+memory://`: memory that takes the time of an object store, for measurements.
    Modelled(ModelUrl),
}

/// A bucket behind a network: `<scheme>://<bucket>[/<prefix>]`. Where it is reached and by which credentials, the
/// environment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    /// Whose interface it speaks.
    pub scheme: Scheme,
    /// Its name; of Azure the container's.
    pub bucket: String,
    /// What all keys begin with, without a slash at either end; empty: nothing.
    pub prefix: String,
}

/// The interface of a bucket behind a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Amazon S3 and everything that speaks its interface.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
}

impl Scheme {
    fn named(name: &str) -> Option<Self> {
        [Self::S3, Self::Gs, Self::Az].into_iter().find(|scheme| scheme.name() == name)
    }

    /// As it is spelled before `://`.
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Az => "az",
        }
    }
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
        /// As given, without a password.
        url: String,
        /// What stands before `://`.
        scheme: String,
    },
    /// A scheme that is known, without the slashes behind it.
    #[error("the bucket '{url}' lacks slashes: they are two behind '{scheme}:', and what follows; {ACCEPTED}")]
    LacksSlashes {
        /// As given, without a password.
        url: String,
        /// What stands before `:`.
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
    /// A bucket behind a network whose name is missing or has characters that no bucket has.
    #[error(
        "'{url}' names no bucket: 1 to {NAME_BYTES_MAX} letters, digits and '-', '_', '.' belong between {scheme}:// and the \
         prefix; {ACCEPTED}"
    )]
    BadName {
        /// As given, without a password.
        url: String,
        /// What stands before `://`.
        scheme: &'static str,
    },
    /// A prefix with characters that some store or tool would change.
    #[error(
        "the prefix of '{url}' cannot have {what}: use up to {PREFIX_BYTES_MAX} letters, digits and ! - _ . = * ' ( ), with \
         single slashes between its parts; {ACCEPTED}"
    )]
    BadPrefix {
        /// As given, without a password.
        url: String,
        /// What is wrong.
        what: String,
    },
    /// `model+memory://` followed by what it does not take.
    #[error("the bucket '{url}' cannot be modelled: {source}")]
    Modelled {
        /// As given, without a password.
        url: String,
        /// What is wrong.
        source: ModelUrlError,
    },
}

const ACCEPTED: &str =
    "a bucket is file:///absolute/path, a plain path, s3://bucket/prefix, gs://, az://, or memory://";

/// The longest name that any store gives a bucket.
const NAME_BYTES_MAX: usize = 255;
/// Keys have up to 1,024 bytes in all; ours and SlateDB's are far below half of that.
const PREFIX_BYTES_MAX: usize = 512;

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
                    let (url, scheme) = (redacted_address(url), scheme.to_owned());
                    let is_known = Scheme::named(&scheme).is_some() || ["file", "memory"].contains(&scheme.as_str());
                    Err(if is_known {
                        BucketUrlError::LacksSlashes { url, scheme }
                    } else {
                        BucketUrlError::UnknownScheme { url, scheme }
                    })
                }
                _ => Ok(Self::Folder(url.into())),
            };
        };
        if let Some(scheme) = Scheme::named(scheme) {
            return remote(scheme, rest, url).map(Self::Remote);
        }
        match scheme {
            "file" if rest.starts_with('/') => Ok(Self::Folder(unescape(rest, url)?)),
            "file" => Err(BucketUrlError::NotAbsolute(redacted_address(url))),
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err(BucketUrlError::MemoryWithName(redacted_address(url))),
            ModelUrl::SCHEME => ModelUrl::parse(rest)
                .map(Self::Modelled)
                .map_err(|source| BucketUrlError::Modelled { url: redacted_address(url), source }),
            _ if is_scheme(scheme) => {
                Err(BucketUrlError::UnknownScheme { url: redacted_address(url), scheme: scheme.into() })
            }
            _ => Ok(Self::Folder(url.into())),
        }
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Memory => f.write_str("memory://"),
            Self::Remote(remote) => remote.fmt(f),
            Self::Modelled(model) => model.fmt(f),
        }
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

fn remote(scheme: Scheme, rest: &str, url: &str) -> Result<RemoteUrl, BucketUrlError> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if bucket.is_empty() || bucket.len() > NAME_BYTES_MAX || !bucket.bytes().all(is_name) {
        return Err(BucketUrlError::BadName { url: redacted_address(url), scheme: scheme.name() });
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let bad = |what: String| Err(BucketUrlError::BadPrefix { url: redacted_address(url), what });
    // The characters that S3's documentation calls safe, and '=', which many tools put into prefixes.
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "!-_.=*'()/".contains(c);
    if let Some(odd) = prefix.chars().find(|c| !is_safe(*c)) {
        return bad(format!("the character {odd:?}"));
    }
    if prefix.len() > PREFIX_BYTES_MAX {
        return bad(format!("{} bytes", prefix.len()));
    }
    match prefix.split('/').find(|part| ["", ".", ".."].contains(part)) {
        Some(part) if !prefix.is_empty() => bad(format!("the part {part:?}")),
        _ => Ok(RemoteUrl { scheme, bucket: bucket.into(), prefix: prefix.into() }),
    }
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    let mut letters = text.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'+' | b'-' | b'.'))
}

fn unescape(path: &str, url: &str) -> Result<PathBuf, BucketUrlError> {
    let bad = || BucketUrlError::BadEscape(redacted_address(url));
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

    fn at(scheme: Scheme, bucket: &str, prefix: &str) -> BucketUrl {
        BucketUrl::Remote(RemoteUrl { scheme, bucket: bucket.into(), prefix: prefix.into() })
    }

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
            ("s3://bucket", at(Scheme::S3, "bucket", "")),
            ("s3://my.bucket-1/", at(Scheme::S3, "my.bucket-1", "")),
            ("s3://bucket/eagre/prod_1.x/", at(Scheme::S3, "bucket", "eagre/prod_1.x")),
            ("gs://bucket/a=1", at(Scheme::Gs, "bucket", "a=1")),
            ("az://container/p", at(Scheme::Az, "container", "p")),
        ] {
            assert_eq!(given.parse(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn refused_with_what_is_accepted() {
        for given in [
            "",
            "s3://",
            "s3:///prefix",
            "s3://user:secret@bucket",
            "s3://bucket:9000/prefix",
            "s3://bucket/a//b",
            "s3://bucket//a",
            "s3://bucket/a b",
            "s3://bucket/é",
            "s3://bucket/a/../b",
            "s3://bucket/a%20b",
            "s3://bucket/p?region=x",
            "s4://bucket",
            "file://host/path",
            "file://",
            "file:///a%2",
            "file:///a%zz",
            "file:///a%00",
            "file:/a",
            "memory://x",
            "s3:bucket",
        ] {
            let error = given.parse::<BucketUrl>().unwrap_err().to_string();
            assert!(error.ends_with(ACCEPTED) && !error.contains("secret"), "{given}: {error}");
        }
    }

    #[test]
    fn slashes_that_are_lacking_are_told() {
        for given in ["s3:/bucket", "s3:bucket", "file:/a", "memory:"] {
            let error = given.parse::<BucketUrl>().unwrap_err().to_string();
            assert!(error.contains("lacks slashes") && !error.contains("unknown"), "{error}");
        }
        assert!("s4:/bucket".parse::<BucketUrl>().unwrap_err().to_string().contains("unknown scheme 's4'"));
    }

    #[test]
    fn a_modelled_store_refuses_what_it_does_not_take() {
        let error = "model+memory://?sed=7".parse::<BucketUrl>().unwrap_err().to_string();
        assert!(error.contains("'sed=7'") && error.contains("seed=N"), "{error}");
    }

    #[test]
    fn display_can_be_parsed_again() {
        for given in [
            "memory://",
            "/var/lib/eagre",
            "./eagre-data",
            "s3://bucket",
            "az://container/a/b",
            "model+memory://?seed=7&hedges=off",
        ] {
            assert_eq!(given.parse::<BucketUrl>().unwrap().to_string(), given);
        }
    }
}
