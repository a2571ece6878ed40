//! The JSON API of the HTTP port, as curl would use it.

use serde_json::{Value, json};

use crate::support::Server;

const JSON: &str = "application/json";

fn start() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().to_str().unwrap());
    (folder, server)
}

fn call(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, body) = server.http(method, path, JSON, body.to_string().as_bytes()).unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

fn get(server: &Server, path: &str) -> Value {
    let (status, body) = server.get(path).unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn topics_come_and_go() {
    let (_folder, server) = start();
    let (status, topic) = call(&server, "POST", "/v1/topics", &json!({"name": "t", "partitions": 2}));
    assert_eq!((status, &topic["name"], &topic["partitions"]), (201, &json!("t"), &json!(2)), "{topic}");
    let (status, error) = call(&server, "POST", "/v1/topics", &json!({"name": "t"}));
    assert_eq!((status, &error["error"]["reason"]), (409, &json!("TOPIC_EXISTS")));
    call(&server, "POST", "/v1/topics", &json!({"name": "u"}));
    let listed = get(&server, "/v1/topics?max=1");
    assert_eq!((&listed["topics"][0]["name"], &listed["next"]), (&json!("t"), &json!("t")));
    assert_eq!(get(&server, "/v1/topics?after=t")["topics"][0]["placement"], "residue_class");
    assert_eq!(
        get(&server, "/v1/topics/t")["bounds"][1],
        json!({
            "partition": 1, "log_start_offset": 0, "high_watermark": 0, "size_bytes": 0
        })
    );
    assert_eq!(server.http("DELETE", "/v1/topics/t", "", b"").unwrap().0, 204);
    assert_eq!(server.get("/v1/topics/t").unwrap().0, 404);
}

#[test]
fn records_come_back_as_they_went() {
    let (_folder, server) = start();
    call(&server, "POST", "/v1/topics", &json!({"name": "t", "partitions": 3}));
    let records = json!({"records": [
        {"key": "alice", "value": "caf\u{e9}", "timestamp_ms": 1_700_000_000_000_i64,
         "headers": [{"key": "h", "value": "1"}, {"key": "h"}, {"key": "b", "value_base64": "/w=="}]},
        {"key_base64": "AP8=", "value_base64": "/v79"},
        {"key": "alice"},
    ]});
    let (status, produced) = call(&server, "POST", "/v1/topics/t/records", &records);
    assert_eq!(status, 200, "{produced}");
    let place = |record: usize| {
        let position = &produced["positions"][record];
        (position["partition"].as_u64().unwrap(), position["offset"].as_i64().unwrap())
    };
    assert_eq!(place(0).0, place(2).0, "one key, one partition");

    let fetched = get(&server, "/v1/topics/t/records");
    assert_eq!(fetched["records"].as_array().unwrap().len(), 3);
    let at = |(partition, offset)| {
        let all = fetched["records"].as_array().unwrap();
        let is_there = |record: &&Value| record["partition"] == partition && record["offset"] == offset;
        all.iter().find(is_there).unwrap_or_else(|| panic!("{fetched}")).clone()
    };
    let first = at(place(0));
    assert_eq!((&first["key"], &first["value"]), (&json!("alice"), &json!("caf\u{e9}")));
    assert_eq!(first["timestamp_ms"], 1_700_000_000_000_i64);
    let headers =
        json!([{"key": "h", "value": "1"}, {"key": "h", "value": null}, {"key": "b", "value_base64": "/w=="}]);
    assert_eq!(first["headers"], headers);
    let second = at(place(1));
    assert_eq!((&second["key_base64"], &second["value_base64"]), (&json!("AP8="), &json!("/v79")));
    assert_eq!(at(place(2))["value"], Value::Null);

    // One at a time, from where the answer before says.
    let partition = place(0).0;
    let path = |from: &str| format!("/v1/topics/t/records?partition={partition}&max=1&from={from}");
    let mut from = "earliest".to_owned();
    for offset in 0..2 {
        let one = get(&server, &path(&from));
        assert_eq!(one["records"][0]["offset"], offset);
        from = one["next"][0]["offset"].to_string();
    }
    assert_eq!(get(&server, &path(&from))["records"], json!([]));
    assert_eq!(get(&server, &path("@1700000000000"))["records"][0]["offset"], 0);
    assert_eq!(get(&server, &path("@1700000000001"))["records"][0]["offset"], 1, "the other one is of today");
    let (status, all) = server.get("/v1/topics/t/records?from=@0").unwrap();
    assert!(status == 200 && all.contains("1700000000000"), "{all}");
    let (status, error) = server.get(&path("7")).unwrap();
    assert!(status == 416 && error.contains("OFFSET_OUT_OF_RANGE") && error.contains("high_watermark"), "{error}");
}

#[test]
fn a_numbered_request_lands_once() {
    let (_folder, server) = start();
    call(&server, "POST", "/v1/topics", &json!({"name": "t"}));
    let id = call(&server, "POST", "/v1/producers", &json!({})).1["id"].clone();
    let body = |sequence: i32| {
        let records = ["a", "b", "c"].map(|key| json!({"key": key, "value": "v"}));
        json!({"records": records, "producer": {"id": id, "first_sequence": sequence}})
    };
    let (_, first) = call(&server, "POST", "/v1/topics/t/records", &body(0));
    let (_, again) = call(&server, "POST", "/v1/topics/t/records", &body(0));
    assert_eq!((&first["duplicate"], &again["duplicate"]), (&json!(false), &json!(true)));
    assert_eq!(first["positions"], again["positions"]);
    assert_eq!(get(&server, "/v1/topics/t/records")["records"].as_array().unwrap().len(), 3);
    let (status, error) = call(&server, "POST", "/v1/topics/t/records", &body(9));
    let error = &error["error"];
    assert_eq!(
        (status, &error["reason"], &error["outcome"]),
        (412, &json!("OUT_OF_ORDER_SEQUENCE"), &json!("definite"))
    );
    assert_eq!(error["metadata"]["expected_sequence"], "3");
    for made_up in [json!(0), json!(4_711)] {
        let body = json!({"records": [{"value": "v"}], "producer": {"id": made_up, "first_sequence": 0}});
        let (status, error) = call(&server, "POST", "/v1/topics/t/records", &body);
        let error = &error["error"];
        assert_eq!(
            (status, &error["reason"], &error["outcome"]),
            (412, &json!("UNISSUED_PRODUCER_ID"), &json!("definite"))
        );
    }
}

#[test]
fn a_reader_waits_for_what_comes() {
    let (_folder, server) = start();
    call(&server, "POST", "/v1/topics", &json!({"name": "t"}));
    let nothing = get(&server, "/v1/topics/t/records?from=latest&wait_ms=1");
    assert_eq!((&nothing["records"], nothing["next"].as_array().unwrap().len()), (&json!([]), 4));
    let waited = std::thread::scope(|scope| {
        let reader = scope.spawn(|| get(&server, "/v1/topics/t/records?wait_ms=30000"));
        call(&server, "POST", "/v1/topics/t/records", &json!({"records": [{"value": "now"}]}));
        reader.join().unwrap()
    });
    assert_eq!(waited["records"][0]["value"], "now");
}

/// Method, path, content type and body; the status, and what the answer says.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [u8], u16, &'a str);

#[test]
fn bad_requests_are_refused_for_what_they_are() {
    let (_folder, server) = start();
    call(&server, "POST", "/v1/topics", &json!({"name": "t"}));
    let records = "/v1/topics/t/records";
    let large = format!(r#"{{"records":[{{"value":"{}"}}]}}"#, "x".repeat(2 << 20));
    let too_long = "x".repeat((4 << 20) + 1);
    let deep = "[".repeat(100_000);
    let many = format!(r#"{{"records":[{}{{}}]}}"#, "{},".repeat(10_000));
    let cases: [Case<'_>; 19] = [
        ("POST", records, "text/plain", b"{}", 415, "content-type: application/json"),
        ("POST", records, JSON, b"", 400, "not JSON"),
        ("POST", records, JSON, b"{\"records\":[{\"value\":\"\xff\"}]}", 400, "not JSON"),
        ("POST", records, JSON, deep.as_bytes(), 400, "JSON"),
        (
            "POST",
            records,
            JSON,
            br#"{"records":[{"value":{}}]}"#,
            400,
            "at line 1, column 21: an object stands where this belongs: a string",
        ),
        ("POST", records, JSON, br#"{"records":[]}"#, 400, "no records"),
        ("POST", records, JSON, br#"{"records":[{"value_base64":"?"}]}"#, 400, "not base64"),
        ("POST", records, JSON, br#"{"records":[{"value":"","value_base64":""}]}"#, 400, "leave one out"),
        ("POST", records, JSON, br#"{"records":[{}],"partition":9}"#, 404, "UNKNOWN_PARTITION"),
        ("POST", records, JSON, large.as_bytes(), 413, "TOO_LARGE"),
        ("POST", records, JSON, too_long.as_bytes(), 413, "TOO_LARGE"),
        ("POST", records, JSON, many.as_bytes(), 413, "more than 10000"),
        ("POST", "/v1/producers", JSON, br#"{"x":1}"#, 400, "no field"),
        ("GET", "/v1/topics/t/records?from=@noon", "", b"", 400, "milliseconds since 1970"),
        ("POST", "/v1/topics/nowhere/records", JSON, br#"{"records":[{}]}"#, 404, "create it first"),
        ("POST", "/v1/topics", JSON, br#"{"name":"a/b"}"#, 400, "INVALID_TOPIC_NAME"),
        ("PUT", records, JSON, b"{}", 405, "method"),
        ("GET", "/v1/topics/t/records?from=5", "", b"", 400, "partition"),
        ("GET", "/v1/nothing", "", b"", 404, "no such path"),
    ];
    for (method, path, content_type, body, status, said) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let (code, answer) = server.http(method, path, content_type, body).unwrap();
        assert!(code == status && answer.contains(said), "{method} {path} {shown}: {code} {answer}");
        assert!(serde_json::from_str::<Value>(&answer).unwrap()["error"]["message"].is_string(), "{answer}");
    }
    assert_eq!(get(&server, records)["records"], json!([]));
}

/// Clients that ask and do not read hold what they asked for and no more: others are answered.
#[test]
fn answers_that_nobody_reads_hold_nobody_up() {
    let (_folder, server) = start();
    call(&server, "POST", "/v1/topics", &json!({"name": "t", "partitions": 1}));
    let value = "x".repeat(200_000);
    for _ in 0..5 {
        let (status, said) = call(&server, "POST", "/v1/topics/t/records", &json!({"records": [{"value": value}]}));
        assert_eq!(status, 200, "{said}");
    }
    let deaf: Vec<_> = (0..10).map(|_| server.ask_and_do_not_read("/v1/topics/t/records")).collect();
    let page = get(&server, "/v1/topics/t/records");
    assert_eq!(page["records"].as_array().map(Vec::len), Some(5));
    assert_eq!(page["records"][4]["value"].as_str().map(str::len), Some(200_000));
    drop(deaf);
}
