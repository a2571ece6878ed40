//! A bucket of format 1, for ever: every later version opens it, reads it whole and appends to it.
//!
//! `tests/golden/bucket-v1` was written by the first version: two lives, the first of them killed; a fixed and an elastic
//! topic, one that was deleted and made again, one without records; values that are not UTF-8. `tests/golden/records` is
//! what it holds, by partition and offset. Neither is ever made anew: a change of formats adds a bucket beside it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{Produce, Server};

const TOPICS: [&str; 4] = ["elastic", "empty", "fixed", "gone"];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// The records of a topic by partition and offset, each as the command line prints it.
fn read(server: &Server, topic: &str) -> Vec<serde_json::Value> {
    let printed = server.run(&["consume", topic, "--from", "beginning", "--until-end", "--format", "json"]);
    sorted(&printed)
}

fn sorted(lines: &str) -> Vec<serde_json::Value> {
    let mut records: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    records.sort_by_key(|record| (record["partition"].as_u64(), record["offset"].as_i64()));
    records
}

fn expected(topic: &str) -> Vec<serde_json::Value> {
    sorted(&fs::read_to_string(golden().join("records").join(format!("{topic}.ndjson"))).unwrap())
}

fn append(server: &Server, topic: &str) {
    let mut produce = Produce::start(&server.endpoint(), &[topic, "--partition", "0"]);
    produce.line("appended");
    let output = produce.finish();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_bucket_of_the_first_version_is_read_and_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = folder.path().join("bucket");
    copy(&golden().join("bucket-v1"), &bucket);
    let bucket = bucket.to_str().unwrap();

    let server = Server::start(bucket);
    assert_eq!(server.run(&["topic", "list"]).lines().collect::<Vec<_>>(), TOPICS);
    for topic in TOPICS {
        assert_eq!(read(&server, topic), expected(topic), "{topic}");
        append(&server, topic);
    }
    server.kill();

    let server = Server::start(bucket);
    for topic in TOPICS {
        let records = read(&server, topic);
        assert_eq!(records.len(), expected(topic).len() + 1, "{topic}");
        let in_partition =
            |records: &[serde_json::Value]| records.iter().filter(|record| record["partition"] == 0).count();
        let new = in_partition(&records) - 1;
        let appended = records.iter().find(|record| record["partition"] == 0 && record["offset"] == new);
        assert_eq!(appended.map(|record| &record["value"]), Some(&"appended".into()), "{topic}");
        let old: Vec<_> = records.iter().filter(|record| Some(*record) != appended).cloned().collect();
        assert_eq!(old, expected(topic), "{topic}");
    }
}
