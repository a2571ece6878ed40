//! `machine`: what it gives without any service.

use anyhow::Result;

use super::say;
use crate::{cli::Machine, system::raw};

/// Prints a line for people and one of JSON.
pub fn run(options: &Machine) -> Result<()> {
    let raw = raw::measure(&options.folder, options.time.into())?;
    say(&format!(
        "fdatasync of 4 KiB p50 {:.2} p99 {:.2} ms, synced writes of 8 MiB {:.0} MiB/s, loopback {:.0} MiB/s",
        raw.fdatasync_p50_ms, raw.fdatasync_p99_ms, raw.synced_write_mib_s, raw.loopback_mib_s
    ))?;
    say(&serde_json::to_string(&raw)?)
}
