//! `az://`: Azure Blob Storage.

use std::sync::Arc;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use super::{Asked, Remote, Trouble, Variables, pace};

const CREDENTIALS: &str = "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY";

/// Makes the client of a container by the `AZURE_*` variables; `AZURE_STORAGE_ACCOUNT_NAME` says whose container it is.
pub(super) fn open(container: &str, variables: &Variables) -> Result<Remote, Trouble> {
    let mut builder = MicrosoftAzureBuilder::new().with_retry(pace::repetitions());
    for (key, time) in pace::TIMES {
        builder = builder.with_config(AzureConfigKey::Client(key), time);
    }
    for (name, value) in variables.iter().filter(|(name, _)| name.starts_with("AZURE_")) {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    let store = builder.with_container_name(container).build().map_err(|error| Trouble::Settings(error.to_string()))?;
    let asked = Asked { reached: "Azure Blob Storage".into(), region: String::new(), variables: CREDENTIALS };
    Ok(Remote { store: Arc::new(store), asked })
}
