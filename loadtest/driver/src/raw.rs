//! What the machine itself gives at this minute: synced writes and loopback, without the service.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::Result;
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    process::usage,
    report::{GIB, MIB, latencies},
};

/// Raw rates.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Raw {
    /// A 4 KiB write and its fdatasync, median.
    pub fdatasync_4k_p50_ms: f64,
    /// The same, 99th percentile.
    pub fdatasync_4k_p99_ms: f64,
    /// One file after the other of 8 MiB, each written and synced: what a single upload at a time could reach.
    pub synced_write_mib_s: f64,
    /// What writing those files costs the processor, almost all of it the kernel's copy into the page cache.
    pub write_cpu_s_per_gib: f64,
    /// One TCP connection over loopback.
    pub loopback_mib_s: f64,
}

impl std::fmt::Display for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "raw: fdatasync 4 KiB p50 {:.2} p99 {:.2} ms, synced 8 MiB writes {:.0} MiB/s at {:.2} CPU-s/GiB, loopback {:.0} MiB/s",
            self.fdatasync_4k_p50_ms,
            self.fdatasync_4k_p99_ms,
            self.synced_write_mib_s,
            self.write_cpu_s_per_gib,
            self.loopback_mib_s
        )
    }
}

/// Each of the three takes about `time`, and writes at most 2 GiB below `folder`, which it removes.
pub fn measure(folder: &Path, time: Duration) -> Result<Raw> {
    let folder = tempfile::tempdir_in(folder)?;
    let (fdatasync_4k_p50_ms, fdatasync_4k_p99_ms) = fdatasync(folder.path(), time)?;
    let (synced_write_mib_s, write_cpu_s_per_gib) = synced_writes(folder.path(), time)?;
    Ok(Raw {
        fdatasync_4k_p50_ms,
        fdatasync_4k_p99_ms,
        synced_write_mib_s,
        write_cpu_s_per_gib,
        loopback_mib_s: loopback(time)?,
    })
}

fn fdatasync(folder: &Path, time: Duration) -> Result<(f64, f64)> {
    let mut file = File::create(folder.join("small"))?;
    let mut seen = latencies();
    let start = Instant::now();
    while start.elapsed() < time && seen.len() < 20_000 {
        let began = Instant::now();
        file.write_all(&[7; 4_096])?;
        file.sync_data()?;
        seen.saturating_record(u64::try_from(began.elapsed().as_nanos())?);
    }
    Ok((seen.value_at_quantile(0.5) as f64 / 1e6, seen.value_at_quantile(0.99) as f64 / 1e6))
}

/// MiB a second, and seconds of CPU time a GiB.
fn synced_writes(folder: &Path, time: Duration) -> Result<(f64, f64)> {
    const FILE: usize = 8 << 20;
    let chunk = vec![7; FILE];
    let mut files = 0;
    let cpu_before = usage("self")?.cpu_s;
    let start = Instant::now();
    while start.elapsed() < time && files < 256 {
        let mut file = File::create(folder.join(format!("large-{files}")))?;
        file.write_all(&chunk)?;
        file.sync_all()?;
        files += 1;
    }
    let bytes = f64::from(files) * FILE as f64;
    let cpu_s = usage("self")?.cpu_s - cpu_before;
    Ok((bytes / MIB / start.elapsed().as_secs_f64(), cpu_s * GIB / bytes))
}

fn loopback(time: Duration) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    let sending = thread::spawn(move || -> io::Result<()> {
        let chunk = vec![7; 1 << 20];
        let start = Instant::now();
        while start.elapsed() < time {
            sender.write_all(&chunk)?;
        }
        Ok(())
    });
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    let start = Instant::now();
    loop {
        match receiver.read(&mut buffer)? {
            0 => break,
            count => bytes += count,
        }
    }
    let rate = bytes as f64 / MIB / start.elapsed().as_secs_f64();
    sending.join().map_err(|_| anyhow::anyhow!("the sending thread died"))??;
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_measures_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let raw = measure(folder.path(), Duration::from_millis(30)).unwrap();
        assert!(raw.fdatasync_4k_p50_ms > 0.0 && raw.synced_write_mib_s > 0.0 && raw.loopback_mib_s > 0.0, "{raw}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
