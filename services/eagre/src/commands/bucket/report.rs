//! What a check of a bucket comes to, for people and for programs.

use std::{fmt::Write as _, time::Duration};

use eagre_objects::{
    BucketKind, BucketUrl,
    check::{
        Finding, Latency, Op, Outcome, Report, percentile,
        price::{self, Cost, S3_STANDARD},
    },
};
use eagre_runtime::RequestPace;
use serde_json::{Value, json};

/// What acknowledgements are expected to take is worked out for an object of this size and the commit of it.
const ACK_OBJECT_BYTES: usize = 256 * 1024;
const COMMIT_BYTES: usize = 4 * 1024;
/// MiB a second whose cost is told.
const RATES: [u64; 3] = [1, 10, 50];

/// Whether Eagre can use a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It keeps everything that Eagre relies on.
    Right,
    /// It does not.
    Wrong,
    /// Its errors kept that from being found out.
    Unknown,
}

impl Verdict {
    fn of(report: &Report) -> Self {
        let is_unknown = |finding: &Finding| matches!(finding.outcome, Outcome::Unknown(_));
        if report.fatal().any(|finding| !is_unknown(finding)) {
            Self::Wrong
        } else if report.fatal().next().is_some() {
            Self::Unknown
        } else {
            Self::Right
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Unknown => "unknown",
        }
    }
}

/// A check that has ended, and what follows from it.
pub struct Checked<'a> {
    /// Whether Eagre can use the bucket.
    pub verdict: Verdict,
    url: &'a BucketUrl,
    report: &'a Report,
    /// For how long records are gathered.
    gathers: (Duration, Duration),
    /// In order of length; empty when that was not timed.
    acks: Vec<Duration>,
    /// Empty where nobody bills.
    costs: Vec<Cost>,
}

impl<'a> Checked<'a> {
    /// Works out what follows.
    pub fn new(url: &'a BucketUrl, kind: BucketKind, report: &'a Report) -> Self {
        let puts = |size_bytes| {
            let put = report.latencies.iter().find(|latency| latency.op == Op::Put && latency.size_bytes == size_bytes);
            put.map_or(&[][..], |latency| &latency.sorted)
        };
        let (pace, commits) = (RequestPace::over(kind), puts(COMMIT_BYTES));
        let month = |rate: &u64| price::month(&S3_STANDARD, *rate as f64, pace.puts_per_second(*rate));
        let is_billed = kind == BucketKind::Remote && !commits.is_empty();
        Self {
            verdict: Verdict::of(report),
            url,
            report,
            gathers: pace.gathers(),
            acks: price::acks(puts(ACK_OBJECT_BYTES), commits),
            costs: if is_billed { RATES.iter().map(month).collect() } else { vec![] },
        }
    }

    /// What comes below the lines of the findings.
    pub fn text(&self) -> String {
        let mut out = String::from("\n");
        self.write_latencies(&mut out);
        if !self.acks.is_empty() {
            let [p50, p99] = [50, 99].map(|percent| milliseconds(percentile(&self.acks, percent)));
            // Writing to a string does not fail, here and below.
            let _ = writeln!(
                out,
                "Acknowledgements to expect: p50 {p50}, p99 {p99}: a PUT of {} for the data, then one of {} for its commit.\n\
                 What is little goes inside of its commit and takes one of the two. To that comes the time for which records are\n\
                 gathered, {} to {}.\n",
                size(ACK_OBJECT_BYTES),
                size(COMMIT_BYTES),
                milliseconds(self.gathers.0),
                milliseconds(self.gathers.1),
            );
        }
        self.write_costs(&mut out);
        let _ = match self.verdict {
            Verdict::Right => writeln!(out, "right: Eagre can keep records in {}", self.url),
            Verdict::Wrong => writeln!(out, "WRONG: Eagre cannot keep records in {}: see above", self.url),
            Verdict::Unknown => {
                writeln!(out, "unknown: errors kept it from being found out; try again when {} is well", self.url)
            }
        };
        out
    }

    fn write_latencies(&self, out: &mut String) {
        if self.report.latencies.is_empty() {
            return;
        }
        let _ = writeln!(out, "{:<4} {:>8} {:>6} {:>10} {:>10} {:>10}", "", "SIZE", "TIMES", "P50", "P90", "LONGEST");
        for latency in &self.report.latencies {
            let [p50, p90, longest] = [50, 90, 100].map(|percent| milliseconds(percentile(&latency.sorted, percent)));
            let (size, times) = (size(latency.size_bytes), latency.sorted.len());
            let _ = writeln!(out, "{:<4} {size:>8} {times:>6} {p50:>10} {p90:>10} {longest:>10}", op(latency.op));
        }
        out.push('\n');
    }

    fn write_costs(&self, out: &mut String) {
        if self.costs.is_empty() {
            return;
        }
        let _ = writeln!(
            out,
            "Dollars a month by the prices of {}: {:.2} a million PUT or LIST, {:.2} a million GET, {:.3} a GiB and month.\n\n\
             {:>8} {:>8} {:>12} {:>22}",
            S3_STANDARD.name,
            S3_STANDARD.dollars_per_million_puts(),
            S3_STANDARD.dollars_per_million_gets(),
            S3_STANDARD.dollars_per_gib_month,
            "MiB/s",
            "PUT/s",
            "requests",
            "each day that is kept",
        );
        for cost in &self.costs {
            let Cost { mib_per_second, puts_per_second, request_dollars, day_kept_dollars } = cost;
            let _ = writeln!(
                out,
                "{mib_per_second:>8} {puts_per_second:>8.1} {request_dollars:>12.2} {day_kept_dollars:>22.2}"
            );
        }
        out.push('\n');
    }

    /// Everything as one object.
    pub fn json(&self) -> Value {
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        let latency = |latency: &Latency| {
            let at = |percent| ms(percentile(&latency.sorted, percent));
            json!({
                "op": op(latency.op).to_lowercase(), "size_bytes": latency.size_bytes, "count": latency.sorted.len(),
                "p50_ms": at(50), "p90_ms": at(90), "p99_ms": at(99), "max_ms": at(100),
            })
        };
        let cost = |cost: &Cost| {
            json!({
                "mib_per_second": cost.mib_per_second, "puts_per_second": cost.puts_per_second,
                "request_dollars_per_month": cost.request_dollars,
                "storage_dollars_per_month_and_day_kept": cost.day_kept_dollars,
            })
        };
        let acks = || {
            json!({
                "object_bytes": ACK_OBJECT_BYTES, "commit_bytes": COMMIT_BYTES,
                "p50_ms": ms(percentile(&self.acks, 50)), "p99_ms": ms(percentile(&self.acks, 99)),
                "gathered_for_up_to_ms": ms(self.gathers.1),
            })
        };
        json!({
            "bucket": self.url.to_string(),
            "verdict": self.verdict.name(),
            "findings": self.report.findings.iter().map(finding_json).collect::<Vec<_>>(),
            "latencies": self.report.latencies.iter().map(latency).collect::<Vec<_>>(),
            "acks": if self.acks.is_empty() { Value::Null } else { acks() },
            "price_sheet": {
                "name": S3_STANDARD.name, "dollars_per_million_puts": S3_STANDARD.dollars_per_million_puts(),
                "dollars_per_million_gets": S3_STANDARD.dollars_per_million_gets(),
                "dollars_per_gib_month": S3_STANDARD.dollars_per_gib_month,
            },
            "costs": self.costs.iter().map(cost).collect::<Vec<_>>(),
        })
    }
}

/// A finding as a line, ended.
pub fn line(finding: &Finding) -> String {
    let (mark, detail) = match (&finding.outcome, finding.otherwise) {
        (Outcome::Right, _) => ("right", String::new()),
        (Outcome::Wrong(detail), None) => ("WRONG", detail.clone()),
        (Outcome::Unsupported, None) => ("WRONG", "not supported".into()),
        (Outcome::Wrong(detail), Some(otherwise)) => ("no", format!("{detail}; that means: {otherwise}")),
        (Outcome::Unsupported, Some(otherwise)) => ("no", format!("not supported; that means: {otherwise}")),
        (Outcome::Unknown(detail), _) => ("unknown", detail.clone()),
    };
    // What a store says may have several lines.
    let detail = detail.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = format!("{mark:<8} {:<28} {detail}", finding.check);
    line.trim_end().to_owned() + "\n"
}

fn finding_json(finding: &Finding) -> Value {
    let (outcome, detail) = match &finding.outcome {
        Outcome::Right => ("right", None),
        Outcome::Wrong(detail) => ("wrong", Some(detail)),
        Outcome::Unsupported => ("unsupported", None),
        Outcome::Unknown(detail) => ("unknown", Some(detail)),
    };
    json!({
        "check": finding.check, "required": finding.otherwise.is_none(), "outcome": outcome, "detail": detail,
        "otherwise": finding.otherwise,
    })
}

fn op(op: Op) -> &'static str {
    match op {
        Op::Put => "PUT",
        Op::Get => "GET",
    }
}

fn milliseconds(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1_000.0;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

/// A size that is a whole number of KiB or MiB.
fn size(bytes: usize) -> String {
    let kib = bytes / 1024;
    if kib.is_multiple_of(1024) { format!("{} MiB", kib / 1024) } else { format!("{kib} KiB") }
}

#[cfg(test)]
mod tests;
