//! The bucket: the only thing that Eagre depends on and keeps anything in.
//!
//! [`Bucket::open`] opens a folder or memory by its [`BucketUrl`]; [`Bucket::from_store`] takes any other
//! [`object_store::ObjectStore`], the simulation's among them. Every request goes through one instrumented store, those of
//! SlateDB too. What Eagre relies on is written down as checks in [`check`], which any store can be put to.

mod brief;
mod bucket;
pub mod check;
mod folder;
mod instrumented;
mod marker;
mod modelled;
mod open;
mod presence;
mod price;
mod remote;
mod resilient;
mod url;

pub use bucket::{Bucket, BucketKind, CreateOutcome, GetError, PutError, Ranged};
pub use instrumented::{BYTES_TOTAL, ESTIMATED_NANODOLLARS_TOTAL, REQUEST_SECONDS, REQUESTS_TOTAL};
pub use marker::{BUCKET_FORMAT, MARKER_KEY, Marker, MarkerError};
pub use modelled::{ModelUrl, ModelUrlError};
pub use open::{OpenError, Unopened};
pub use presence::Presence;
pub use remote::Trouble;
pub use resilient::{
    SlowDown,
    telemetry::{
        AVAILABLE, CREATES_MET_TOTAL, GIVEN_UP_TOTAL, HEDGES_TOTAL, IN_FLIGHT, IN_FLIGHT_LIMIT, RETRIES_TOTAL,
        THROTTLED_TOTAL, TIMEOUTS_TOTAL,
    },
};
pub use url::{BucketUrl, BucketUrlError, RemoteUrl, Scheme};
