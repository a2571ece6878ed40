//! `gs://`: Google Cloud Storage.

use std::sync::Arc;

use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};

use super::{Asked, Remote, Trouble, Variables, pace};

const CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// Makes the client of a bucket by the `GOOGLE_*` variables, or by the machine's own credentials.
pub(super) fn open(bucket: &str, variables: &Variables) -> Result<Remote, Trouble> {
    let mut builder = GoogleCloudStorageBuilder::new().with_retry(pace::repetitions());
    for (key, time) in pace::TIMES {
        builder = builder.with_config(GoogleConfigKey::Client(key), time);
    }
    for (name, value) in variables.iter().filter(|(name, _)| name.starts_with("GOOGLE_")) {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    // The name that Google's own tools read; object_store reads GOOGLE_SERVICE_ACCOUNT.
    if let Some((_, path)) = variables.iter().find(|(name, _)| name == "GOOGLE_APPLICATION_CREDENTIALS") {
        builder = builder.with_application_credentials(path);
    }
    let store = builder.with_bucket_name(bucket).build().map_err(|error| Trouble::Settings(error.to_string()))?;
    let asked = Asked { reached: "Google Cloud Storage".into(), region: String::new(), variables: CREDENTIALS };
    Ok(Remote { store: Arc::new(store), asked })
}
