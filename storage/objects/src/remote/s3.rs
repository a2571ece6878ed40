//! `s3://`: Amazon S3 and what speaks its interface.

use std::sync::Arc;

use eagre_env::redacted;
use object_store::{
    ClientConfigKey,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
};

use super::{Asked, Remote, Trouble, Variables, pace};

/// What `object_store` signs for when nobody names a region.
const DEFAULT_REGION: &str = "us-east-1";

const CREDENTIALS: &str = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where there is one, AWS_SESSION_TOKEN";

/// Makes the client of a bucket by the `AWS_*` variables.
pub(super) fn open(bucket: &str, variables: &Variables) -> Result<Remote, Trouble> {
    let builder = builder(variables).with_bucket_name(bucket);
    let set = |key: &AmazonS3ConfigKey| builder.get_config_value(key);
    if let Some(profile) = value(variables, "AWS_PROFILE")
        && !names_credentials(&builder)
    {
        return Err(Trouble::Profile { profile: profile.into() });
    }
    let region = set(&AmazonS3ConfigKey::Region).unwrap_or_else(|| DEFAULT_REGION.into());
    let endpoint = set(&AmazonS3ConfigKey::S3Endpoint).or_else(|| set(&AmazonS3ConfigKey::Endpoint));
    if let Some(endpoint) = &endpoint {
        check_endpoint(endpoint, set(&AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp)))?;
    }
    let reached =
        endpoint.map(|endpoint| redacted(&endpoint)).unwrap_or_else(|| format!("Amazon S3 in region {region}"));
    let store = builder.build().map_err(|error| Trouble::Settings(redacted(&error.to_string())))?;
    Ok(Remote { store: Arc::new(store), asked: Asked { reached, region, variables: CREDENTIALS } })
}

fn builder(variables: &Variables) -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::new().with_retry(pace::repetitions());
    for (key, time) in pace::TIMES {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), time);
    }
    // A variable that it does not know is another tool's.
    let known = variables.iter().filter(|(name, _)| name.starts_with("AWS_"));
    known.fold(builder, |builder, (name, value)| match name.to_ascii_lowercase().parse() {
        Ok(key) => builder.with_config(key, value),
        Err(_) => builder,
    })
}

fn value<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    variables.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

/// Whether there is anything to sign with but the credentials of the machine.
fn names_credentials(builder: &AmazonS3Builder) -> bool {
    [
        AmazonS3ConfigKey::AccessKeyId,
        AmazonS3ConfigKey::SecretAccessKey,
        AmazonS3ConfigKey::WebIdentityTokenFile,
        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
        AmazonS3ConfigKey::ContainerCredentialsFullUri,
    ]
    .iter()
    .any(|key| builder.get_config_value(key).is_some())
}

fn check_endpoint(endpoint: &str, allow_http: Option<String>) -> Result<(), Trouble> {
    let parsed = endpoint.parse::<http::Uri>().ok();
    // What stands behind the host's colon and is no port passes as a URI, and ends in a panic of whoever signs requests to it.
    let has_port = |authority: &http::uri::Authority| {
        let place = authority.as_str().rsplit('@').next().unwrap_or_default();
        place == authority.host() || authority.port_u16().is_some()
    };
    let parsed = parsed.filter(|uri| uri.authority().is_some_and(has_port));
    let parts = parsed.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.host()?)));
    match parts {
        Some(("https", host)) if !host.is_empty() => Ok(()),
        // As object_store reads a truth value.
        Some(("http", host)) if !host.is_empty() => {
            match allow_http.unwrap_or_default().to_ascii_lowercase().as_str() {
                "1" | "true" | "on" | "yes" | "y" => Ok(()),
                _ => Err(Trouble::PlainHttp { endpoint: redacted(endpoint) }),
            }
        }
        _ => Err(Trouble::BadEndpoint { endpoint: redacted(endpoint) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];

    fn opened(variables: &[(&str, &str)]) -> Result<Remote, Trouble> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        open("bucket", &variables.iter().map(owned).collect())
    }

    fn refused(variables: &[(&str, &str)]) -> String {
        opened(variables).err().map(|trouble| trouble.to_string()).unwrap_or_else(|| panic!("{variables:?} was taken"))
    }

    #[test]
    fn the_usual_variables_are_read() {
        let endpoint = ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000/");
        let opened = |more: &[(&str, &str)]| opened(&[&KEYS[..], more].concat()).unwrap();
        assert_eq!(opened(&[("AWS_REGION", "eu-north-1")]).asked.reached, "Amazon S3 in region eu-north-1");
        assert_eq!(opened(&[("AWS_DEFAULT_REGION", "eu-west-3")]).asked.region, "eu-west-3");
        assert_eq!(opened(&[]).asked.region, DEFAULT_REGION);
        assert_eq!(opened(&[endpoint, ("AWS_ALLOW_HTTP", "TRUE")]).asked.reached, endpoint.1);
        let s3 = ("AWS_ENDPOINT_URL_S3", "https://s3.example.org");
        assert_eq!(opened(&[s3, endpoint, ("AWS_SESSION_TOKEN", "t"), ("AWS_PAGER", "less")]).asked.reached, s3.1);
    }

    #[test]
    fn what_cannot_work_is_refused_before_a_request() {
        for (variables, part) in [
            (&[("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")][..], "unencrypted"),
            (&[("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"), ("AWS_ALLOW_HTTP", "no")], "unencrypted"),
            (&[("AWS_ENDPOINT_URL", "127.0.0.1:9000")], "'127.0.0.1:9000' is no URL"),
            (&[("AWS_ENDPOINT_URL", "ftp://there")], "no URL"),
            (&[("AWS_ENDPOINT_URL_S3", "https://")], "no URL"),
            (&[("AWS_ENDPOINT_URL", "https://127.0.0.1:99999")], "no URL"),
            (&[("AWS_ENDPOINT_URL", "https://there:abc")], "no URL"),
            (&[("AWS_ENDPOINT_URL", "https://there:")], "no URL"),
            (&[("AWS_ENDPOINT_URL", "https://me:hu/sh@there:9000")], "me:*****@there"),
            (&[("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "perhaps")], "perhaps"),
            (&[("AWS_TIMEOUT", "soon")], "soon"),
        ] {
            let text = refused(&[&KEYS[..], variables].concat());
            assert!(text.contains(part), "{variables:?}: {text}");
        }
        assert!(refused(&KEYS[..1]).contains("SecretAccessKey"));
        assert!(refused(&KEYS[1..]).contains("AccessKeyId"));
        assert!(refused(&[("AWS_PROFILE", "work")]).contains("'work'"));
        // Keys win over a profile, as in the provider's own tools.
        assert!(opened(&[&KEYS[..], &[("AWS_PROFILE", "work")]].concat()).is_ok());
    }
}
