//! Starting: what a user can get wrong is said in words, and at once.

use std::{
    fs, net::TcpListener, os::unix::fs::PermissionsExt, os::unix::process::CommandExt, path::Path, process::Command,
};

use crate::support::{Server, dev, eagre, finish, free_port, wait_until};

/// The error that a start ends with.
pub fn refused(command: &mut Command) -> String {
    match Server::try_spawn(command) {
        Ok(server) => panic!("it started: {}", server.log()),
        Err(output) => {
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            String::from_utf8(output.stderr).unwrap()
        }
    }
}

/// Every part is in the text.
pub fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn free_ports_are_taken_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().join("new/bucket").to_str().unwrap());
    assert_ne!(server.grpc, server.http);
    assert!(server.get("/").unwrap().1.contains("/metrics"));
    assert_eq!(server.get("/healthz").unwrap().0, 200);
    assert_eq!(server.get("/readyz").unwrap().0, 200);
    server.run(&["topic", "create", "t"]);
    contains(&server.get("/metrics").unwrap().1, &["eagre_bucket_requests_total", "op=\"create\""]);
    assert_eq!(server.get("/nothing-here").unwrap().0, 404);
}

#[test]
fn a_file_url_is_the_same_bucket_as_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let server = Server::start(&format!("file://{path}"));
    server.run(&["topic", "create", "kept", "--partitions", "2"]);
    assert!(server.terminate().success());
    let server = Server::start(path);
    contains(&server.run(&["topic", "list"]), &["kept"]);
}

#[test]
fn a_bucket_in_memory_says_that_acks_do_not_outlive_the_process() {
    let server = Server::start("memory://");
    contains(&server.log(), &["outlive"]);
    server.run(&["topic", "create", "t", "--partitions", "1"]);
    assert_eq!(server.run(&["consume", "t", "--until-end"]), "");
}

#[test]
fn a_port_in_use_names_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = folder.path().to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    contains(&refused(&mut dev(bucket, &taken, "127.0.0.1:0")), &["--grpc", &taken]);
    contains(&refused(&mut dev(bucket, "127.0.0.1:0", &taken)), &["--http", &taken]);
}

#[test]
fn bad_settings_are_a_usage_error() {
    for arguments in [
        &["dev", "--bucket", "ftp://there"][..],
        &["dev", "--unheard-of"],
        &["dev", "--bucket", "memory://", "--grpc", "nonsense"],
        &["topic", "create", "t", "--partitions", "-1"],
        &["topic", "create"],
        &["consume", "t", "--from", "17"],
    ] {
        let output = finish(eagre().args(arguments).spawn().unwrap(), "eagre");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_second_one_on_the_same_bucket_is_refused_while_the_first_lives() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = folder.path().to_str().unwrap();
    let grpc = format!("127.0.0.1:{}", free_port());
    let first = Server::start_at(bucket, &grpc);
    let error = refused(&mut dev(bucket, "127.0.0.1:0", "127.0.0.1:0"));
    contains(&error, &[&grpc]);
    // The first one was not disturbed.
    first.run(&["topic", "create", "t"]);
    first.kill();
    let second = Server::start(bucket);
    contains(&second.run(&["topic", "list"]), &["t"]);
    // A clean stop leaves no claim to wait for.
    assert!(second.terminate().success());
    contains(&Server::start(bucket).run(&["topic", "list"]), &["t"]);
}

#[test]
fn a_folder_that_is_not_a_bucket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let error = refused(&mut dev(folder.path().to_str().unwrap(), "127.0.0.1:0", "127.0.0.1:0"));
    contains(&error, &["not", "thesis.txt"]);
    let found: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(found, ["thesis.txt"], "nothing was made beside it");
    let file = folder.path().join("thesis.txt");
    refused(&mut dev(file.to_str().unwrap(), "127.0.0.1:0", "127.0.0.1:0"));
    assert_eq!(fs::read_to_string(file).unwrap(), "years of work");
}

#[test]
fn a_bucket_of_a_newer_format_says_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = folder.path().to_str().unwrap();
    assert!(Server::start(bucket).terminate().success());
    let newer = r#"{"format":77,"needs_eagre":"9.8.7","anything":"else"}"#;
    fs::write(folder.path().join("eagre.json"), newer).unwrap();
    contains(&refused(&mut dev(bucket, "127.0.0.1:0", "127.0.0.1:0")), &["77", "9.8.7"]);
}

/// `eagre dev` as a user for whom permissions count: root's writes are never refused.
fn dev_as_nobody(program_folder: &Path, bucket: &str) -> Command {
    let program = program_folder.join("eagre");
    if !program.exists() {
        fs::set_permissions(program_folder, fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_eagre"), &program).unwrap();
    }
    let mut command = Command::new(program);
    command.args(["dev", "--bucket", bucket, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    if rustix::process::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    command.current_dir("/");
    command
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_that_says_so() {
    let (programs, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bucket = folder.path().join("bucket");
    fs::create_dir(&bucket).unwrap();
    let mode = |mode| {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&bucket, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o555);
    let path = bucket.to_str().unwrap();
    contains(&refused(&mut dev_as_nobody(programs.path(), path)), &[path, "ermission denied"]);
    assert_eq!(fs::read_dir(&bucket).unwrap().count(), 0);
    // The same of a bucket that was written before.
    mode(0o777);
    assert!(Server::spawn(&mut dev_as_nobody(programs.path(), path)).terminate().success());
    let names = || {
        let mut names: Vec<_> = walk(&bucket);
        names.sort();
        names
    };
    let before = names();
    make_read_only(&bucket);
    contains(&refused(&mut dev_as_nobody(programs.path(), path)), &["ermission denied"]);
    assert_eq!(names(), before);
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

fn make_read_only(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            make_read_only(&path);
        }
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o555)).unwrap();
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().to_str().unwrap());
    server.run(&["topic", "create", "t", "--partitions", "1"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let lines = elsewhere.path().join("lines");
    fs::write(&lines, (0..20_000).map(|n| format!("line {n} of many\n")).collect::<String>()).unwrap();
    server.run(&["produce", "t", "--file", lines.to_str().unwrap()]);
    let mut consume = server.client(&["consume", "t", "--from", "beginning"]).spawn().unwrap();
    let mut first = [0; 6];
    std::io::Read::read_exact(consume.stdout.as_mut().unwrap(), &mut first).unwrap();
    assert_eq!(&first, b"line 0");
    drop(consume.stdout.take());
    wait_until("consume ends once its reader is gone", || consume.try_wait().unwrap().is_some());
    let output = finish(consume, "consume");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
