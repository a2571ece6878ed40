//! What the process takes of the machine, under the names that Prometheus' own clients use. Read from `/proc`.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use procfs::{
    ProcError, boot_time_secs, page_size,
    process::{LimitValue, Process},
    ticks_per_second,
};

const CPU: &str = "process_cpu_seconds_total";
const RESIDENT: &str = "process_resident_memory_bytes";
const LIMIT: &str = "eagre_memory_limit_bytes";
const VIRTUAL: &str = "process_virtual_memory_bytes";
const FILES: &str = "process_open_fds";
const FILES_MAX: &str = "process_max_fds";
const THREADS: &str = "process_threads";
const STARTED: &str = "process_start_time_seconds";

/// What it may take, which does not change.
#[expect(clippy::cast_precision_loss, reason = "a metric may be rounded above 2^53")]
pub(super) fn limit(bytes: usize) {
    gauge!(LIMIT).set(bytes as f64);
}

pub(super) fn describe() {
    describe_counter!(CPU, Unit::Seconds, "Processor time, in whole seconds");
    describe_gauge!(RESIDENT, Unit::Bytes, "Memory in use");
    describe_gauge!(LIMIT, Unit::Bytes, "How much memory it may take");
    describe_gauge!(VIRTUAL, Unit::Bytes, "Address space");
    describe_gauge!(FILES, "Open files and sockets");
    describe_gauge!(FILES_MAX, "How many of them there may be");
    describe_gauge!(THREADS, "Threads");
    describe_gauge!(STARTED, Unit::Seconds, "When the process began, in seconds since 1970");
}

/// Reads them all.
///
/// # Errors
/// There is no `/proc`.
#[expect(clippy::cast_precision_loss, reason = "a metric may be rounded above 2^53")]
pub(super) fn update() -> Result<(), ProcError> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let ticks = ticks_per_second();
    counter!(CPU).absolute((stat.utime + stat.stime) / ticks);
    gauge!(RESIDENT).set((stat.rss * page_size()) as f64);
    gauge!(VIRTUAL).set(stat.vsize as f64);
    gauge!(THREADS).set(stat.num_threads as f64);
    gauge!(STARTED).set(boot_time_secs()? as f64 + stat.starttime as f64 / ticks as f64);
    gauge!(FILES).set(process.fd_count()? as f64);
    gauge!(FILES_MAX).set(match process.limits()?.max_open_files.soft_limit {
        LimitValue::Value(limit) => limit as f64,
        LimitValue::Unlimited => f64::INFINITY,
    });
    Ok(())
}
