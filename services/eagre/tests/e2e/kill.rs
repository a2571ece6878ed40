//! kill -9 under load: every acknowledged record is at its offset, once, in order.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::Child,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use eagre_env::{Randomness, SeededRandomness};

use crate::support::{Log, Produce, Server, acks, free_port, wait_until};

/// `eagre produce`, fed with numbered lines until told to stop.
struct Load {
    name: &'static str,
    produce: Produce,
    acks: PathBuf,
    stop: Arc<AtomicBool>,
    feeding: JoinHandle<Vec<String>>,
}

impl Load {
    fn start(name: &'static str, server: &Server, folder: &Path, arguments: &[&str]) -> Self {
        let acks = folder.join(format!("acks-{name}"));
        let arguments = [&["t", "--acks-to", acks.to_str().unwrap()], arguments].concat();
        let mut produce = Produce::start(&server.endpoint(), &arguments);
        let mut input = produce.take_stdin();
        let stop = Arc::new(AtomicBool::new(false));
        let feeding = thread::spawn({
            let stop = stop.clone();
            move || {
                let mut lines = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..10 {
                        let number = lines.len() + 1;
                        // Keys are few, so that each has many records whose order can be seen.
                        let line = format!(
                            r#"{{"key":"{}","from":"{name}","n":"{number:07}","pad":"{:.<150}"}}"#,
                            number % 23,
                            ""
                        );
                        writeln!(input, "{line}").unwrap();
                        lines.push(line);
                    }
                    thread::sleep(Duration::from_millis(4));
                }
                lines
            }
        });
        Self { name, produce, acks, stop, feeding }
    }

    fn acked(&self) -> usize {
        acks(&self.acks).len()
    }

    /// Ends the input, waits until all is acked, and proves every ack. Returns how many lines there were.
    fn prove(self, server: &Server) -> usize {
        let Self { name, produce, acks: acked, stop, feeding } = self;
        stop.store(true, Ordering::Relaxed);
        let lines = feeding.join().unwrap();
        let output = produce.finish();
        assert!(output.status.success(), "{name}: {output:?}");
        let (acked, log) = (acks(&acked), server.read_all("t"));
        log.assert_acked(&acked, &lines);
        let mut acked_lines: Vec<usize> = acked.iter().map(|ack| ack.2).collect();
        acked_lines.sort_unstable();
        assert!(acked_lines.iter().copied().eq(1..=lines.len()), "{name}: each line is acked once");
        assert_once_in_order(name, &log, lines.len());
        lines.len()
    }
}

/// Numbers of a producer's lines only grow within a partition, so none is there twice; and none is missing.
fn assert_once_in_order(name: &str, log: &Log, lines: usize) {
    let mark = format!(r#""from":"{name}","n":""#);
    let mut seen = 0;
    for (partition, records) in &log.0 {
        let numbers: Vec<&str> = records.values().filter_map(|value| Some(&value.split_once(&mark)?.1[..7])).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{name}: partition {partition} is out of order");
        seen += numbers.len();
    }
    assert_eq!(seen, lines, "{name}: a line is missing");
}

/// `eagre consume` that lives through everything.
struct Follower {
    child: Child,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Follower {
    fn start(server: &Server) -> Self {
        let mut command = server.client(&["consume", "t", "--from", "beginning", "--format", "json"]);
        let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        thread::spawn({
            let seen = seen.clone();
            move || output.lines().map_while(Result::ok).for_each(|line| seen.lock().unwrap().push(line))
        });
        Self { child, seen }
    }

    /// What it has seen, once that is so many records.
    fn finish(self, records: usize) -> Log {
        wait_until("the reader that follows has everything", || self.seen.lock().unwrap().len() >= records);
        Log::parse(&self.seen.lock().unwrap().join("\n"))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Kills the server so often under the load of two producers and a reader that follows.
fn kill_again_and_again(kills: usize, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    kill_over(folder.path().to_str().unwrap(), kills, seed);
}

/// The same over any bucket.
pub fn kill_over(bucket: &str, kills: usize, seed: u64) {
    let elsewhere = tempfile::tempdir().unwrap();
    let grpc = format!("127.0.0.1:{}", free_port());
    let mut server = Server::start_at(bucket, &grpc);
    server.run(&["topic", "create", "t", "--partitions", "4"]);
    let loads = [
        Load::start("plain", &server, elsewhere.path(), &[]),
        Load::start("keyed", &server, elsewhere.path(), &["--key-field", "key"]),
    ];
    let follower = Follower::start(&server);
    let random = SeededRandomness::new(seed);
    for round in 1..=kills {
        let acked = || loads.iter().map(Load::acked).collect::<Vec<_>>();
        let (before, more) = (acked(), 1 + usize::try_from(random.below(400)).unwrap());
        wait_until("both producers go on", || acked().iter().zip(&before).all(|(now, before)| *now >= before + more));
        println!("kill {round}: {:?} acked before", acked());
        server.kill();
        server = Server::start_at(bucket, &grpc);
    }
    let total: usize = loads.map(|load| load.prove(&server)).iter().sum();
    let log = server.read_all("t");
    assert_eq!(log.values().count(), total, "something is in the log that nobody sent");
    assert_eq!(follower.finish(total), log, "what was followed live is what is there");
    println!("{total} records, each acked once and found at its offset after {kills} kills");
}

#[test]
fn killed_twice() {
    kill_again_and_again(2, 1);
}

#[test]
#[ignore = "twenty restarts under load take a minute or two; .ci/run runs it"]
fn killed_twenty_times() {
    kill_again_and_again(20, 2);
}
