//! What the service's settings say about the requests that it makes.

use eagre_gateway::GatewaySettings;
use eagre_objects::{BucketKind, check::price::Cut};

/// How a gateway over a bucket of this kind cuts what comes in into objects.
pub fn cut_over(kind: BucketKind) -> Cut {
    let settings = GatewaySettings::for_bucket(kind);
    Cut { interval: settings.cut_interval_min, object_bytes_max: settings.object_bytes_max }
}
