//! Metrics of the process itself: its build, what it takes of the machine, its tasks.

mod process;

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::runtime::{Handle, RuntimeMetrics};

/// Upper bounds of the buckets of histograms in seconds: from a read out of memory to a store that hangs.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 4.0, 16.0];
/// Of those in bytes: from one small record to an object as large as they get.
const BYTES: [f64; 9] =
    [1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 8_388_608.0, 16_777_216.0];
/// Of those that count things.
const COUNTS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

const BUILD: &str = "eagre_build_info";
const TASKS: &str = "eagre_runtime_tasks";
const QUEUE: &str = "eagre_runtime_queue";
const WORKERS: &str = "eagre_runtime_workers";
const BUSY: &str = "eagre_runtime_busy_microseconds_total";

/// Which build runs.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// As in `Cargo.toml`.
    pub version: &'static str,
    /// Abbreviated; `unknown` where it was not built from a repository.
    pub commit: &'static str,
}

/// Makes Prometheus' the recorder of the process.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    // What is given no buckets would be a summary, which cannot be added up over processes.
    PrometheusBuilder::new()
        .set_buckets(&COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".into()), &BYTES)?
        .install_recorder()
}

/// Measures the process and its main runtime.
pub(crate) struct ProcessMetrics {
    runtime: RuntimeMetrics,
}

impl ProcessMetrics {
    /// Of the present runtime, in a process that may take so much memory.
    pub fn start(build: Build, memory_limit_bytes: usize) -> Self {
        describe_gauge!(BUILD, "1, with the version and commit that runs");
        describe_gauge!(TASKS, "Tasks that are alive");
        describe_gauge!(QUEUE, "Tasks that are ready and wait for any worker");
        describe_gauge!(WORKERS, "Worker threads");
        describe_counter!(BUSY, Unit::Microseconds, "Time that workers were busy, in all");
        gauge!(BUILD, "version" => build.version, "commit" => build.commit).set(1.0);
        process::describe();
        process::limit(memory_limit_bytes);
        Self { runtime: Handle::current().metrics() }
    }

    /// To be called before metrics are read.
    #[expect(clippy::cast_precision_loss, reason = "a metric may be rounded above 2^53")]
    pub fn update(&self) {
        if let Err(error) = process::update() {
            // Only where there is no /proc, and then always.
            tracing::debug!(%error, "the process cannot be measured");
        }
        let runtime = &self.runtime;
        gauge!(TASKS).set(runtime.num_alive_tasks() as f64);
        gauge!(QUEUE).set(runtime.global_queue_depth() as f64);
        gauge!(WORKERS).set(runtime.num_workers() as f64);
        let busy: Duration = (0..runtime.num_workers()).map(|worker| runtime.worker_total_busy_duration(worker)).sum();
        counter!(BUSY).absolute(u64::try_from(busy.as_micros()).unwrap_or(u64::MAX));
    }
}
