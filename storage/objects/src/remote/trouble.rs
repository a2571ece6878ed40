//! What a person can mend when a bucket behind a network does not answer well.

use std::error::Error;

use object_store::{
    Error as StoreError,
    client::{HttpError, HttpErrorKind},
};

use crate::Scheme;

/// Why a bucket behind a network cannot be used. [`Trouble::advice`] says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// This program was built without that kind of bucket.
    #[error("this program was built without {scheme}:// buckets")]
    NotBuiltIn {
        /// What stands before `://`.
        scheme: &'static str,
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// What the environment says cannot be used.
    #[error("its settings in the environment cannot be used: {0}")]
    Settings(String),
    /// The endpoint is no URL.
    #[error("the endpoint '{endpoint}' is no URL")]
    BadEndpoint {
        /// As given.
        endpoint: String,
    },
    /// The endpoint is not encrypted, and nobody said that it may be so.
    #[error("the endpoint '{endpoint}' is unencrypted: data and signatures could be read on the way")]
    PlainHttp {
        /// As given.
        endpoint: String,
    },
    /// A profile is named and nothing else; profiles are not read.
    #[error("AWS_PROFILE names the profile '{profile}', but files of profiles are not read")]
    Profile {
        /// As given.
        profile: String,
    },
    /// No credentials were given and the machine has none.
    #[error("there are no credentials: none in the environment, and this machine has no role that gives them")]
    NoCredentials {
        /// The variables that usually hold them.
        variables: &'static str,
    },
    /// The store does not know the credentials.
    #[error("{reached} does not accept the credentials ({code})")]
    WrongCredentials {
        /// Where it was asked.
        reached: String,
        /// What the store calls it.
        code: String,
        /// The variables that usually hold them.
        variables: &'static str,
    },
    /// The credentials are known and not enough.
    #[error("{reached} does not allow it ({code})")]
    Denied {
        /// Where it was asked.
        reached: String,
        /// What the store calls it.
        code: String,
    },
    /// The clocks of this machine and of the store differ.
    #[error("{reached} refuses requests because of this machine's clock")]
    ClockSkewed {
        /// Where it was asked.
        reached: String,
    },
    /// There is no such bucket.
    #[error("{reached} has no such bucket")]
    NoSuchBucket {
        /// Where it was asked.
        reached: String,
    },
    /// The bucket is in another region.
    #[error("the bucket is not in the region {used}{}", .right.as_ref().map_or_else(String::new, |right| format!(" but in {right}")))]
    WrongRegion {
        /// The region that was signed for.
        used: String,
        /// Where the bucket is, when the store says so.
        right: Option<String>,
    },
    /// Nobody answers there.
    #[error("{reached} cannot be reached: {detail}")]
    Unreachable {
        /// Where it was asked.
        reached: String,
        /// What the network said.
        detail: String,
    },
}

impl Trouble {
    /// What keeps this program from buckets of that kind, if it was built without them.
    pub fn of_build(scheme: Scheme) -> Option<Self> {
        let missing = match scheme {
            Scheme::S3 => None,
            Scheme::Gs => (!cfg!(feature = "gcp")).then_some("gcp"),
            Scheme::Az => (!cfg!(feature = "azure")).then_some("azure"),
        };
        missing.map(|feature| Self::NotBuiltIn { scheme: scheme.name(), feature })
    }

    /// What to do about it.
    pub fn advice(&self) -> String {
        match self {
            Self::NotBuiltIn { feature, .. } => format!("build it with `cargo build --release --features {feature}`"),
            Self::Settings(_) => "correct the variable that it names; docs/object-stores.md lists them".into(),
            Self::BadEndpoint { .. } => "set AWS_ENDPOINT_URL to something like https://s3.example.org:9000".into(),
            Self::PlainHttp { .. } => {
                "take an https:// endpoint, or set AWS_ALLOW_HTTP=true where nobody listens, as on this machine".into()
            }
            Self::Profile { profile } => {
                format!("run `eval \"$(aws configure export-credentials --profile {profile} --format env)\"` first")
            }
            Self::NoCredentials { variables } => format!("set {variables}; docs/object-stores.md has the other ways"),
            Self::WrongCredentials { variables, .. } => {
                format!("check {variables}, and that they belong to this endpoint")
            }
            Self::Denied { .. } => {
                "the credentials need to get, put and delete objects and to list the bucket (s3:GetObject, s3:PutObject, \
                 s3:DeleteObject, s3:ListBucket)"
                    .into()
            }
            Self::ClockSkewed { .. } => "set this machine's clock, best by NTP".into(),
            Self::NoSuchBucket { .. } => {
                "make the bucket first, with `aws s3 mb` or what its provider has; or check its name and the endpoint \
                 (AWS_ENDPOINT_URL)"
                    .into()
            }
            Self::WrongRegion { right: Some(right), .. } => format!("set AWS_REGION={right}"),
            Self::WrongRegion { right: None, .. } => "set AWS_REGION to the bucket's region".into(),
            Self::Unreachable { .. } => {
                "check the endpoint (AWS_ENDPOINT_URL) and the network; SSL_CERT_FILE names the certificate of an authority of \
                 your own"
                    .into()
            }
        }
    }
}

/// Whom a request was sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Where it is reached, for people: an endpoint, or the provider's name and region.
    pub(super) reached: String,
    /// The region that requests are signed for; of S3 alone.
    pub(super) region: String,
    /// The variables that usually hold its credentials.
    pub(super) variables: &'static str,
}

/// The addresses where a cloud's machines and containers are given their credentials.
const METADATA_ADDRESSES: [&str; 3] = ["169.254.169.254", "169.254.170.2", "metadata.google.internal"];

/// What `object_store` writes before the status and the body of an answer. It keeps the types of such errors to itself, so
/// their text has to do; the end-to-end tests against a real server notice when a new version writes another.
const ANSWERED: &str = "Server returned non-2xx status code: ";
const REDIRECTED: &str = "Received redirect without LOCATION";

/// Says what an error of the client means, when it is one of the above.
pub(super) fn explain(error: &StoreError, asked: &Asked) -> Option<Trouble> {
    let causes = || std::iter::successors(Some(error as &(dyn Error + 'static)), cause_of);
    if causes().any(|cause| METADATA_ADDRESSES.iter().any(|address| cause.to_string().contains(address))) {
        return Some(Trouble::NoCredentials { variables: asked.variables });
    }
    for cause in causes() {
        if let Some(error) = cause.downcast_ref::<HttpError>() {
            return match error.kind() {
                HttpErrorKind::Connect | HttpErrorKind::Timeout => {
                    let innermost = causes().last().map(ToString::to_string).unwrap_or_default();
                    Some(Trouble::Unreachable { reached: asked.reached.clone(), detail: innermost })
                }
                _ => None,
            };
        }
        let text = cause.to_string();
        if text.contains(REDIRECTED) {
            return Some(Trouble::WrongRegion { used: asked.region.clone(), right: None });
        }
        if let Some((_, answer)) = text.split_once(ANSWERED) {
            let status = answer.split(' ').next().and_then(|status| status.parse().ok())?;
            return of_answer(status, answer, asked);
        }
    }
    None
}

fn cause_of<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    (*error).source()
}

fn of_answer(status: u16, body: &str, asked: &Asked) -> Option<Trouble> {
    let code = element(body, "Code").unwrap_or("");
    let (reached, shown) = (asked.reached.clone(), if code.is_empty() { status.to_string() } else { code.to_owned() });
    match (code, status) {
        ("NoSuchBucket" | "ContainerNotFound", _) => Some(Trouble::NoSuchBucket { reached }),
        ("RequestTimeTooSkewed", _) => Some(Trouble::ClockSkewed { reached }),
        (
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "TemporaryRedirect"
            | "IllegalLocationConstraintException",
            _,
        )
        | (_, 301 | 307) => {
            let right = element(body, "Region").filter(|right| *right != asked.region).map(str::to_owned);
            Some(Trouble::WrongRegion { used: asked.region.clone(), right })
        }
        (
            "InvalidAccessKeyId"
            | "XAdminUserNotFound"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "ExpiredToken"
            | "TokenRefreshRequired"
            | "InvalidSecurity"
            | "AuthenticationFailed",
            _,
        )
        | (_, 401) => Some(Trouble::WrongCredentials { reached, code: shown, variables: asked.variables }),
        (_, 403) => Some(Trouble::Denied { reached, code: shown }),
        _ => None,
    }
}

/// The text of the first XML element of this name.
fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLES: &str = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN";

    fn asked() -> Asked {
        Asked { reached: "there".into(), region: "us-east-1".into(), variables: VARIABLES }
    }

    fn answer(status: u16, body: &str) -> Option<String> {
        of_answer(status, body, &asked()).map(|trouble| format!("{trouble}; {}", trouble.advice()))
    }

    #[test]
    fn answers_are_told_apart_and_say_what_to_do() {
        let error = |code: &str, more: &str| {
            format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>m</Message>{more}</Error>")
        };
        for (status, body, parts) in [
            (404, error("NoSuchBucket", ""), ["there has no such bucket", "make the bucket"]),
            (403, error("InvalidAccessKeyId", ""), ["InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"]),
            (403, error("SignatureDoesNotMatch", ""), ["SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"]),
            (400, error("ExpiredToken", ""), ["ExpiredToken", "AWS_SESSION_TOKEN"]),
            (403, error("AccessDenied", ""), ["AccessDenied", "s3:ListBucket"]),
            (403, String::new(), ["(403)", "s3:ListBucket"]),
            (404, error("XAdminUserNotFound", ""), ["XAdminUserNotFound", "AWS_ACCESS_KEY_ID"]),
            (401, String::new(), ["(401)", "AWS_ACCESS_KEY_ID"]),
            (403, error("RequestTimeTooSkewed", ""), ["clock", "NTP"]),
            (301, String::new(), ["not in the region us-east-1", "AWS_REGION to"]),
            (
                400,
                error("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
                ["not in the region us-east-1 but in eu-west-1", "AWS_REGION=eu-west-1"],
            ),
        ] {
            let said = answer(status, &body).unwrap_or_else(|| panic!("{status} {body}"));
            assert!(parts.iter().all(|part| said.contains(part)), "{status} {body}: {said}");
        }
        for (status, code) in [(404, "NoSuchKey"), (500, "InternalError"), (503, "SlowDown"), (400, "InvalidArgument")]
        {
            assert_eq!(answer(status, &error(code, "")), None, "{status} {code}");
        }
        assert_eq!(answer(500, "<Code>cut off"), None);
    }

    #[test]
    fn an_answer_is_found_in_the_text_of_an_error() {
        let explained = |source: &str| {
            let error = StoreError::Generic { store: "S3", source: source.into() };
            explain(&error, &asked())
        };
        let body = "403 Forbidden: <Error><Code>InvalidAccessKeyId</Code></Error>";
        let expected = Trouble::WrongCredentials {
            reached: "there".into(),
            code: "InvalidAccessKeyId".into(),
            variables: VARIABLES,
        };
        assert_eq!(explained(&format!("Error performing GET http://x - {ANSWERED}{body}")), Some(expected));
        let wrong_region = Trouble::WrongRegion { used: "us-east-1".into(), right: None };
        assert_eq!(explained(&format!("Error performing GET http://x - {REDIRECTED}, this")), Some(wrong_region));
        let token = "Error performing PUT http://169.254.169.254/latest/api/token in 1s";
        assert_eq!(explained(token), Some(Trouble::NoCredentials { variables: VARIABLES }));
        assert_eq!(explained(&format!("{ANSWERED}503 Service Unavailable: SlowDown")), None);
        assert_eq!(explained("anything else"), None);
    }
}
