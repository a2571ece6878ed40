//! A server of our own: started for a measurement, watched, stopped. Only processes started here are ever signalled.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::{cleanup::Running, load::Target};

/// How long a server may take to say where it listens.
const START: Duration = Duration::from_secs(60);
/// How long a server may take to drain.
const STOP: Duration = Duration::from_secs(60);

/// A running `eagre dev`. Dropping it kills the process.
pub struct Server {
    child: Child,
    _running: Running,
    /// Of its gRPC port.
    pub grpc: String,
    /// `host:port` of its HTTP port.
    pub http: String,
    /// From the start of the process until it said that it is ready.
    pub ready_after: Duration,
}

impl Server {
    /// Starts `binary dev` over the folder, on free ports, and waits until it is ready.
    pub fn start(binary: &Path, bucket: &Path) -> Result<Self> {
        let began = Instant::now();
        let mut child = Command::new(binary)
            .args(["dev", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--bucket"])
            .arg(bucket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let _running = Running::of(&child);
        let stderr = child.stderr.take().context("stderr is piped")?;
        let (said, lines) = mpsc::sync_channel(1_024);
        // Reads to the end, so that the server never waits for its log.
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                said.try_send(line).ok();
            }
        });
        let mut server =
            Self { child, _running, grpc: String::new(), http: String::new(), ready_after: Duration::ZERO };
        let mut log = Vec::new();
        while server.grpc.is_empty() || server.http.is_empty() {
            let Ok(line) = lines.recv_timeout(START.saturating_sub(began.elapsed())) else {
                bail!("the server did not say where it listens:\n{}", log.join("\n"));
            };
            if let Some(address) = field(&line, "grpc") {
                server.grpc = format!("http://{address}");
            }
            if let Some(address) = field(&line, "http") {
                server.http = address;
            }
            log.push(line);
        }
        while !server.get("/readyz").is_ok_and(|(status, _)| status == 200) {
            if began.elapsed() > START {
                bail!("the server did not become ready");
            }
            thread::sleep(Duration::from_millis(2));
        }
        server.ready_after = began.elapsed();
        Ok(server)
    }

    /// For the load.
    pub fn target(&self) -> Target {
        Target { endpoint: self.grpc.clone(), pid: Some(self.child.id()) }
    }

    /// Asks the HTTP port; returns status and body.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.http)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: eagre\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP status")?;
        Ok((status, body.to_owned()))
    }

    /// SIGTERM, and waits until it is gone.
    pub fn stop(mut self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("a process id is not 0")?;
        kill_process(pid, Signal::TERM)?;
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() { Ok(()) } else { bail!("the server ended with {status}") };
            }
            if began.elapsed() > STOP {
                bail!("the server did not end after SIGTERM");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The value of `name=value` or `"name":"value"` in a log line.
fn field(line: &str, name: &str) -> Option<String> {
    let rest = match line.split_once(&format!("{name}=")) {
        Some((_, rest)) => rest,
        None => line.split_once(&format!("\"{name}\":"))?.1,
    };
    let rest = rest.trim_start_matches('"').trim_start_matches("http://");
    let end = rest.find(|c: char| c == '"' || c == ',' || c.is_whitespace()).unwrap_or(rest.len());
    rest[..end].contains(':').then(|| rest[..end].to_owned())
}

/// Sums counters of a Prometheus page: all series of `name` whose labels contain `label`.
pub fn counter(page: &str, name: &str, label: &str) -> f64 {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let series = lines.filter_map(|line| line.rsplit_once(' '));
    let wanted = series.filter(|(series, _)| {
        let (metric, labels) = series.split_once('{').unwrap_or((series, ""));
        metric == name && labels.contains(label)
    });
    wanted.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}

/// A fresh bucket folder. When dropped, its files are emptied but stay, until whoever owns the folder above removes them:
/// ext4 without a journal does not give out an inode again for up to six minutes after its file was deleted, and searches
/// long for another, so deletions of one measurement would be paid by the next (half of the server's CPU time was seen).
pub struct Bucket(PathBuf);

impl Bucket {
    /// Makes the folder above it.
    pub fn new(parent: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bucket-").tempdir_in(parent);
        Ok(Self(folder.with_context(|| format!("cannot make a folder in {}", parent.display()))?.keep()))
    }

    /// Of the bucket.
    pub fn path(&self) -> PathBuf {
        self.0.join("bucket")
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if let Err(error) = empty(&self.0) {
            writeln!(io::stderr(), "cannot empty the files of {}: {error}", self.0.display()).ok();
        }
    }
}

fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            empty(&entry.path())?;
        } else {
            fs::OpenOptions::new().write(true).truncate(true).open(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_both_log_formats() {
        let text = "2026-11-23T00:00:00Z  INFO eagre: ready grpc=127.0.0.1:8070 http=127.0.0.1:8071 bucket=\"x\"";
        assert_eq!(field(text, "grpc").as_deref(), Some("127.0.0.1:8070"));
        assert_eq!(field(text, "http").as_deref(), Some("127.0.0.1:8071"));
        let json = r#"{"fields":{"message":"ready","grpc":"127.0.0.1:1","http":"127.0.0.1:2"}}"#;
        assert_eq!(field(json, "grpc").as_deref(), Some("127.0.0.1:1"));
        assert_eq!(field(json, "http").as_deref(), Some("127.0.0.1:2"));
        assert_eq!(field("nothing here", "grpc"), None);
    }

    #[test]
    fn a_bucket_leaves_empty_files() {
        let parent = tempfile::tempdir().unwrap();
        let bucket = Bucket::new(parent.path()).unwrap();
        let file = bucket.path().join("a/b");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "content").unwrap();
        drop(bucket);
        assert_eq!(fs::metadata(&file).unwrap().len(), 0);
    }

    #[test]
    fn counters_are_summed_over_series() {
        let page = "# TYPE r counter\nr{op=\"put\",result=\"ok\"} 3\nr{op=\"put\",result=\"error\"} 1\nr{op=\"get\"} 5\nrr{op=\"put\"} 9\n";
        assert_eq!(counter(page, "r", "op=\"put\""), 4.0);
        assert_eq!(counter(page, "r", ""), 9.0);
    }
}
