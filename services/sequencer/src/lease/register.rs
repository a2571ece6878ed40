//! The claims of a shard as objects: the only module that reads and writes them.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use eagre_env::Env;
use eagre_model::ShardId;
use eagre_objects::{Bucket, CreateOutcome, GetError, PutError};
use futures::TryStreamExt;
use tokio::time::timeout;

use super::claim::{self, BODY_BYTES_MAX, Claim, ClaimFormatError, Named};

/// A request to the bucket that takes longer is given up: its outcome is unknown.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a creation of unknown outcome is looked into.
const SETTLE_ATTEMPTS: u32 = 8;
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

/// The claims of one shard.
#[derive(Clone)]
pub struct Register {
    bucket: Bucket,
    shard: ShardId,
}

/// Why the claims could not be read or written. Nothing is known then.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The bucket did not list them.
    #[error("cannot list the claims: {0}")]
    List(#[from] object_store::Error),
    /// The bucket did not give one.
    #[error(transparent)]
    Get(#[from] GetError),
    /// The bucket did not take one.
    #[error(transparent)]
    Put(#[from] PutError),
    /// The bucket did not answer in time.
    #[error("the bucket did not answer within {REQUEST_TIMEOUT:?}")]
    Timeout,
}

/// All claims of a shard, as one LIST saw them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The highest claim; `None` when there is none.
    pub newest: Option<u64>,
    /// Claims whose holders stepped down.
    pub stepped_down: BTreeSet<u64>,
}

/// What came of an attempt to create a claim.
#[derive(Debug)]
pub enum Created {
    /// It exists and is ours.
    Ours,
    /// A rival was first.
    Rival,
}

/// A claim as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is no such claim.
    Absent,
    /// There is one; its body may be unreadable.
    Present(Result<Claim, ClaimFormatError>),
}

impl Register {
    /// The register of a shard.
    pub fn new(bucket: Bucket, shard: ShardId) -> Self {
        Self { bucket, shard }
    }

    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Lists all claims. Costs a LIST: called once at start.
    pub async fn list(&self) -> Result<Listed, RegisterError> {
        let mut listed = Listed::default();
        let store = self.bucket.store();
        let mut objects = store.list(Some(&claim::prefix(self.shard).into()));
        while let Some(object) = bounded(objects.try_next()).await? {
            match object.location.filename().and_then(claim::named) {
                Some(Named::Claim(number)) => listed.newest = listed.newest.max(Some(number)),
                Some(Named::SteppedDown(number)) => {
                    listed.stepped_down.insert(number);
                }
                None => {}
            }
        }
        Ok(listed)
    }

    /// Reads a claim.
    pub async fn read(&self, number: u64) -> Result<Found, RegisterError> {
        let key = claim::key(self.shard, number);
        match bounded(self.bucket.get(&key, BODY_BYTES_MAX)).await {
            Ok(body) => Ok(Found::Present(Claim::decode(&body).and_then(|claim| self.expect(number, claim)))),
            Err(RegisterError::Get(GetError::Missing { .. })) => Ok(Found::Absent),
            Err(RegisterError::Get(error @ GetError::TooLong { .. })) => {
                Ok(Found::Present(Err(ClaimFormatError::Malformed(error.to_string()))))
            }
            Err(error) => Err(error),
        }
    }

    fn expect(&self, number: u64, claim: Claim) -> Result<Claim, ClaimFormatError> {
        let own = claim.shard == self.shard && claim.number == number;
        if own { Ok(claim) } else { Err(ClaimFormatError::Malformed("it is that of another shard or number".into())) }
    }

    /// Creates a claim unless it exists. An unknown outcome is settled by the nonce. Where that fails too, the claim may
    /// yet turn up; it then has a holder that does not know of it, which a rival finds out by its ping.
    pub async fn create(&self, env: &Env, claim: &Claim) -> Result<Created, RegisterError> {
        let key = claim::key(self.shard, claim.number);
        let body = Bytes::from(claim.encode());
        let mut attempts = 0;
        loop {
            env.fail_point("claim.before").await;
            let put = bounded(self.bucket.create(&key, body.clone())).await;
            env.fail_point("claim.after").await;
            let error = match put {
                Ok(CreateOutcome::Created) => return Ok(Created::Ours),
                Ok(CreateOutcome::Exists { .. }) => return Ok(Created::Rival),
                Err(error) => error,
            };
            match self.read(claim.number).await {
                Ok(Found::Present(Ok(found))) if found.nonce == claim.nonce => return Ok(Created::Ours),
                Ok(Found::Present(_)) => return Ok(Created::Rival),
                Ok(Found::Absent) | Err(_) => {}
            }
            attempts += 1;
            if attempts == SETTLE_ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(SETTLE_PAUSE * attempts).await;
        }
    }

    /// Says for good that neither this claim nor any before it is used any more.
    pub async fn mark_stepped_down(&self, number: u64) -> Result<(), RegisterError> {
        let key = claim::marker_key(self.shard, number);
        bounded(self.bucket.put(&key, Bytes::new())).await
    }

    /// Whether the marker of a claim is there.
    pub async fn has_stepped_down(&self, number: u64) -> Result<bool, RegisterError> {
        match bounded(self.bucket.length_bytes(&claim::marker_key(self.shard, number))).await {
            Ok(_) => Ok(true),
            Err(RegisterError::Get(GetError::Missing { .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl std::fmt::Debug for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Register").field("shard", &self.shard).finish_non_exhaustive()
    }
}

async fn bounded<T, E>(request: impl Future<Output = Result<T, E>>) -> Result<T, RegisterError>
where
    RegisterError: From<E>,
{
    match timeout(REQUEST_TIMEOUT, request).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(RegisterError::Timeout),
    }
}
