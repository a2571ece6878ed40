//! Words, numbers and the verdict.

use super::*;

fn finding(check: &'static str, otherwise: Option<&'static str>, outcome: Outcome) -> Finding {
    Finding { check, otherwise, outcome }
}

fn report(findings: Vec<Finding>) -> Report {
    let latency = |op, size_bytes, ms: &[u64]| {
        let sorted = ms.iter().map(|ms| Duration::from_millis(*ms)).collect();
        Latency { op, size_bytes, sorted }
    };
    let latencies = vec![
        latency(Op::Put, COMMIT_BYTES, &[20, 30, 40]),
        latency(Op::Get, COMMIT_BYTES, &[1, 2, 3]),
        latency(Op::Put, ACK_OBJECT_BYTES, &[100, 200]),
    ];
    Report { findings, latencies }
}

#[test]
fn the_worst_finding_decides() {
    let (wrong, unknown) = (Outcome::Wrong("w".into()), Outcome::Unknown("u".into()));
    for (findings, expected) in [
        (vec![finding("a", None, Outcome::Right), finding("b", Some("x"), wrong.clone())], Verdict::Right),
        (vec![finding("a", None, Outcome::Right), finding("b", None, unknown.clone())], Verdict::Unknown),
        (vec![finding("a", None, unknown.clone()), finding("b", None, wrong)], Verdict::Wrong),
        (vec![finding("a", None, Outcome::Unsupported)], Verdict::Wrong),
        (vec![finding("a", Some("x"), unknown)], Verdict::Right),
    ] {
        assert_eq!(Verdict::of(&report(findings.clone())), expected, "{findings:?}");
    }
}

#[test]
fn a_line_says_what_comes_of_it() {
    for (finding, expected) in [
        (finding("delete", None, Outcome::Right), "right    delete\n"),
        (
            finding("delete", None, Outcome::Wrong("it is there".into())),
            "WRONG    delete                       it is there\n",
        ),
        (
            finding("clock", Some("nothing"), Outcome::Unsupported),
            "no       clock                        not supported; that means: nothing\n",
        ),
    ] {
        assert_eq!(line(&finding), expected);
    }
}

#[test]
fn text_and_json_say_the_same() {
    let (url, report) = ("s3://b/p".parse::<BucketUrl>().unwrap(), report(vec![]));
    let checked = Checked::new(&url, BucketKind::Remote, &report);
    let text = checked.text();
    for part in [
        "PUT     4 KiB      3      30 ms      40 ms      40 ms\n",
        "GET     4 KiB      3    2.00 ms    3.00 ms    3.00 ms\n",
        "p50 140 ms, p99 240 ms: a PUT of 256 KiB for the data, then one of 4 KiB",
        "5.00 a million PUT or LIST",
        "\nright: Eagre can keep records in s3://b/p\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let json = checked.json();
    assert_eq!((&json["verdict"], &json["acks"]["p50_ms"]), (&json!("right"), &json!(140.0)));
    let costs = json["costs"].as_array().unwrap();
    assert_eq!(
        costs.iter().map(|cost| cost["mib_per_second"].as_f64()).collect::<Vec<_>>(),
        RATES.map(|rate| Some(rate as f64))
    );
    let rows = text.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    assert_eq!(rows.count(), RATES.len());
}

#[test]
fn a_folder_has_no_bill() {
    let (url, report) = ("./folder".parse::<BucketUrl>().unwrap(), report(vec![]));
    let checked = Checked::new(&url, BucketKind::Folder, &report);
    assert!(!checked.text().contains("Dollars"));
    assert_eq!(checked.json()["costs"], json!([]));
}
