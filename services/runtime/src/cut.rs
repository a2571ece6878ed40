//! What the service's settings say about how long records are gathered, and about the requests that they become.

use std::time::Duration;

use eagre_gateway::GatewaySettings;
use eagre_metadata::StoreSettings;
use eagre_objects::BucketKind;

use crate::node::NodeSettings;

const MIB: u64 = 1 << 20;

/// How a node over a bucket of one kind turns what comes in into requests.
#[derive(Debug, Clone)]
pub struct RequestPace {
    gateway: GatewaySettings,
    spill_bytes: u64,
    commits_per_second_max: f64,
}

impl RequestPace {
    /// Of a node as it is set over such a bucket.
    pub fn over(kind: BucketKind) -> Self {
        let store = match kind {
            BucketKind::Remote => StoreSettings::for_object_store(),
            BucketKind::Folder | BucketKind::Memory => StoreSettings::for_folder(),
        };
        let node = NodeSettings::for_bucket(kind);
        Self {
            spill_bytes: node.spill.bytes,
            gateway: node.gateway,
            commits_per_second_max: store.flush_interval_min.as_secs_f64().recip(),
        }
    }

    /// For how long records are gathered, at least and at most.
    pub fn gathers(&self) -> (Duration, Duration) {
        (self.gateway.inline_interval_min, self.gateway.cut_interval_max)
    }

    /// PUTs under a steady load, commits included. What is little travels inside of its commit: one PUT, and one for each few
    /// MiB of it later. What is more is a PUT of its own beside the commit. Commits share a PUT when they come quicker than
    /// flushes begin.
    pub fn puts_per_second(&self, mib_per_second: u64) -> f64 {
        let bytes = mib_per_second * MIB;
        let cuts = self.gateway.steady_cuts(bytes);
        let others = if cuts.are_inline { bytes as f64 / self.spill_bytes as f64 } else { cuts.per_second };
        cuts.per_second.min(self.commits_per_second_max) + others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What docs/operations.md says.
    #[test]
    fn an_object_store_costs_what_the_page_says() {
        let pace = RequestPace::over(BucketKind::Remote);
        let puts = [1, 10, 50, 400].map(|mib| pace.puts_per_second(mib));
        // 52.6 ms apart inside of commits; 115 ms apart, each beside its commit; 140 ms; full objects that share commits.
        for (puts, expected) in puts.into_iter().zip([19.20, 17.33, 14.29, 75.0]) {
            assert!((puts - expected).abs() < 0.01, "{puts} and not {expected}");
        }
    }
}
