//! The real binary over a real S3 server, which `.ci/s3.py` starts and names in the environment.

use std::{env, fs};

use crate::{
    kill::kill_over,
    start::{contains, refused},
    support::{Log, Server, acks, dev, eagre, finish, free_port},
};

/// A prefix of its own in the server's bucket.
fn bucket(prefix: &str) -> String {
    let name = env::var("EAGRE_TEST_S3_BUCKET");
    let name = name.expect("EAGRE_TEST_S3_BUCKET is not set: run this test by `.ci/run s3`, which starts a server");
    format!("s3://{name}/{prefix}")
}

/// What a start over a bucket says that is refused, with these variables changed.
fn refusal(bucket: &str, variables: &[(&str, &str)]) -> String {
    refused(dev(bucket, "127.0.0.1:0", "127.0.0.1:0").envs(variables.iter().copied()))
}

#[test]
#[ignore = "needs an S3 server; .ci/run runs it beside one"]
fn acknowledged_records_are_there_in_the_next_life() {
    let (bucket, folder) = (bucket("lives"), tempfile::tempdir().unwrap());
    let (input, acked) = (folder.path().join("lines"), folder.path().join("acks"));
    let lines: Vec<String> = (0..20_000).map(|n| format!("line {n:06} {:.<120}", "")).collect();
    fs::write(&input, lines.join("\n")).unwrap();
    let first = Server::start(&bucket);
    contains(&first.log(), &["finding out whether the bucket is safe", "has passed its races"]);
    first.run(&["topic", "create", "t", "--partitions", "4"]);
    first.run(&["produce", "t", "--file", input.to_str().unwrap(), "--acks-to", acked.to_str().unwrap()]);
    let acks = acks(&acked);
    assert_eq!(acks.len(), lines.len());
    let check = |log: &Log| {
        assert_eq!(log.values().count(), lines.len());
        log.assert_acked(&acks, &lines);
    };
    check(&first.read_all("t"));
    assert!(first.terminate().success());
    let second = Server::start(&bucket);
    assert!(!second.log().contains("finding out"), "the races are run once: {}", second.log());
    check(&second.read_all("t"));
    contains(&second.get("/metrics").unwrap().1, &["eagre_bucket_requests_total", "op=\"get\""]);
    second.run(&["topic", "create", "after"]);
}

#[test]
#[ignore = "needs an S3 server; .ci/run runs it beside one"]
fn killed_under_load() {
    kill_over(&bucket("kill"), 4, 3);
}

#[test]
#[ignore = "needs an S3 server; .ci/run runs it beside one"]
fn a_second_process_on_the_bucket_is_refused_while_the_first_lives() {
    let bucket = bucket("two");
    let grpc = format!("127.0.0.1:{}", free_port());
    let first = Server::start_at(&bucket, &grpc);
    contains(&refusal(&bucket, &[]), &[&grpc, "--endpoint"]);
    first.run(&["topic", "create", "t"]);
    first.kill();
    contains(&Server::start(&bucket).run(&["topic", "list"]), &["t"]);
}

#[test]
#[ignore = "needs an S3 server; .ci/run runs it beside one"]
fn a_prefix_that_holds_something_else_is_left_alone() {
    assert!(Server::start(&bucket("outer/inner")).terminate().success());
    contains(&refusal(&bucket("outer"), &[]), &["not an Eagre bucket", "inner/"]);
    // A name that only begins the same is another place.
    assert!(Server::start(&bucket("out")).terminate().success());
}

#[test]
#[ignore = "needs an S3 server; .ci/run runs it beside one"]
fn what_a_user_can_get_wrong_is_said_in_words() {
    let here = bucket("wrong");
    for (variables, parts) in [
        (&[("AWS_SECRET_ACCESS_KEY", "wrong")][..], ["does not accept the credentials (Sig", "AWS_SECRET_ACCESS_KEY"]),
        (&[("AWS_ACCESS_KEY_ID", "nobody")], ["does not accept the credentials", "AWS_ACCESS_KEY_ID"]),
        (&[("AWS_REGION", "eu-west-1")], ["not in the region eu-west-1", "AWS_REGION=us-east-1"]),
        (&[("AWS_ALLOW_HTTP", "")], ["is unencrypted", "AWS_ALLOW_HTTP=true"]),
        (&[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")], ["cannot be reached: Connection refused", "AWS_ENDPOINT_URL"]),
        (&[("AWS_ENDPOINT_URL", "127.0.0.1")], ["'127.0.0.1' is no URL", "https://"]),
        (&[("AWS_ACCESS_KEY_ID", "")], ["settings in the environment", "AccessKeyId"]),
        (
            &[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("AWS_PROFILE", "work")],
            ["profile 'work'", "export-credentials --profile work"],
        ),
    ] {
        contains(&refusal(&here, variables), &parts);
    }
    contains(&refusal("s3://no-such-bucket-here/p", &[]), &["has no such bucket", "aws s3 mb"]);
}

#[test]
#[ignore = "needs an S3 server; .ci/run runs it beside one"]
fn the_bucket_is_checked() {
    let bucket = bucket("checked");
    let mut command = eagre();
    let output =
        finish(command.args(["bucket", "check", &bucket, "--format", "json"]).spawn().unwrap(), "eagre bucket check");
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let outcome = |check: &str| {
        let findings = report["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["check"] == check).unwrap()["outcome"].clone()
    };
    for check in ["create races", "conditional overwrite races", "long listings", "attributes", "clock"] {
        assert_eq!(outcome(check), "right", "{check}: {report}");
    }
    assert_eq!((&report["verdict"], report["costs"].as_array().unwrap().len()), (&"right".into(), 3));
    for (bucket, secret, parts) in [
        ("s3://no-such-bucket-here", None, ["has no such bucket", "aws s3 mb"]),
        (&*bucket, Some("wrong"), ["does not accept the credentials (Sig", "AWS_SECRET_ACCESS_KEY"]),
    ] {
        let mut command = eagre();
        command.args(["bucket", "check", bucket]).envs(secret.map(|secret| ("AWS_SECRET_ACCESS_KEY", secret)));
        let output = finish(command.spawn().unwrap(), "eagre bucket check");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        contains(&String::from_utf8(output.stderr).unwrap(), &parts);
    }
}
