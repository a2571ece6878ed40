//! `eagre bucket check`, where no server is needed.

use std::{
    fs,
    io::{BufRead, BufReader},
};

use rustix::process::Signal;

use crate::{
    start::contains,
    support::{Server, eagre, finish, signal},
};

#[test]
fn a_folder_is_right_and_can_be_used_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = folder.path().join("bucket");
    let bucket = bucket.to_str().unwrap();
    let output = finish(eagre().args(["bucket", "check", bucket, "--quick"]).spawn().unwrap(), "eagre bucket check");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    contains(&text, &["right    create races", "PUT     8 MiB", "p99", "\nright: Eagre can keep records in"]);
    assert_eq!(fs::read_dir(bucket).unwrap().count(), 0, "nothing is left");
    Server::start(bucket).run(&["topic", "create", "t"]);
}

#[test]
fn json_is_one_object() {
    let mut command = eagre();
    let output = finish(
        command.args(["bucket", "check", "memory://", "--quick", "--format", "json"]).spawn().unwrap(),
        "eagre bucket check",
    );
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["verdict"], &report["bucket"]), (&"right".into(), &"memory://".into()));
    assert_eq!(report["findings"][0]["check"], "create races");
}

#[test]
fn an_interrupted_check_takes_away_what_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let mut check = eagre().args(["bucket", "check", folder.path().to_str().unwrap()]).spawn().unwrap();
    // The first finding is there; many are not.
    let mut first = String::new();
    BufReader::new(check.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    contains(&first, &["create races"]);
    signal(&check, Signal::INT);
    let output = finish(check, "eagre bucket check after SIGINT");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn what_cannot_be_checked_says_why() {
    for (bucket, status, parts) in [
        ("ftp://there", 2, ["ftp", "s3://bucket/prefix"]),
        ("s3://bucket/a b", 2, ["' '", "letters, digits"]),
        ("s3:///prefix", 2, ["names no bucket", "s3://bucket/prefix"]),
        ("gs://bucket", 1, ["without gs:// buckets", "--features gcp"]),
        ("az://bucket", 1, ["without az:// buckets", "--features azure"]),
    ] {
        let output = finish(eagre().args(["bucket", "check", bucket]).spawn().unwrap(), "eagre bucket check");
        assert_eq!(output.status.code(), Some(status), "{bucket}: {output:?}");
        contains(&String::from_utf8(output.stderr).unwrap(), &parts);
    }
}
