//! Finding out, once in the life of a bucket behind a network, whether it is safe to keep records in.

use std::time::Duration;

use eagre_env::Env;
use tokio::time::timeout;

use super::{OpenError, Unopened};
use crate::{
    GetError,
    bucket::{get, put},
    check::{CREATE_RACES, Check, Outcome, Plan, RECORD_BYTES_MAX, RECORD_KEY, Record},
};

/// The races take a second or two where a request takes 50 ms.
const RACES_MAX: Duration = Duration::from_secs(120);
const CLEAN_UP_MAX: Duration = Duration::from_secs(30);

/// Whether conditional overwrites can be relied on too; by the record in the bucket, or by races that are run now.
///
/// # Errors
///
/// The bucket fails the races, or they cannot be run.
pub(super) async fn read_or_make(env: &Env, unopened: &Unopened) -> Result<bool, OpenError> {
    match get(unopened.store.as_ref(), RECORD_KEY, RECORD_BYTES_MAX).await {
        Ok(bytes) => {
            if let Some(record) = Record::decode(&bytes) {
                return Ok(record.has_conditional_overwrite());
            }
        }
        Err(GetError::Missing { .. } | GetError::TooLong { .. } | GetError::Short { .. }) => {}
        Err(GetError::Failed { source, .. }) => return Err(unopened.failed(source)),
    }
    let check = Check::new(env, unopened.store());
    // A write that is refused has a reason that can be told; in a race it would be one error of many.
    check.write().await.map_err(|error| unopened.failed(error))?;
    let (bucket, plan) = (unopened.name.clone(), Plan::races());
    tracing::info!(bucket, "finding out whether the bucket is safe, which is done once");
    let report = timeout(RACES_MAX, check.run(&plan, |_| ())).await;
    match timeout(CLEAN_UP_MAX, check.clean_up()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(bucket, error, "what the races wrote is left in the bucket"),
        Err(_) => tracing::warn!(bucket, "what the races wrote is left in the bucket: deleting it took too long"),
    }
    let Ok(report) = report else {
        return Err(OpenError::Unproven { bucket, detail: format!("the races took more than {RACES_MAX:?}") });
    };
    match report.outcome(CREATE_RACES) {
        Some(Outcome::Right) => {}
        Some(Outcome::Wrong(detail)) => return Err(OpenError::Unsafe { bucket, detail: detail.clone() }),
        Some(Outcome::Unsupported) => {
            return Err(OpenError::Unsafe { bucket, detail: "it cannot create a key only if it is absent".into() });
        }
        Some(Outcome::Unknown(detail)) => return Err(OpenError::Unproven { bucket, detail: detail.clone() }),
        None => return Err(OpenError::Unproven { bucket, detail: "the races were not run".into() }),
    }
    let record = Record::new(env, &plan, &report);
    put(unopened.store.as_ref(), RECORD_KEY, record.encode().into())
        .await
        .map_err(|error| unopened.failed(error.source))?;
    tracing::info!(
        bucket,
        conditional_overwrite = record.has_conditional_overwrite(),
        "the bucket has passed its races"
    );
    Ok(record.has_conditional_overwrite())
}
