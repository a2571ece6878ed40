//! What the machine itself gives at this minute: synced writes and loopback, without any service.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use eagre_report::Raw;
use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::MIB;

/// Each of the three takes about `time`, and writes at most 2 GiB below `folder`, which it removes.
pub fn measure(folder: &Path, time: Duration) -> Result<Raw> {
    let cannot = || format!("cannot write to {}", folder.display());
    let inner = tempfile::tempdir_in(folder).with_context(cannot)?;
    let (fdatasync_p50_ms, fdatasync_p99_ms) = fdatasync(inner.path(), time).with_context(cannot)?;
    let synced_write_mib_s = synced_writes(inner.path(), time).with_context(cannot)?;
    Ok(Raw { fdatasync_p50_ms, fdatasync_p99_ms, synced_write_mib_s, loopback_mib_s: loopback(time)? })
}

fn fdatasync(folder: &Path, time: Duration) -> Result<(f64, f64)> {
    let mut file = File::create(folder.join("small"))?;
    let mut seen = Histogram::<u64>::new(3)?;
    let start = Instant::now();
    while start.elapsed() < time && seen.len() < 20_000 {
        let began = Instant::now();
        file.write_all(&[7; 4_096])?;
        file.sync_data()?;
        seen.record(u64::try_from(began.elapsed().as_nanos())?)?;
    }
    Ok((seen.value_at_quantile(0.5) as f64 / 1e6, seen.value_at_quantile(0.99) as f64 / 1e6))
}

/// MiB a second.
fn synced_writes(folder: &Path, time: Duration) -> Result<f64> {
    const FILE: usize = 8 << 20;
    let chunk = vec![7; FILE];
    let mut files = 0;
    let start = Instant::now();
    while start.elapsed() < time && files < 256 {
        let mut file = File::create(folder.join(format!("large-{files}")))?;
        file.write_all(&chunk)?;
        file.sync_all()?;
        files += 1;
    }
    Ok(f64::from(files) * FILE as f64 / MIB / start.elapsed().as_secs_f64())
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
        assert!(raw.fdatasync_p50_ms > 0.0 && raw.synced_write_mib_s > 0.0 && raw.loopback_mib_s > 0.0, "{raw:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
