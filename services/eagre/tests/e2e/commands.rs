//! The client commands, spelled as scripts spell them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write},
    path::Path,
    process::Output,
};

use crate::support::{Produce, Server, acks, client, eagre, exit_status, finish, signal, wait_until};

fn server() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().to_str().unwrap());
    (folder, server)
}

/// A command with this on its standard input.
fn with_input(server: &Server, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = server.client(arguments).stdin(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    finish(child, &format!("{arguments:?}"))
}

fn fails(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let output = finish(server.client(arguments).spawn().unwrap(), &format!("{arguments:?}"));
    assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Partition, offset, key and value of each record.
fn read(server: &Server, arguments: &[&str]) -> Vec<(u64, i64, Option<String>, String)> {
    let text = server.run(&[&["consume"], arguments, &["--format", "json"]].concat());
    let record = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let key = record["key"].as_str().map(str::to_owned);
        let value = record["value"].as_str().unwrap().to_owned();
        (record["partition"].as_u64().unwrap(), record["offset"].as_i64().unwrap(), key, value)
    };
    text.lines().map(record).collect()
}

const NONE: [i64; 0] = [];

fn offsets(server: &Server, arguments: &[&str]) -> Vec<i64> {
    read(server, arguments).into_iter().map(|(_, offset, ..)| offset).collect()
}

#[test]
fn a_topic_is_created_listed_described_and_deleted() {
    let (_folder, server) = server();
    assert_eq!(server.run(&["topic", "list"]), "");
    server.run(&["topic", "create", "b", "--partitions", "3"]);
    server.run(&["topic", "create", "a"]);
    assert_eq!(server.run(&["topic", "list"]), "a\nb\n");
    assert!(with_input(&server, &["produce", "b", "--partition", "2"], b"one\ntwo\n").status.success());

    let described = server.run(&["topic", "describe", "b"]);
    let rows: Vec<Vec<&str>> = described.lines().map(|line| line.split_whitespace().collect()).collect();
    let table = rows.iter().position(|row| row.first() == Some(&"PARTITION")).expect("a table");
    assert_eq!(rows[table][..4], ["PARTITION", "LOG-START", "HIGH-WATERMARK", "BYTES"]);
    assert_eq!(rows[table + 1][..4], ["0", "0", "0", "0"]);
    assert_eq!(rows[table + 3][..3], ["2", "0", "2"]);
    assert!(rows[table + 3][3].parse::<u64>().unwrap() > 0);
    assert!(described.contains("3 partitions"), "{described}");
    assert!(server.run(&["topic", "describe", "a"]).contains("elastic, 4 partitions"));

    let (status, message) = fails(&server, &["topic", "create", "b"]);
    assert!(status == Some(1) && message.contains("error: topic \"b\" exists already\n  = help: "), "{message}");
    server.run(&["topic", "delete", "b"]);
    assert_eq!(server.run(&["topic", "list"]), "a\n");
    for arguments in [["topic", "delete", "b"], ["topic", "describe", "b"]] {
        let (status, message) = fails(&server, &arguments);
        assert!(status == Some(1) && message.contains("error: topic \"b\" does not exist\n  = help: "), "{message}");
    }
    let (status, message) = fails(&server, &["topic", "delete", "b"]);
    assert!(status == Some(1) && message.ends_with("= help: see `eagre topic list`\n"), "{message}");
    let (status, message) = fails(&server, &["topic", "create", "no/slash"]);
    assert!(status == Some(2) && message.starts_with("error: "), "{message}");
}

/// Options, input, and the keys and values that come of them.
type Keys = (&'static [&'static str], &'static str, Vec<(Option<&'static str>, &'static str)>);

#[test]
fn keys_come_from_where_the_command_says() {
    let (_folder, server) = server();
    server.run(&["topic", "create", "t", "--partitions", "8"]);
    let cases: [Keys; 5] = [
        (&["--key", "k"], "a\nb", vec![(Some("k"), "a"), (Some("k"), "b")]),
        (&["--key-separator", "::"], "k::v::w\n::\n", vec![(Some("k"), "v::w"), (Some(""), "")]),
        (
            &["--key-field", "id"],
            "{\"id\":\"x\"}\n{\"id\":7}\n{\"id\":null}\n",
            vec![(Some("x"), "{\"id\":\"x\"}"), (Some("7"), "{\"id\":7}"), (None, "{\"id\":null}")],
        ),
        (&["--file", "-", "--key-separator", r"\t"], "k\ttab", vec![(Some("k"), "tab")]),
        (&["--partition", "5", "--key", "k"], "pinned\n", vec![(Some("k"), "pinned")]),
    ];
    let mut expected = Vec::new();
    for (arguments, input, records) in cases {
        let output = with_input(&server, &[&["produce", "t"], arguments].concat(), input.as_bytes());
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        expected.extend(records.into_iter().map(|(key, value)| (key.map(str::to_owned), value.to_owned())));
    }
    let read = read(&server, &["t", "--until-end"]);
    let mut found: Vec<_> = read.iter().map(|(_, _, key, value)| (key.clone(), value.clone())).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    // Kafka's `Utils.toPositive(Utils.murmur2("k".getBytes())) % 8`, and where it was said otherwise.
    let partitions = |value: &str| read.iter().find(|record| record.3 == value).unwrap().0;
    assert_eq!(partitions("a"), partitions("b"));
    assert_eq!(partitions("pinned"), 5);
}

#[test]
fn a_line_without_its_key_is_left_out_and_told() {
    let (_folder, server) = server();
    server.run(&["topic", "create", "t", "--partitions", "1"]);
    let acked = tempfile::NamedTempFile::new().unwrap();
    let acks_to = acked.path().to_str().unwrap();
    let input = b"{\"id\":1}\nno json\n{\"other\":2}\n{\"id\":3}\n";
    let output = with_input(&server, &["produce", "t", "--key-field", "id", "--acks-to", acks_to], input);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("warning: line 2 is left out: it is not a JSON object"), "{message}");
    assert!(message.contains("2 of 4 records were not acknowledged, the first at line 2"), "{message}");
    assert!(message.contains("\n --> stdin:2\n  = note: lines 2 and 3 were left out\n  = help: "), "{message}");
    assert_eq!(server.run(&["consume", "t", "--until-end"]), "{\"id\":1}\n{\"id\":3}\n");
    assert_eq!(fs::read_to_string(acked.path()).unwrap(), "0 0 1\n0 1 4\n");
}

#[test]
fn listings_come_as_json() {
    let (_folder, server) = server();
    server.run(&["topic", "create", "a"]);
    server.run(&["topic", "create", "b", "--partitions", "3"]);
    let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let listed: Vec<_> = server.run(&["topic", "list", "--format", "json"]).lines().map(parse).collect();
    let facts =
        |topic: &serde_json::Value| (topic["name"].clone(), topic["placement"].clone(), topic["partitions"].clone());
    assert_eq!(
        listed.iter().map(facts).collect::<Vec<_>>(),
        [("a".into(), "residue_class".into(), 4.into()), ("b".into(), "kafka".into(), 3.into())]
    );
    assert!(with_input(&server, &["produce", "b", "--partition", "2"], b"one\ntwo\n").status.success());
    let described = parse(&server.run(&["topic", "describe", "b", "--format", "json"]));
    assert_eq!(described["partitions"][2]["high_watermark"], 2);
    assert_eq!(described["partitions"][2]["log_start_offset"], 0);
    let elastic = parse(&server.run(&["topic", "describe", "a", "--format", "json"]));
    assert_eq!(elastic["partitions"][3]["residue_class"], serde_json::json!({ "remainder": 3, "modulus": 4 }));
}

#[test]
fn a_topic_is_made_once_by_those_who_do_not_mind() {
    let (_folder, server) = server();
    server.run(&["topic", "create", "t", "--partitions", "3"]);
    server.run(&["topic", "create", "t", "--partitions", "3", "--if-not-exists"]);
    server.run(&["topic", "create", "u", "--if-not-exists"]);
    server.run(&["topic", "create", "u", "--if-not-exists"]);
    for arguments in [
        &["topic", "create", "t", "--if-not-exists"][..],
        &["topic", "create", "t", "--partitions", "4", "--if-not-exists"],
    ] {
        let (status, message) = fails(&server, arguments);
        assert!(status == Some(1) && message.contains("has other partitions"), "{message}");
    }
    let limit = ["topic", "create", "t", "--partitions", "3", "--if-not-exists", "--max-message-bytes", "1MiB"];
    let (status, message) = fails(&server, &limit);
    assert!(status == Some(1) && message.contains("takes other record batches: no limit of its own"), "{message}");
}

#[test]
fn a_topic_takes_batches_up_to_its_limit() {
    let (_folder, server) = server();
    server.run(&["topic", "create", "t", "--partitions", "1", "--max-message-bytes", "4KiB"]);
    assert!(server.run(&["topic", "describe", "t"]).contains("batches  up to 4096 bytes"));
    let line = |bytes: usize| "x".repeat(bytes) + "\n";
    // Many small ones are several batches; one that is too large is left out.
    let output = with_input(&server, &["produce", "t"], line(100).repeat(500).as_bytes());
    assert!(output.status.success(), "{output:?}");
    let output = with_input(&server, &["produce", "t"], line(5_000).as_bytes());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && message.contains("topic \"t\" takes up to 4096"), "{message}");
    let (status, message) = fails(&server, &["topic", "create", "u", "--max-message-bytes", "4GiB"]);
    assert!(status == Some(2) && message.contains("write 65536, 64KiB or 1MiB"), "{message}");
    let (status, message) = fails(&server, &["topic", "create", "u", "--max-message-bytes", "9MiB"]);
    assert!(status == Some(1) && message.contains("it may be 1024 to 8388608"), "{message}");
}

#[test]
fn headers_and_compressed_batches_arrive() {
    let (_folder, server) = server();
    server.run(&["topic", "create", "t", "--partitions", "1"]);
    let line = "a line that repeats itself ".repeat(1_000) + "\n";
    for compression in ["none", "lz4", "zstd"] {
        let arguments =
            ["produce", "t", "--compression", compression, "--header", "a=1", "--header", "b=x=y", "--header", "a="];
        assert!(with_input(&server, &arguments, line.as_bytes()).status.success());
    }
    let text = server.run(&["consume", "t", "--until-end", "--format", "json"]);
    assert_eq!(text.lines().count(), 3);
    for record in text.lines() {
        let record: serde_json::Value = serde_json::from_str(record).unwrap();
        assert_eq!(record["headers"], serde_json::json!([["a", "1"], ["b", "x=y"], ["a", ""]]));
        assert_eq!(record["value"].as_str(), Some(line.trim_end_matches('\n')));
    }
    let described = server.run(&["topic", "describe", "t", "--format", "json"]);
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    let bytes = described["partitions"][0]["size_bytes"].as_u64().unwrap();
    assert!((line.len() as u64..line.len() as u64 * 3 / 2).contains(&bytes), "two of three are small: {bytes}");
}

#[test]
fn the_next_endpoint_is_tried() {
    let (_folder, server) = server();
    let endpoints = format!("http://127.0.0.1:1,{}", server.endpoint());
    let listed = finish(client(&endpoints, &["topic", "list"]).spawn().unwrap(), "topic list");
    assert!(listed.status.success(), "{listed:?}");
}

#[test]
fn the_program_says_what_it_is() {
    let version = finish(eagre().args(["version", "--format", "json"]).spawn().unwrap(), "eagre version");
    let version: serde_json::Value = serde_json::from_slice(&version.stdout).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["bucket_formats"], serde_json::json!([1, 2]));
    assert!(!version["commit"].as_str().unwrap().is_empty());
    let version = finish(eagre().args(["version", "--format", "text"]).spawn().unwrap(), "eagre version");
    assert!(String::from_utf8(version.stdout).unwrap().contains("reads bucket formats 1 to 2, writes 2"));
    for shell in ["bash", "zsh", "fish"] {
        let script = finish(eagre().args(["completions", shell]).spawn().unwrap(), "eagre completions");
        assert!(String::from_utf8(script.stdout).unwrap().contains("delivery-timeout"), "{shell}");
    }
}

#[test]
fn every_command_has_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man/man1");
    let written = finish(eagre().args(["man", "--out", out.to_str().unwrap()]).spawn().unwrap(), "eagre man");
    assert!(written.status.success() && written.stdout.is_empty(), "{written:?}");
    for (page, part) in [
        ("eagre.1", "eagre\\-produce"),
        ("eagre-produce.1", "\\-\\-delivery\\-timeout"),
        ("eagre-topic-create.1", "\\-\\-partitions"),
        ("eagre-config-check.1", "EAGRE_BUCKET"),
    ] {
        let text = fs::read_to_string(out.join(page)).unwrap();
        assert!(text.starts_with(".ie") && text.contains(".TH ") && text.contains(part), "{page}: {text}");
    }
    let printed = finish(eagre().arg("man").spawn().unwrap(), "eagre man");
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(printed, fs::read_to_string(out.join("eagre.1")).unwrap());
    let refused = finish(eagre().args(["man", "--out", "/dev/null/man"]).spawn().unwrap(), "eagre man");
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && message.contains("/dev/null/man"), "{message}");
}

#[test]
fn errors_have_no_colour_away_from_a_terminal() {
    let refused = finish(eagre().args(["topic", "lits"]).spawn().unwrap(), "eagre topic lits");
    let expected = "\
error: unrecognized subcommand 'lits'
  = usage: eagre topic <COMMAND>
  = help: a similar subcommand exists: 'list'
  = help: `eagre topic --help` says how it is written
";
    assert_eq!((refused.status.code(), String::from_utf8(refused.stderr).unwrap()), (Some(2), expected.to_owned()));
}

#[test]
fn a_topic_is_watched_until_ctrl_c() {
    let (_folder, server) = server();
    server.run(&["topic", "create", "t", "--partitions", "1"]);
    let mut watch = server.client(&["topic", "describe", "t", "--watch"]).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "partition 0 high_watermark 0 bytes 0 records/s - bytes/s -");
    assert!(with_input(&server, &["produce", "t"], b"one\ntwo\n").status.success());
    let told = lines.by_ref().map(Result::unwrap).find(|line| line.contains("high_watermark 2 ")).unwrap();
    assert!(!told.ends_with(" -") && !told.contains("records/s 0 bytes/s 0"), "{told}");
    signal(&watch, rustix::process::Signal::INT);
    let output = finish(watch, "eagre topic describe --watch");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");

    let mut watch = server.client(&["topic", "describe", "t", "--watch", "--format", "json"]).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let looks: Vec<serde_json::Value> =
        lines.by_ref().take(2).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert!(looks[0]["partitions"][0]["records_per_second"].is_null(), "{looks:?}");
    assert_eq!(looks[1]["partitions"][0]["records_per_second"], 0.0);
    server.run(&["topic", "delete", "t"]);
    lines.for_each(drop);
    let output = finish(watch, "eagre topic describe --watch");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && message.contains("was deleted while it was watched"), "{message}");
}

#[test]
fn acks_can_go_to_stdout() {
    let (_folder, server) = server();
    server.run(&["topic", "create", "t", "--partitions", "1"]);
    let output = with_input(&server, &["produce", "t", "--acks-to", "-"], b"a\nb\n");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "0 0 1\n0 1 2\n");
    // Whoever reads the acks may go: the records are sent all the same.
    let mut produce = Produce::start(&server.endpoint(), &["t", "--acks-to", "-"]);
    drop(produce.take_stdout());
    for number in 0..100 {
        produce.line(&number.to_string());
    }
    let output = produce.finish();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(server.run(&["consume", "t", "--until-end"]).lines().count(), 102);
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    let (_folder, server) = server();
    server.run(&["topic", "create", "t", "--partitions", "2"]);
    for arguments in [
        &["produce", "t", "--key", "k", "--key-field", "f"][..],
        &["produce", "t", "--rate", "0"],
        &["produce", "t", "--delivery-timeout", "soon"],
        &["consume", "t", "--from", "5"],
        &["consume", "t", "--from", "yesterday"],
        &["topic", "create", "t", "--partitions", "0"],
        &["topic"],
        &["fly"],
    ] {
        let (status, message) = fails(&server, arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {message}");
        assert!(message.contains("error: "), "{arguments:?}: {message}");
    }
    let bad_endpoint = finish(client("ftp://here", &["topic", "list"]).spawn().unwrap(), "topic list");
    assert_eq!(bad_endpoint.status.code(), Some(2), "{bad_endpoint:?}");
    let (status, message) = fails(&server, &["produce", "t", "--partition", "2"]);
    assert!(status == Some(1) && message.contains("it has partitions 0 to 1"), "{message}");
    let (status, message) = fails(&server, &["consume", "t", "--partition", "2"]);
    assert!(status == Some(1) && message.contains("has no partition 2"), "{message}");
    let (status, message) = fails(&server, &["produce", "nothing"]);
    assert!(status == Some(1) && message.contains("`eagre topic create nothing`"), "{message}");
    let (status, message) = fails(&server, &["produce", "t", "--file", "/does/not/exist"]);
    assert!(status == Some(1) && message.contains("cannot read /does/not/exist"), "{message}");
    for (option, value) in [("--partition", "-1"), ("--rate", "-1"), ("--delivery-timeout", "-1s")] {
        let (status, message) = fails(&server, &["produce", "t", option, value]);
        assert!(status == Some(2) && message.contains("invalid value") && message.contains(value), "{message}");
    }
    let own = tempfile::NamedTempFile::new().unwrap();
    fs::write(own.path(), "a\nb\n").unwrap();
    let path = own.path().to_str().unwrap();
    let (status, message) = fails(&server, &["produce", "t", "--file", path, "--acks-to", path]);
    assert!(status == Some(2) && message.contains("is the input itself"), "{message}");
    assert_eq!(fs::read(own.path()).unwrap(), b"a\nb\n");
    let (status, message) = fails(&server, &["produce", "t", "--file", "/"]);
    assert!(status == Some(1) && message.contains("cannot read /: is a directory"), "{message}");
}

#[test]
fn reading_begins_and_ends_where_the_command_says() {
    let (_folder, server) = server();
    server.run(&["topic", "create", "t", "--partitions", "2"]);
    let lines: String = (0..10).map(|number| format!("{number}\n")).collect();
    assert!(with_input(&server, &["produce", "t", "--partition", "0"], lines.as_bytes()).status.success());
    assert!(with_input(&server, &["produce", "t", "--partition", "1"], b"x\n").status.success());

    assert_eq!(read(&server, &["t", "--until-end"]).len(), 11);
    assert_eq!(offsets(&server, &["t", "--until-end", "--from", "end"]), NONE);
    assert_eq!(offsets(&server, &["t", "--until-end", "--from", "-3", "--partition", "0"]), [7, 8, 9]);
    assert_eq!(read(&server, &["t", "--until-end", "--from", "-3"]).len(), 4, "the last three of each partition");
    assert_eq!(offsets(&server, &["t", "--partition", "0", "--from", "8", "--until-end"]), [8, 9]);
    assert_eq!(offsets(&server, &["t", "--partition", "0", "--from", "2", "--max", "3"]), [2, 3, 4]);
    assert_eq!(offsets(&server, &["t", "--partition", "0", "--from", "10", "--until-end"]), NONE, "the end itself");
    assert_eq!(offsets(&server, &["t", "--from", "beginning", "--max", "0"]), NONE);
    assert_eq!(read(&server, &["t", "--until-end", "--from", "@-1h"]).len(), 11);
    assert_eq!(read(&server, &["t", "--until-end", "--from", "@0"]).len(), 11);
    assert_eq!(read(&server, &["t", "--until-end", "--from", "@2001-01-01T00:00:00Z"]).len(), 11);
    assert_eq!(read(&server, &["t", "--until-end", "--from", "@2999-01-01T00:00:00Z"]).len(), 0);
    let (status, message) = fails(&server, &["consume", "t", "--partition", "0", "--from", "11", "--until-end"]);
    assert!(status == Some(1) && message.contains("from 0 to 10"), "{message}");
}

#[test]
fn a_line_of_a_slow_pipe_is_not_held() {
    let (folder, server) = server();
    server.run(&["topic", "create", "t"]);
    let acked = folder.path().with_extension("acks");
    let mut produce = Produce::start(&server.endpoint(), &["t", "--acks-to", acked.to_str().unwrap()]);
    for number in 1..=3 {
        produce.line("a line");
        // The pipe stays open: nothing tells that no more comes soon.
        wait_until("the line is acknowledged", || acks(&acked).len() == number);
    }
    assert!(produce.finish().status.success());
    fs::remove_file(acked).unwrap();
}

#[test]
fn a_topic_deleted_meanwhile_is_told() {
    let (folder, server) = server();
    server.run(&["topic", "create", "t"]);
    let acked = folder.path().with_extension("acks");
    let mut produce = Produce::start(&server.endpoint(), &["t", "--acks-to", acked.to_str().unwrap()]);
    let consume = server.client(&["consume", "t", "--from", "beginning"]).spawn().unwrap();
    produce.line("before");
    wait_until("the line is acknowledged", || acks(&acked).len() == 1);
    server.run(&["topic", "delete", "t"]);
    produce.line("after");
    let output = produce.finish();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("1 of 2 records was not acknowledged, at line 2"), "{message}");
    assert!(message.contains("topic \"t\" does not exist"), "{message}");
    let output = finish(consume, "eagre consume");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && message.contains("was deleted while it was read"), "{message}");
    fs::remove_file(acked).unwrap();
}

#[test]
fn an_interrupted_reader_says_130() {
    let (_folder, server) = server();
    server.run(&["topic", "create", "t"]);
    assert!(with_input(&server, &["produce", "t"], b"line\n").status.success());
    let mut consume = server.client(&["consume", "t", "--from", "beginning"]).spawn().unwrap();
    let mut first = [0; 5];
    std::io::Read::read_exact(consume.stdout.as_mut().unwrap(), &mut first).unwrap();
    assert_eq!(&first, b"line\n", "what has come is shown at once");
    signal(&consume, rustix::process::Signal::INT);
    let output = finish(consume, "eagre consume");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(130), 0), "{output:?}");
}

#[test]
fn a_reader_whose_pipe_closes_ends_while_nothing_comes() {
    let (_folder, server) = server();
    server.run(&["topic", "create", "t"]);
    assert!(with_input(&server, &["produce", "t"], b"line\n").status.success());
    let mut consume = server.client(&["consume", "t", "--from", "beginning"]).spawn().unwrap();
    let mut stdout = consume.stdout.take().unwrap();
    let mut first = [0; 5];
    std::io::Read::read_exact(&mut stdout, &mut first).unwrap();
    drop(stdout);
    assert!(exit_status(&mut consume, "eagre consume").success());
}

#[test]
fn acks_that_cannot_be_written_are_a_failure() {
    let (_folder, server) = server();
    server.run(&["topic", "create", "t"]);
    assert!(Path::new("/dev/full").exists(), "Linux's device on which every write fails");
    let output = with_input(&server, &["produce", "t", "--acks-to", "/dev/full"], b"line\n");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && message.contains("cannot write to /dev/full"), "{message}");
}
