//! A write over a folder is answered when it would survive a power cut, as the system calls show.

#![cfg(test)]

use std::{collections::BTreeSet, path::Path, process::Command};

use bytes::Bytes;
use eagre_env::Env;
use eagre_objects::{Bucket, BucketUrl};

const OPEN: &str = "EAGRE_TEST_OPEN";

/// Runs `child` of this test under strace and returns the calls it made, one a line, paths in the place of handles.
fn traced(child: &str, bucket: &Path) -> Vec<String> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let exe = std::env::current_exe().unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat,mkdir,write", "-o"]);
    command.arg(log.path()).arg(exe).args(["--exact", child, "--nocapture"]).env(OPEN, bucket);
    let output = command.output().expect("this test needs strace: install it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "strace needs the right to trace processes (SYS_PTRACE in a container): {said}");
    std::fs::read_to_string(log.path()).unwrap().lines().map(str::to_owned).collect()
}

/// The directories and files synced before the line that holds `mark`.
fn synced_before(calls: &[String], mark: &str) -> BTreeSet<String> {
    let end = calls.iter().position(|call| call.contains(mark)).unwrap_or_else(|| panic!("no {mark} in {calls:#?}"));
    let synced = calls[..end].iter().filter(|call| call.contains("fsync(") || call.contains("fdatasync("));
    synced.filter_map(|call| Some(call.split_once('<')?.1.split_once('>')?.0.to_owned())).collect()
}

#[test]
fn put_syncs_data_directory_and_new_directories() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap().join("bucket");
    let calls = traced("child_puts", &root);
    let at = |below: &str| root.join(below).display().to_string();
    let put = synced_before(&calls, "answered: put");
    for path in [&at("wal/1/first#1"), &at("wal/1"), &at("wal"), &root.display().to_string()] {
        assert!(put.contains(path), "{path} was not synced before the put was answered: {put:?}");
    }
    let create = synced_before(&calls, "answered: create");
    for path in [at("lease/0/1#1"), at("lease/0"), at("lease")] {
        assert!(create.contains(&path), "{path} was not synced before the create was answered: {create:?}");
    }
    let order: Vec<_> = calls.iter().filter(|call| call.contains("wal/1") && !call.contains("mkdir")).collect();
    let find = |what: &str| order.iter().position(|call| call.contains(what)).unwrap_or_else(|| panic!("no {what}"));
    let published = order.iter().position(|call| call.contains("rename")).unwrap();
    assert!(find("first#1>") < published, "the data is synced before the object can be seen: {order:#?}");
    assert!(
        order[published..].iter().any(|call| call.contains("fsync") && call.contains("wal/1>")),
        "the directory is synced after the object was put there: {order:#?}"
    );
}

#[tokio::test]
async fn child_puts() {
    let Some(folder) = std::env::var_os(OPEN) else { return };
    let bucket = Bucket::open(&Env::system(), &BucketUrl::Folder(folder.into())).await.unwrap();
    bucket.put("wal/1/first", Bytes::from_static(b"data")).await.unwrap();
    println!("answered: put");
    bucket.create("lease/0/1", Bytes::from_static(b"claim")).await.unwrap();
    println!("answered: create");
}

/// A directory that somebody else made may not be on the disk yet.
#[test]
fn directories_that_are_there_are_synced_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    std::fs::create_dir_all(root.join("wal/1")).unwrap();
    std::fs::write(root.join("eagre.json"), MARKER).unwrap();
    std::fs::write(root.join("wal/1/taken"), "theirs").unwrap();
    let calls = traced("child_writes_twice", &root);
    let chain: Vec<String> = ["", "wal", "wal/1"].map(|below| root.join(below).display().to_string()).to_vec();
    let first = synced_before(&calls, "answered: first");
    for path in &chain {
        assert!(first.contains(path.trim_end_matches('/')), "{path} was not synced: {first:?}");
    }
    let after_first = calls.iter().position(|call| call.contains("answered: first")).unwrap();
    let second = synced_before(&calls[after_first..], "answered: second");
    let parent = root.join("wal/1").display().to_string();
    assert_eq!(
        second,
        BTreeSet::from([format!("{parent}/second#1"), parent.clone()]),
        "the chain is known to be there"
    );
    let after_second = calls.iter().position(|call| call.contains("answered: second")).unwrap();
    let refused = synced_before(&calls[after_second..], "answered: exists");
    assert!(refused.contains(&parent), "what is said to exist is on the disk: {refused:?}");
}

const MARKER: &str = r#"{"format":1,"needs_eagre":"0.1.0","cluster_id":"c","created_at_ms":1}"#;

#[tokio::test]
async fn child_writes_twice() {
    let Some(folder) = std::env::var_os(OPEN) else { return };
    let bucket = Bucket::open(&Env::system(), &BucketUrl::Folder(folder.into())).await.unwrap();
    bucket.put("wal/1/first", Bytes::from_static(b"data")).await.unwrap();
    println!("answered: first");
    bucket.put("wal/1/second", Bytes::from_static(b"data")).await.unwrap();
    println!("answered: second");
    bucket.create("wal/1/taken", Bytes::from_static(b"mine")).await.unwrap();
    println!("answered: exists");
}
