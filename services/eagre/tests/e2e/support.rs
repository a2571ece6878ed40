//! Servers, clients and conditions to wait for. Every process started here is ended by its handle.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

/// Nothing here takes so long unless it hangs.
pub const BOUND: Duration = Duration::from_secs(60);

/// Waits until the condition holds; panics with `what` when it does not come to hold.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < BOUND, "not within {BOUND:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A free port that is listened to, for tokio.
#[cfg(feature = "otlp")]
pub fn listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// The binary under test.
pub fn eagre() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eagre"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Whatever is set around the tests is not meant for what they start.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EAGRE_")) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG");
    command
}

/// Waits for the end of a process whose output is small; kills it when that takes too long.
pub fn finish(mut child: Child, what: &str) -> Output {
    let mut readers = Vec::new();
    let pipes: [Option<Box<dyn Read + Send>>; 2] =
        [child.stdout.take().map(|pipe| Box::new(pipe) as _), child.stderr.take().map(|pipe| Box::new(pipe) as _)];
    for pipe in pipes {
        readers.push(thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            bytes
        }));
    }
    let status = exit_status(&mut child, what);
    let mut outputs = readers.into_iter().map(|reader| reader.join().unwrap());
    Output { status, stdout: outputs.next().unwrap(), stderr: outputs.next().unwrap() }
}

/// Waits for the end of a process; kills it when that takes too long.
pub fn exit_status(child: &mut Child, what: &str) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > 3 * BOUND {
            child.kill().unwrap();
            panic!("{what} does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal to a child of ours.
pub fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// A running `eagre dev`; killed when dropped.
pub struct Server {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// `127.0.0.1:port`.
    pub grpc: String,
    /// `127.0.0.1:port`.
    pub http: String,
}

impl Server {
    /// On free ports.
    pub fn start(bucket: &str) -> Self {
        Self::start_at(bucket, "127.0.0.1:0")
    }

    /// On this gRPC address.
    pub fn start_at(bucket: &str, grpc: &str) -> Self {
        Self::spawn(&mut dev(bucket, grpc, "127.0.0.1:0"))
    }

    /// Of a command that becomes `eagre dev`.
    pub fn spawn(command: &mut Command) -> Self {
        Self::try_spawn(command).unwrap_or_else(|failure| panic!("eagre dev did not start: {failure:?}"))
    }

    /// `Err`: the process ended by itself.
    pub fn try_spawn(command: &mut Command) -> Result<Self, Output> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let reader = thread::spawn({
            let log = log.clone();
            move || stderr.lines().map_while(Result::ok).for_each(|line| log.lock().unwrap().push(line))
        });
        let mut server = Self { child, log, grpc: String::new(), http: String::new() };
        let mut ended = None;
        wait_until("eagre dev is ready or ends", || {
            ended = server.child.try_wait().unwrap();
            server.grpc = server.logged("grpc").unwrap_or_default();
            server.http = server.logged("http").unwrap_or_default();
            let listens = !server.grpc.is_empty() && !server.http.is_empty();
            ended.is_some() || (listens && server.get("/readyz").is_ok_and(|(status, _)| status == 200))
        });
        let Some(status) = ended else { return Ok(server) };
        reader.join().unwrap();
        let stderr = server.log.lock().unwrap().join("\n").into_bytes();
        Err(Output { status, stdout: Vec::new(), stderr })
    }

    /// For client commands.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Of the server's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, to: Signal) {
        signal(&self.child, to);
    }

    /// All lines of its log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// The value of `name=127.0.0.1:port` in the log.
    fn logged(&self, name: &str) -> Option<String> {
        let (_, rest) = self.log.lock().unwrap().iter().find_map(|line| {
            line.split_once(&format!("{name}=127.0.0.1:")).map(|(before, rest)| (before.len(), rest.to_owned()))
        })?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        Some(format!("127.0.0.1:{}", &rest[..digits]))
    }

    /// Asks the HTTP port; returns status and body.
    pub fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        self.http("GET", path, "", b"")
    }

    /// The same with any method, and a body of that content type.
    pub fn http(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.http)?;
        stream.set_read_timeout(Some(BOUND))?;
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: eagre\r\nConnection: close\r\n")?;
        write!(stream, "Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n")?;
        // A body that is refused unread may be cut off.
        let _ = stream.write_all(body);
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok((status, body.to_owned()))
    }

    /// A client that asks for a path and reads nothing of the answer as long as it lives.
    pub fn ask_and_do_not_read(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: eagre\r\n\r\n").unwrap();
        stream
    }

    /// A figure of `/proc/<pid>/status`, in KiB.
    pub fn memory_kib(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// How many files and sockets it has open.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the status of its end.
    pub fn terminate(mut self) -> ExitStatus {
        signal(&self.child, Signal::TERM);
        exit_status(&mut self.child, "eagre dev after SIGTERM")
    }

    /// A client command against this server.
    pub fn client(&self, arguments: &[&str]) -> Command {
        client(&self.endpoint(), arguments)
    }

    /// Runs a client command that succeeds; returns its stdout.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = finish(self.client(arguments).spawn().unwrap(), &format!("{arguments:?}"));
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Everything in a topic, read by the command line.
    pub fn read_all(&self, topic: &str) -> Log {
        Log::parse(&self.run(&["consume", topic, "--from", "beginning", "--until-end", "--format", "json"]))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// `eagre dev` with these settings.
pub fn dev(bucket: &str, grpc: &str, http: &str) -> Command {
    let mut command = eagre();
    command.args(["dev", "--bucket", bucket, "--grpc", grpc, "--http", http]);
    command
}

/// A client command.
pub fn client(endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = eagre();
    command.args(arguments).args(["--endpoint", endpoint]);
    command
}

/// `eagre produce` from its standard input; killed when dropped.
pub struct Produce(Option<Child>);

impl Produce {
    /// Starts the command.
    pub fn start(endpoint: &str, arguments: &[&str]) -> Self {
        let mut command = client(endpoint, &[&["produce"], arguments].concat());
        Self(Some(command.stdin(Stdio::piped()).spawn().unwrap()))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    /// Writes one line.
    pub fn line(&mut self, line: &str) {
        writeln!(self.child().stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The pipe to write lines to, for a thread of its own.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.child().stdin.take().unwrap()
    }

    /// What it prints.
    pub fn take_stdout(&mut self) -> ChildStdout {
        self.child().stdout.take().unwrap()
    }

    /// What it says.
    pub fn take_stderr(&mut self) -> ChildStderr {
        self.child().stderr.take().unwrap()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child().try_wait().unwrap().is_some()
    }

    /// SIGINT, as by Ctrl-C.
    pub fn interrupt(&mut self) {
        signal(self.child(), Signal::INT);
    }

    /// Ends the input and waits.
    pub fn finish(mut self) -> Output {
        let mut child = self.0.take().unwrap();
        drop(child.stdin.take());
        finish(child, "eagre produce")
    }
}

impl Drop for Produce {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Both fail only when it is gone already.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// What `--acks-to` holds: partition, offset, line number of each acked record.
pub fn acks(path: &Path) -> Vec<(u32, i64, usize)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    // A line that is being written may be cut off.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let ack = |line: &str| {
        let mut fields = line.split(' ');
        let mut next = || fields.next().unwrap_or_else(|| panic!("an ack is three numbers: {line:?}"));
        (next().parse().unwrap(), next().parse().unwrap(), next().parse().unwrap())
    };
    whole.lines().map(ack).collect()
}

/// A topic as a consumer saw it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Log(pub BTreeMap<u32, BTreeMap<i64, String>>);

impl Log {
    /// Of `eagre consume --format json`; checks that offsets of a partition came in order and without a gap.
    pub fn parse(json_lines: &str) -> Self {
        let mut log = Self::default();
        for line in json_lines.lines() {
            let record: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let partition = u32::try_from(record["partition"].as_u64().unwrap()).unwrap();
            let offset = record["offset"].as_i64().unwrap();
            let records = log.0.entry(partition).or_default();
            let next = records.last_key_value().map_or(0, |(last, _)| last + 1);
            assert_eq!(offset, next, "partition {partition}: a gap, or an offset twice");
            records.insert(offset, record["value"].as_str().unwrap().to_owned());
        }
        log
    }

    /// The value at an offset.
    pub fn at(&self, partition: u32, offset: i64) -> Option<&str> {
        self.0.get(&partition)?.get(&offset).map(String::as_str)
    }

    /// All values, partition after partition, each in the order of its offsets.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.0.values().flat_map(|records| records.values().map(String::as_str))
    }

    /// Every ack names an offset that holds its line. `lines` is the producer's input.
    pub fn assert_acked(&self, acks: &[(u32, i64, usize)], lines: &[String]) {
        for &(partition, offset, line) in acks {
            let found = self.at(partition, offset);
            assert_eq!(found, Some(lines[line - 1].as_str()), "acked: line {line} at {partition}/{offset}");
        }
    }
}
