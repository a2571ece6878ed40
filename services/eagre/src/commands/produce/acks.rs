//! The outcomes of records: counted, and written to a file as they come.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    thread,
    time::Duration,
};

use eagre_client::{Report, Reports, SendError};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

/// How long a line waits for others to share a write.
const FLUSH_INTERVAL: Duration = Duration::from_millis(20);
/// So much is written at once.
const FLUSH_BYTES: usize = 256 << 10;
/// Writes between us and the thread that writes.
const BLOCKS_MAX: usize = 4;

/// What became of the records so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Acknowledged records.
    pub acked: u64,
    /// The first line among those that failed, and why.
    pub first_failure: Option<(u64, SendError)>,
    /// Some records may have been appended, though that is not known.
    pub has_unknown: bool,
    /// Why acks cannot be written any more.
    pub write_error: Option<String>,
}

/// Whether it is of no use to go on.
pub fn is_over(tally: &Tally) -> bool {
    tally.first_failure.is_some() || tally.write_error.is_some()
}

/// Takes reports until there are no more, tells everyone of the tally, and writes `partition offset line` of each
/// acknowledged record.
pub async fn take_reports(mut reports: Reports, mut log: Option<AckLog>, tally: watch::Sender<Tally>) {
    let mut flush_at = None;
    loop {
        let flush = async {
            match flush_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let report = tokio::select! {
            report = reports.next() => report,
            () = flush => {
                flush_at = None;
                flush_log(&mut log, &tally).await;
                continue;
            }
        };
        let Some(report) = report else { break };
        count(&report, &tally);
        if let Some(log) = &mut log {
            log.add(&report);
            flush_at = flush_at.or(Some(Instant::now() + FLUSH_INTERVAL));
        }
        if log.as_ref().is_some_and(|log| log.buffer.len() >= FLUSH_BYTES) {
            flush_at = None;
            flush_log(&mut log, &tally).await;
        }
    }
    flush_log(&mut log, &tally).await;
    if let Some(log) = log
        && let Err(error) = log.finish().await
    {
        tally.send_modify(|tally| tally.write_error = Some(error));
    }
}

fn count(report: &Report, tally: &watch::Sender<Tally>) {
    tally.send_modify(|tally| match report.error() {
        None => tally.acked += report.tags().len() as u64,
        Some(error) => {
            let line = report.tags().min().unwrap_or(0);
            tally.has_unknown |= !error.is_definite();
            if tally.first_failure.as_ref().is_none_or(|(first, _)| line < *first) {
                tally.first_failure = Some((line, error.clone()));
            }
        }
    });
}

async fn flush_log(log: &mut Option<AckLog>, tally: &watch::Sender<Tally>) {
    if let Some(present) = log
        && let Err(error) = present.flush().await
    {
        tally.send_modify(|tally| tally.write_error = Some(error));
        *log = None;
    }
}

/// Whether acks go to stdout instead of a file.
pub fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Writes until the reader of the pipe has gone. It wants no more acks; that is no reason not to send the other records.
struct UntilClosed<W>(Option<W>);

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(inner) = &mut self.0 else { return Ok(bytes.len()) };
        match inner.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.0 = None;
                Ok(bytes.len())
            }
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.as_mut().map_or(Ok(()), Write::flush) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.0 = None;
                Ok(())
            }
            flushed => flushed,
        }
    }
}

/// The file of `--acks-to`. A thread writes it: a pipe without a reader must not hold up anything else.
#[derive(Debug)]
pub struct AckLog {
    buffer: Vec<u8>,
    blocks: mpsc::Sender<Vec<u8>>,
    /// How writing ended.
    ended: oneshot::Receiver<io::Result<()>>,
}

impl AckLog {
    /// Creates the file, or empties it; `-` is stdout.
    pub fn create(path: &Path) -> io::Result<Self> {
        if is_stdout(path) { Self::start(UntilClosed(Some(io::stdout()))) } else { Self::start(File::create(path)?) }
    }

    fn start(mut file: impl Write + Send + 'static) -> io::Result<Self> {
        let (blocks, mut waiting) = mpsc::channel::<Vec<u8>>(BLOCKS_MAX);
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name("acks".to_owned()).spawn(move || {
            let mut write = || {
                while let Some(block) = waiting.blocking_recv() {
                    file.write_all(&block)?;
                    file.flush()?;
                }
                Ok(())
            };
            // Nobody asks any more when the command has ended.
            let _ = end.send(write());
        })?;
        Ok(Self { buffer: Vec::new(), blocks, ended })
    }

    fn add(&mut self, report: &Report) {
        append_acks(&mut self.buffer, report.partition(), report.acks());
    }

    async fn flush(&mut self) -> Result<(), String> {
        if self.buffer.is_empty() || self.blocks.send(std::mem::take(&mut self.buffer)).await.is_ok() {
            return Ok(());
        }
        // The thread ends early for an error alone.
        Err((&mut self.ended).await.map_or_else(|_| "the thread that writes is gone".to_owned(), describe))
    }

    /// Waits until everything is written.
    async fn finish(self) -> Result<(), String> {
        drop(self.blocks);
        match self.ended.await {
            Ok(Ok(())) => Ok(()),
            Ok(result) => Err(describe(result)),
            Err(_) => Err("the thread that writes is gone".to_owned()),
        }
    }
}

fn describe(result: io::Result<()>) -> String {
    result.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string())
}

fn append_acks(out: &mut Vec<u8>, partition: u32, acks: impl Iterator<Item = (u64, i64)>) {
    for (line, offset) in acks {
        // Writing to a vector does not fail.
        let _ = writeln!(out, "{partition} {offset} {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_is_partition_offset_line() {
        let mut out = Vec::new();
        append_acks(&mut out, 3, [(1, 10), (4, 11)].into_iter());
        assert_eq!(out, b"3 10 1\n3 11 4\n");
    }

    #[tokio::test]
    async fn a_full_disk_is_told() {
        // Linux's device on which every write fails.
        let mut log = AckLog::create(Path::new("/dev/full")).unwrap();
        append_acks(&mut log.buffer, 0, [(1, 0)].into_iter());
        log.flush().await.unwrap();
        let error = log.finish().await.unwrap_err();
        assert!(error.contains("space"), "{error}");
    }
}
