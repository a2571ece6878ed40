//! Settings: who wins, what is refused, and what `eagre config check` says of it.

use std::{fs, process::Command};

use crate::support::{Server, dev, eagre, finish};

/// A file of settings in a folder of its own.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("eagre.toml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// Status, stdout and stderr.
fn ended(command: &mut Command) -> (Option<i32>, String, String) {
    let output = finish(command.spawn().unwrap(), "eagre");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn check(arguments: &[&str]) -> Command {
    let mut command = eagre();
    command.args(["config", "check"]).args(arguments);
    command
}

#[test]
fn flags_win_over_variables_and_those_over_the_file() {
    let (_folder, path) = file("bucket = 'of-the-file'\ngrpc = '127.0.0.1:1'\nhttp = '127.0.0.1:1'\n");
    let mut command = check(&["--config", &path, "--grpc", "127.0.0.1:3"]);
    command.env("EAGRE_GRPC", "127.0.0.1:2").env("EAGRE_HTTP", "127.0.0.1:2");
    let (status, stdout, stderr) = ended(&mut command);
    let rows: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    for expected in [
        ["bucket", "of-the-file", &format!("{path}:1:10")],
        ["grpc", "127.0.0.1:3", "--grpc"],
        ["http", "127.0.0.1:2", "EAGRE_HTTP"],
        ["insecure", "false", "default"],
    ] {
        assert!(rows.contains(&expected.to_vec()), "{expected:?} in {stdout}");
    }
    let mut command = check(&["--format", "json"]);
    let (status, stdout, _) = ended(command.env("EAGRE_CONFIG", &path).env("EAGRE_INSECURE", "on"));
    assert_eq!(status, Some(0));
    let settings: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |key: &str| settings.iter().find(|setting| setting["key"] == key).unwrap();
    let place = format!("{path}:3:8");
    let expected = serde_json::json!({ "key": "http", "value": "127.0.0.1:1", "source": "file", "place": place });
    assert_eq!(said("http"), &expected);
    assert_eq!(
        (&said("insecure")["source"], &said("insecure")["place"]),
        (&"variable".into(), &"EAGRE_INSECURE".into())
    );
}

#[test]
fn the_service_takes_its_settings_from_the_file() {
    let bucket = tempfile::tempdir().unwrap();
    let bucket = bucket.path().join("made");
    let (_folder, path) = file(&format!("bucket = {:?}\ngrpc = '127.0.0.1:0'\nhttp = '127.0.0.1:0'\n", bucket));
    let mut command = eagre();
    command.args(["dev", "--config", &path]).env("EAGRE_BUKCET", "elsewhere");
    let server = Server::spawn(&mut command);
    server.run(&["topic", "create", "t"]);
    assert!(bucket.join("eagre.json").exists());
    let log = server.log();
    assert!(log.contains("EAGRE_BUKCET is no setting") && log.contains("EAGRE_BUCKET"), "{log}");
}

#[test]
fn what_is_wrong_is_told_with_its_place_before_a_port_is_bound() {
    for (text, what, place) in [
        ("bucket = 'b'\nhtpp = '127.0.0.1:0'\n", "error: there is no setting `htpp`", ":2:1\n"),
        ("bucket = 'ftp://there'\n", "unknown scheme 'ftp'", ":1:10\n"),
        ("grpc = '0.0.0.0:0'\n", "reachable from other machines", ":1:8\n"),
        ("grpc = 8070\n", "`grpc` is a string, not a number", ":1:8\n"),
        ("insecure = true\ninsecure = true\n", "duplicate key", ":2:1\n"),
    ] {
        let (_folder, path) = file(text);
        for mut command in [check(&["--config", &path]), {
            let mut dev = eagre();
            dev.args(["dev", "--config", &path]);
            dev
        }] {
            let (status, stdout, stderr) = ended(&mut command);
            assert_eq!((status, stdout.as_str()), (Some(2), ""), "{text}: {stderr}");
            let place = format!("\n --> {path}{place}");
            assert!(
                stderr.contains(what) && stderr.contains(&place) && stderr.contains(" = help: "),
                "{text}: {stderr}"
            );
        }
    }
    let (status, _, stderr) = ended(check(&["--config", "/does/not/exist"]).env("EAGRE_GRPC", "127.0.0.1:0"));
    assert!(status == Some(2) && stderr.contains("cannot read the settings in /does/not/exist"), "{stderr}");
}

#[test]
fn a_variable_is_named_where_it_is_wrong() {
    let (status, _, stderr) = ended(check(&[]).env("EAGRE_INSECURE", "perhaps"));
    assert!(status == Some(2) && stderr.contains("invalid value 'perhaps' for '--insecure'"), "{stderr}");
    assert!(stderr.contains("\n --> EAGRE_INSECURE\n"), "{stderr}");
    let (status, _, stderr) = ended(check(&[]).env("EAGRE_HTTP", "[::]:80"));
    assert!(status == Some(2) && stderr.contains("\n --> EAGRE_HTTP\n") && stderr.contains("--insecure"), "{stderr}");
    let (status, _, stderr) = ended(check(&[]).env("EAGRE_HTPP", "127.0.0.1:80"));
    assert_eq!(status, Some(0));
    let expected = "\
warning: the variable EAGRE_HTPP is no setting, and has no effect
  = help: the nearest one is EAGRE_HTTP
";
    assert_eq!(stderr, expected);
}

#[test]
fn other_machines_are_let_in_only_when_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = folder.path().to_str().unwrap();
    for (grpc, http) in [("0.0.0.0:0", "127.0.0.1:0"), ("127.0.0.1:0", "[::]:0")] {
        let (status, _, stderr) = ended(&mut dev(bucket, grpc, http));
        assert!(status == Some(2) && stderr.contains("add --insecure"), "{stderr}");
    }
    assert_eq!(fs::read_dir(bucket).unwrap().count(), 0, "nothing was made");
    // Checked, and not started: no test opens a port to others.
    let mut command = check(&["--bucket", bucket, "--grpc", "0.0.0.0:0", "--insecure"]);
    let (status, _, stderr) = ended(&mut command);
    assert!(status == Some(0) && stderr.contains("other machines reach --grpc 0.0.0.0:0"), "{stderr}");
}

#[test]
fn a_bucket_that_this_program_cannot_reach_is_refused_by_the_check() {
    for (url, feature) in [("gs://bucket/p", "gcp"), ("az://container", "azure")] {
        let (status, stdout, stderr) = ended(&mut check(&["--bucket", url]));
        assert_eq!((status, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains("built without") && stderr.contains(&format!("--features {feature}")), "{stderr}");
    }
}

#[test]
fn passwords_in_urls_are_shown_nowhere() {
    let (_folder, path) = file("bucket = 's3://me:hush@there/p'\n");
    let (_other, traced) = file("otlp_endpoint = 'http://me:hush@there:4317/v1'\n");
    for arguments in [
        ["--config", path.as_str()],
        ["--config", traced.as_str()],
        ["--bucket", "s3://me:hush@there"],
        ["--otlp-endpoint", "http://me:hush@there:4317"],
        ["--otlp-endpoint", "https://me:hu/sh@there"],
    ] {
        let (status, stdout, stderr) = ended(&mut check(&arguments));
        assert_eq!((status, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!stderr.contains("hush") && !stderr.contains("hu/sh") && stderr.contains("://me:*"), "{stderr}");
    }
    let mut command = eagre();
    let (status, _, stderr) = ended(command.args(["topic", "list", "--endpoint", "http://me:hush@127.0.0.1:1"]));
    assert!(status == Some(2) && !stderr.contains("hush") && stderr.contains("a user has no meaning"), "{stderr}");
}

#[test]
fn the_limit_of_memory_is_divided_for_all_to_see() {
    let (_folder, path) = file("memory_limit = '1GiB'\n");
    let (status, stdout, stderr) = ended(&mut check(&["--config", &path]));
    assert_eq!(status, Some(0), "{stderr}");
    let parts =
        stdout.lines().skip_while(|line| !line.starts_with("MEMORY")).skip(1).take_while(|line| !line.is_empty());
    let mib = parts.map(|line| line.split_whitespace().last().unwrap().parse::<u64>().unwrap());
    let mib: Vec<_> = mib.collect();
    assert!(mib.len() > 10 && (1_000..=1_024).contains(&mib.iter().sum::<u64>()), "{stdout}");
    assert!(stdout.lines().last().unwrap().starts_with("There is room for"), "{stdout}");
    let (_, stdout, _) = ended(&mut check(&["--format", "json"]));
    let last: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let bytes: u64 = last["memory"].as_array().unwrap().iter().map(|part| part["bytes"].as_u64().unwrap()).sum();
    assert!(bytes <= 512 << 20 && bytes > 511 << 20, "{bytes}");
    let (connections, calls) = (&last["room_for"]["connections"], &last["room_for"]["calls"]);
    assert!(connections.as_u64().unwrap() > 1_500 && calls.as_u64().unwrap() > 3_500, "{last}");
    for (limit, said) in
        [("100MiB", "362MiB is the smallest limit"), ("1TiB", "16GiB is the largest"), ("much", "2GiB")]
    {
        let (status, _, stderr) = ended(check(&[]).env("EAGRE_MEMORY_LIMIT", limit));
        assert!(status == Some(2) && stderr.contains(said) && stderr.contains("EAGRE_MEMORY_LIMIT"), "{stderr}");
    }
}
