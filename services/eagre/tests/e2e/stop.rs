//! Stopping: SIGTERM drains, Ctrl-C of a client flushes.

use std::io::{BufRead as _, Write as _};

use rustix::process::Signal;

use crate::support::{Produce, Server, acks, dev, exit_status, finish, free_port, signal, wait_until};

#[test]
fn sigterm_drains_and_nothing_acked_is_lost() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bucket = folder.path().to_str().unwrap();
    let grpc = format!("127.0.0.1:{}", free_port());
    let server = Server::start_at(bucket, &grpc);
    server.run(&["topic", "create", "t", "--partitions", "4"]);
    let acked = elsewhere.path().join("acks");
    let mut produce = Produce::start(&server.endpoint(), &["t", "--acks-to", acked.to_str().unwrap()]);
    // Open streams that wait for more must not hold the drain up.
    let mut follow = server.client(&["consume", "t", "--from", "beginning", "--format", "json", "--max", "2000"]);
    let follow = follow.spawn().unwrap();
    let lines: Vec<String> = (1..=2_000).map(|n| format!("line {n}")).collect();
    lines[..1_000].iter().for_each(|line| produce.line(line));
    wait_until("some records are acked", || !acks(&acked).is_empty());
    let status = server.terminate();
    assert!(status.success(), "{status}");
    lines[1_000..].iter().for_each(|line| produce.line(line));
    let server = Server::start_at(bucket, &grpc);
    let output = produce.finish();
    assert!(output.status.success(), "{output:?}");
    let (acked, log) = (acks(&acked), server.read_all("t"));
    assert_eq!(acked.len(), 2_000);
    log.assert_acked(&acked, &lines);
    assert_eq!(log.values().count(), 2_000, "a line was appended twice");
    let followed = finish(follow, "consume");
    assert!(followed.status.success(), "{followed:?}");
    assert_eq!(crate::support::Log::parse(&String::from_utf8(followed.stdout).unwrap()), log);
}

#[test]
fn an_interrupted_producer_flushes_and_says_130() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(folder.path().to_str().unwrap());
    server.run(&["topic", "create", "t", "--partitions", "1"]);
    let acked = elsewhere.path().join("acks");
    let mut produce = Produce::start(&server.endpoint(), &["t", "--acks-to", acked.to_str().unwrap()]);
    produce.line("first");
    // The pipe stays open: the line is sent within the linger, not at the end.
    wait_until("a slow pipe is sent", || acks(&acked) == [(0, 0, 1)]);
    produce.line("second");
    wait_until("the second line is acked", || acks(&acked).len() == 2);
    produce.interrupt();
    wait_until("the producer ends", || produce.has_ended());
    let output = produce.finish();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(server.run(&["consume", "t", "--from", "beginning", "--until-end"]), "first\nsecond\n");
}

#[test]
fn an_interrupted_producer_says_that_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().to_str().unwrap());
    server.run(&["topic", "create", "t", "--partitions", "1"]);
    let mut produce = Produce::start(&server.endpoint(), &["t"]);
    let mut said = std::io::BufReader::new(produce.take_stderr()).lines().map_while(Result::ok);
    produce.line("first");
    wait_until("the first line is there", || server.run(&["consume", "t", "--until-end"]) == "first\n");
    server.signal(Signal::STOP);
    // More than lies between the pipe and the producer: when all is written, some of it was handed over.
    let mut stdin = produce.take_stdin();
    stdin.write_all(format!("{}\n", "x".repeat(1_023)).repeat(4 << 10).as_bytes()).unwrap();
    produce.interrupt();
    let waits = said.find(|line| line.starts_with("interrupted: waiting until ")).unwrap();
    assert!(waits.ends_with(" records are acknowledged; Ctrl-C again leaves without"), "{waits}");
    server.signal(Signal::CONT);
    let output = produce.finish();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let acked = server.run(&["consume", "t", "--until-end"]).lines().count();
    assert!(acked > 1, "what was read is acknowledged");
}

#[test]
fn a_producer_gives_up_after_its_delivery_timeout_and_says_what_is_missing() {
    let elsewhere = tempfile::tempdir().unwrap();
    let acked = elsewhere.path().join("acks");
    let server = Server::start("memory://");
    server.run(&["topic", "create", "t", "--partitions", "1"]);
    let arguments = ["t", "--delivery-timeout", "1s", "--acks-to", acked.to_str().unwrap()];
    let mut produce = Produce::start(&server.endpoint(), &arguments);
    produce.line("first");
    wait_until("the first line is acked", || acks(&acked).len() == 1);
    server.kill();
    produce.line("second");
    produce.line("third");
    let output = produce.finish();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("2 ") && said.contains("line 2"), "how many, and the first one's line: {said}");
    assert_eq!(acks(&acked), [(0, 0, 1)]);
}

#[test]
fn a_second_signal_ends_a_service_at_once_and_without_a_panic() {
    for _ in 0..10 {
        let mut child = dev("memory://", "127.0.0.1:0", "127.0.0.1:0").spawn().unwrap();
        let mut log = std::io::BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(log.any(|line| line.contains("grpc=127.0.0.1:")), "it is ready");
        signal(&child, Signal::INT);
        signal(&child, Signal::INT);
        let said: Vec<String> = log.collect();
        let status = exit_status(&mut child, "eagre dev after two signals");
        // The second signal may come after the end, or be one with the first.
        assert!(matches!(status.code(), Some(0 | 1)), "{status}: {said:?}");
        assert!(!said.iter().any(|line| line.contains("panicked")), "{said:?}");
    }
}
