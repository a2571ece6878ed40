//! An `eagre dev` of our own over a temporary folder: started for a run, killed and started again in it, stopped after it. Only
//! processes started here are ever signalled.

use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::Instant;

use super::{
    cleanup::{Made, Running},
    scrape,
};

/// How long a server may take to say that it is ready, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary that lies beside this one, or is on the `PATH`.
pub fn find_binary() -> Result<PathBuf> {
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("eagre")));
    let on_path = env::var_os("PATH").unwrap_or_default();
    let places = beside.into_iter().chain(env::split_paths(&on_path).map(|folder| folder.join("eagre")));
    places.into_iter().find(|file| file.is_file()).context(
        "no target was given, and there is no `eagre` beside this binary or on the PATH to start: \
         give --target grpc://host:port, or build one with `cargo build --release`",
    )
}

/// See the module. Dropping it kills the process and removes the folder.
pub struct DevServer {
    binary: PathBuf,
    // Before the folder: the process goes first.
    child: Option<(Child, Running)>,
    options: Vec<String>,
    folder: TempDir,
    _made: Made,
    /// `host:port` of its gRPC port; the same in all its lives.
    pub grpc: String,
    /// `host:port` of its HTTP port.
    pub http: String,
}

impl DevServer {
    /// Starts `binary dev` over a new folder below `parent`, on free ports, and waits until it is ready. `options` go to it; a
    /// `--bucket` among them takes the folder's place.
    pub fn start(binary: &Path, parent: &Path, options: &[String]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("eagre-loadtest-").tempdir_in(parent);
        let folder = folder.with_context(|| format!("cannot make a folder in {}", parent.display()))?;
        let mut server = Self {
            binary: binary.to_owned(),
            child: None,
            options: options.to_vec(),
            _made: Made::folder(folder.path()),
            folder,
            grpc: "127.0.0.1:0".into(),
            http: "127.0.0.1:0".into(),
        };
        server.run()?;
        Ok(server)
    }

    /// Starts it again after its end, over what is in the folder, and waits until it is ready.
    pub fn run(&mut self) -> Result<()> {
        let began = Instant::now();
        let mut command = Command::new(&self.binary);
        command.args(["dev", "--grpc", &self.grpc, "--http", &self.http]).args(&self.options);
        if !self.options.iter().any(|option| option.starts_with("--bucket")) {
            command.arg("--bucket").arg(self.folder());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))?;
        let running = Running::of(&child);
        let stderr = child.stderr.take().context("stderr is piped")?;
        self.child = Some((child, running));
        let (said, lines) = mpsc::sync_channel(1_024);
        // Reads to the end, so that the server never waits for its log.
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                said.try_send(line).ok();
            }
        });
        let (mut grpc, mut http) = (None, None);
        let mut log = Vec::new();
        while grpc.is_none() || http.is_none() {
            let Ok(line) = lines.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) else {
                bail!("the server did not say where it listens:\n{}", log.join("\n"));
            };
            grpc = grpc.or_else(|| field(&line, "grpc"));
            http = http.or_else(|| field(&line, "http"));
            log.push(line);
        }
        (self.grpc, self.http) = (grpc.unwrap_or_default(), http.unwrap_or_default());
        while !scrape::get(&self.http, "/readyz").is_ok_and(|(status, _)| status == 200) {
            if began.elapsed() > PATIENCE {
                bail!("the server did not become ready");
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Its bucket.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("bucket")
    }

    /// Of the process; `None` while there is none.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(|(child, _)| child.id())
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        let Some((mut child, _running)) = self.child.take() else { return Ok(()) };
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits until it is gone.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let Some((mut child, running)) = self.child.take() else { return Ok(()) };
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return if status.success() { Ok(()) } else { bail!("the server ended with {status}") };
            }
            if began.elapsed() > PATIENCE {
                self.child = Some((child, running));
                bail!("the server did not end after SIGTERM");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) else { return Ok(()) };
        kill_process(pid, signal)?;
        Ok(())
    }
}

impl Drop for DevServer {
    fn drop(&mut self) {
        // Fails only when it is gone already.
        self.kill().ok();
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
}
