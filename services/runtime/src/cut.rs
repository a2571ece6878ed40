//! What the service's settings say about the requests that it makes.

use eagre_gateway::{GatewaySettings, LARGE_OBJECT_BYTES};
use eagre_metadata::StoreSettings;
use eagre_objects::{BucketKind, check::price::Cut};
use eagre_sequencer::SpillSettings;

/// How a node over a bucket of this kind turns what comes in into requests.
pub fn cut_over(kind: BucketKind) -> Cut {
    let settings = GatewaySettings::for_bucket(kind);
    let store = match kind {
        BucketKind::Remote => StoreSettings::for_object_store(),
        BucketKind::Folder | BucketKind::Memory => StoreSettings::for_folder(),
    };
    Cut {
        inline_bytes_max: settings.inline_bytes_max,
        inline_interval_min: settings.inline_interval_min,
        spill_bytes: SpillSettings::default().bytes,
        interval_min: settings.cut_interval_min,
        interval_max: settings.cut_interval_max,
        large_bytes: LARGE_OBJECT_BYTES,
        object_bytes_max: settings.object_bytes_max,
        commit_interval_min: store.flush_interval_min,
    }
}
