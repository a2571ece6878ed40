//! `/metrics` and its table in `docs/metrics.md` say the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::support::Server;

/// What is known of a metric by its name.
#[derive(Debug, PartialEq, Eq)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
}

type Metrics = BTreeMap<String, Metric>;

/// Rows of the tables: `name` | type | unit | labels | …
fn documented() -> Metrics {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let text = fs::read_to_string(path).unwrap();
    let mut metrics = Metrics::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, kind, _, labels, meaning, use_, _] = cells[..] else { panic!("a row has six cells: {line}") };
        assert!(!meaning.is_empty() && !use_.is_empty(), "say what it is and what it is good for: {line}");
        let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
        let name = quoted(name).pop_first().unwrap();
        let metric = Metric { kind: kind.to_owned(), labels: quoted(labels) };
        assert!(metrics.insert(name.clone(), metric).is_none(), "{name} has two rows");
    }
    metrics
}

/// What a scrape shows, histograms under their own names; and those with a `# HELP`.
fn scraped(page: &str) -> (Metrics, BTreeSet<String>) {
    let (mut metrics, mut helped) = (Metrics::new(), BTreeSet::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            metrics.insert(name.to_owned(), Metric { kind: kind.to_owned(), labels: BTreeSet::new() });
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            helped.extend(rest.split_once(' ').map(|(name, _)| name.to_owned()));
        } else if !line.is_empty() {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
                name.strip_suffix(suffix).filter(|base| metrics.get(*base).is_some_and(|it| it.kind == "histogram"))
            });
            let metric = metrics.get_mut(base.unwrap_or(name)).unwrap_or_else(|| panic!("no type before {line}"));
            let labels =
                line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(labels, _)| labels);
            // The values of our labels hold neither commas nor quotes.
            let names = labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned());
            metric.labels.extend(names.filter(|name| name != "le"));
        }
    }
    (metrics, helped)
}

#[test]
fn the_table_of_metrics_is_true() {
    let folder = tempfile::tempdir().unwrap();
    // Behind a network, in a manner of speaking, where every part has its metrics.
    let server = Server::start("model+memory://?seed=1");
    server.run(&["topic", "create", "t", "--partitions", "1"]);
    let lines = folder.path().join("lines");
    // The second one is too large to go inside of a commit.
    fs::write(&lines, format!("one\n{}\n", "two".repeat(150_000))).unwrap();
    server.run(&["produce", "t", "--file", lines.to_str().unwrap()]);
    assert_eq!(server.read_all("t").values().count(), 2);
    let (status, page) = server.get("/metrics").unwrap();
    assert_eq!(status, 200);
    let (shown, helped) = scraped(&page);
    let documented = documented();
    let mut findings = Vec::new();
    for (name, metric) in &shown {
        match documented.get(name) {
            None => findings.push(format!(
                "{name} has no row in docs/metrics.md. Add to the table of its part:\n  \
                 | `{name}` | {} | UNIT | {} | WHAT IT IS | WHAT IT IS GOOD FOR |",
                metric.kind,
                if metric.labels.is_empty() { "-".to_owned() } else { format!("`{}`", joined(&metric.labels)) },
            )),
            Some(row) if row != metric => {
                findings.push(format!("{name}: docs/metrics.md says {row:?}, the process shows {metric:?}"));
            }
            Some(_) => {}
        }
        if !helped.contains(name) {
            findings.push(format!("{name} is not described: call metrics::describe_{}! for it", metric.kind));
        }
        if metric.kind == "counter" && !name.ends_with("_total") {
            findings.push(format!("{name}: the name of a counter ends in _total"));
        }
        if metric.kind == "summary" {
            findings.push(format!("{name}: a histogram needs buckets: services/runtime/src/telemetry.rs gives them"));
        }
    }
    for name in documented.keys().filter(|name| !shown.contains_key(*name)) {
        findings.push(format!(
            "{name} has a row in docs/metrics.md and is not shown. Where it is described, let it begin at 0 \
             (counter!(…).increment(0)), let this test cause it, or remove the row"
        ));
    }
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

fn joined(labels: &BTreeSet<String>) -> String {
    labels.iter().map(String::as_str).collect::<Vec<_>>().join("`, `")
}

/// A profile is served where it was asked for, to this machine alone.
#[test]
fn a_profile_is_taken_only_where_it_was_asked_for() {
    let without = Server::start("memory://");
    assert_eq!(without.get("/debug/pprof/profile?seconds=1").unwrap().0, 404);
    assert_eq!(without.get("/debug/tasks").unwrap().0, 404);
    drop(without);
    let mut command = crate::support::dev("memory://", "127.0.0.1:0", "127.0.0.1:0");
    let server = Server::spawn(command.arg("--debug-endpoints"));
    let (status, why) = server.get("/debug/pprof/profile?seconds=1000").unwrap();
    assert_eq!((status, &*why), (400, "seconds is a whole number from 1 to 60\n"));
    let (status, tasks) = server.get("/debug/tasks").unwrap();
    assert_eq!(status, 200, "{tasks}");
    assert!(tasks.starts_with("task ") && tasks.contains("eagre_sequencer::committer"), "{tasks}");
    let mut command = crate::support::dev("memory://", "127.0.0.1:0", "0.0.0.0:0");
    let refused = Server::try_spawn(command.args(["--debug-endpoints", "--insecure"])).map(drop).unwrap_err();
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("--debug-endpoints is for this machine alone"), "{stderr}");
}
