//! From what was measured and judged to what is told.

use std::{collections::BTreeMap, time::Duration};

use eagre_report::{
    BoundResult, Checks, Client, ConsumerResult, Cost, Finding, Latencies, Machine, Outcome, RunResult, ScenarioText,
    Server, Target, Verdict, count,
};
use eagre_verify::stream;
use eagre_workload::{Consumers, From, Scenario};

use super::series::{LIMITED_MS, Sums, Whole, distribution};
use crate::{
    consume::stats::ConsumerStats,
    run::recorder::{Times, times},
    system::{GIB, MIB},
};
use std::sync::{Arc, atomic::Ordering};

/// Everything that is known at the end.
pub struct Found {
    /// What was asked for.
    pub scenario: Scenario,
    /// Of whom.
    pub target: Target,
    /// Since the Unix epoch.
    pub started_at_unix_ms: u64,
    /// Where.
    pub machine: Machine,
    /// What was measured.
    pub whole: Whole,
    /// What was judged.
    pub verdict: stream::Verdict,
    /// Answers that make no sense, and tasks that failed.
    pub protocol: Vec<String>,
    /// Ends of logs that the service stated below what it had acknowledged.
    pub wrong_ends: Vec<String>,
    /// Everybody who read.
    pub consumers: Vec<Arc<ConsumerStats>>,
    /// What happened.
    pub events: (Vec<eagre_report::Event>, u64),
    /// How many actions were done to the service.
    pub actions: u64,
    /// It was interrupted at this second.
    pub interrupted_s: Option<f64>,
    /// Of the server's folder, where it is known.
    pub disk_bytes: Option<u64>,
    /// Whether somebody charges for requests to the bucket, where it is known.
    pub is_charged: Option<bool>,
    /// How far the wall clock moved against the run's.
    pub clock_jump: Duration,
    /// Everything that was due was taken up, so that is what was offered, to the record.
    pub all_taken: bool,
}

/// The whole result.
pub fn result(mut found: Found) -> RunResult {
    let sums = &mut found.whole.sums;
    if let Some(at_s) = found.interrupted_s {
        // Of its last second there was only a part.
        let measured_s = (at_s - found.scenario.warm_up.as_secs_f64().ceil()).max(0.0);
        sums.totals.seconds = sums.totals.seconds.min(measured_s);
    }
    if found.all_taken {
        (sums.totals.offered_records, sums.totals.offered_bytes) = sums.taken;
    }
    let checks = checks(&found);
    let first_record = first_records(&found.consumers);
    let Sums { ack, end_to_end, lateness, .. } = &found.whole.sums;
    let latency = Latencies {
        ack: distribution(ack.as_ref()),
        end_to_end: distribution(end_to_end.as_ref()),
        first_record: distribution(Some(&first_record)),
        lateness: distribution(lateness.as_ref()),
    };
    let bounds = bounds(&found, &latency);
    let verdict = verdict(&found, &checks, &bounds, &latency);
    let server = server(&found);
    let client = client(&found);
    let cost = cost(&found);
    let not_shown = not_shown(&found, &client);
    let consumers = consumers(&found.scenario.consumers, &found.consumers);
    let Found { scenario, target, started_at_unix_ms, machine, whole, events, .. } = found;
    RunResult {
        format: eagre_report::FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        verdict,
        scenario: ScenarioText {
            seconds: scenario.schedule.duration().as_secs_f64(),
            // Whole seconds are measured.
            warm_up_s: scenario.warm_up.as_secs_f64().ceil(),
            stages: scenario.schedule.stages().iter().map(|mark| (mark.at.as_secs_f64(), mark.name.clone())).collect(),
            name: scenario.name,
            about: scenario.about,
            toml: scenario.toml,
            seed: scenario.seed,
        },
        target,
        started_at_unix_ms,
        machine,
        totals: whole.sums.totals,
        latency,
        series: whole.points,
        events: events.0,
        consumers,
        checks,
        bounds,
        server,
        client,
        cost,
        not_shown,
    }
}

fn checks(found: &Found) -> Checks {
    let verdict = &found.verdict;
    let mut findings: Vec<Finding> = stream::Kind::ALL
        .into_iter()
        .map(|kind| {
            let of = verdict.findings.get(&kind);
            Finding {
                kind: kind.name().to_owned(),
                meaning: kind.meaning().to_owned(),
                count: of.map_or(0, |of| of.count),
                examples: of.map_or(Vec::new(), |of| of.examples.clone()),
            }
        })
        .collect();
    for (kind, meaning, sentences) in [
        ("wrong_end", "an end of a log stated below what was acknowledged before", &found.wrong_ends),
        ("protocol", "answers that make no sense, or none at all", &found.protocol),
    ] {
        findings.push(Finding {
            kind: kind.into(),
            meaning: meaning.into(),
            count: sentences.len() as u64,
            examples: sentences.iter().take(10).cloned().collect(),
        });
    }
    let counts = &verdict.counts;
    Checks {
        findings,
        acked: counts.acked,
        read: counts.read,
        unknown_visible: counts.unknown_visible,
        unknown_absent: counts.unknown_absent,
        failed: counts.failed,
        offsets_compared: counts.offsets_compared + counts.offsets_by_digest,
        unchecked: verdict.unchecked.clone(),
    }
}

fn first_records(consumers: &[Arc<ConsumerStats>]) -> Times {
    let mut seen = times();
    for after_ns in consumers.iter().filter(|of| of.kind.is_some()).filter_map(|consumer| consumer.times().0) {
        seen.record(after_ns.div_ceil(1_000)).ok();
    }
    seen
}

fn bounds(found: &Found, latency: &Latencies) -> Vec<BoundResult> {
    let (asked, sums) = (&found.scenario.bounds, &found.whole.sums);
    let mut judged = Vec::new();
    let unseen = || "nothing was measured".to_owned();
    let ack = latency.ack.as_ref();
    let times = [
        ("ack_p50", asked.ack_p50, ack.map(|of| of.p50)),
        ("ack_p99", asked.ack_p99, ack.map(|of| of.p99)),
        ("end_to_end_p99", asked.end_to_end_p99, latency.end_to_end.as_ref().map(|of| of.p99)),
        ("first_record_p99", asked.first_record_p99, latency.first_record.as_ref().map(|of| of.p99)),
    ];
    for (name, asked, seen) in times {
        let Some(asked) = asked else { continue };
        if seen.is_none() && found.interrupted_s.is_some() {
            // It had no time to be measured.
            continue;
        }
        let most_ms = asked.as_secs_f64() * 1e3;
        judged.push(BoundResult {
            name: name.into(),
            asked: format!("at most {most_ms} ms"),
            seen: seen.map_or_else(unseen, |ms| format!("{ms:.1} ms")),
            held: seen.is_some_and(|ms| ms <= most_ms),
            limit_ms: Some(most_ms),
        });
    }
    let mut bound = |name: &str, asked: String, seen: Option<String>, held: bool| {
        judged.push(BoundResult { name: name.into(), asked, seen: seen.unwrap_or_else(unseen), held, limit_ms: None });
    };
    // A run in which little was served is none that passed, whether its scenario says so or not.
    let least = asked.served_min.unwrap_or(SERVED_MIN);
    if found.interrupted_s.is_none() {
        let served = served(sums);
        let seen = format!("{:.2} % of {} records", served * 100.0, sums.totals.offered_records);
        bound("served", format!("at least {} %", least * 100.0), Some(seen), served >= least);
    }
    if let Some(most) = asked.refused_max {
        let refused = sums.totals.refused;
        bound("refused", format!("at most {most} batches"), Some(refused.to_string()), refused <= most);
    }
    if let Some(most) = asked.server_rss_max_bytes {
        let seen = sums.server_rss_max_bytes;
        let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / MIB);
        bound("server_rss", format!("at most {}", mib(most)), seen.map(mib), seen.is_some_and(|bytes| bytes <= most));
    }
    // Of a run that was cut short, what did not happen may still have been to come.
    let is_whole = found.interrupted_s.is_none();
    if let Some(least) = asked.peak_ratio_min.filter(|_| is_whole) {
        let ratio = sums.acked_a_second.map(|(low, high)| high as f64 / low.max(1) as f64);
        let held = ratio.is_some_and(|ratio| ratio >= least);
        bound("peak_ratio", format!("at least {least}"), ratio.map(|ratio| format!("{ratio:.1}")), held);
    }
    if let Some(least) = asked.actions_min.filter(|_| is_whole) {
        bound("actions", format!("at least {least}"), Some(found.actions.to_string()), found.actions >= least);
    }
    judged
}

/// Of what was offered, where the scenario asks for nothing else.
const SERVED_MIN: f64 = 0.99;

fn served(sums: &Sums) -> f64 {
    if sums.totals.offered_records == 0 {
        0.0
    } else {
        sums.totals.acked_records as f64 / sums.totals.offered_records as f64
    }
}

fn verdict(found: &Found, checks: &Checks, bounds: &[BoundResult], latency: &Latencies) -> Verdict {
    let wrong: Vec<String> = checks
        .findings
        .iter()
        .filter(|finding| finding.count > 0)
        .map(|finding| format!("{} {}", count(finding.count), finding.kind.replace('_', " ")))
        .collect();
    let broken: Vec<String> = bounds
        .iter()
        .filter(|bound| !bound.held)
        .map(|bound| format!("{} was {} where {} was asked", bound.name, bound.seen, bound.asked))
        .collect();
    let latency = latency.ack.as_ref().map_or(String::new(), |ack| {
        format!("; half within {}, 99 % within {} of when they were due", time(ack.p50), time(ack.p99))
    });
    let acked = count(checks.acked);
    let mut right = match (checks.acked, checks.read == 0, checks.unchecked.is_empty()) {
        (0, ..) => "nothing was acknowledged".to_owned(),
        (_, true, _) => format!("{acked} records acknowledged, and not read back{latency}"),
        (.., true) => format!("{acked} records acknowledged, all there once, in order and at their offsets{latency}"),
        (.., false) => {
            format!(
                "{acked} records acknowledged, and nothing wrong with what was read, which was not everything{latency}"
            )
        }
    };
    let unknown = checks.unknown_visible + checks.unknown_absent;
    if unknown > 0 {
        right += &format!("; {} of unknown outcome", count(unknown));
    }
    if checks.failed > 0 {
        right += &format!("; {} refused for good or never sent", count(checks.failed));
    }
    let (outcome, sentence) = if !wrong.is_empty() {
        (Outcome::Incorrect, format!("Wrong: {} of {} records acknowledged.", wrong.join(", "), count(checks.acked)))
    } else if let Some(at) = found.interrupted_s {
        (Outcome::Partial, format!("Interrupted after {at:.0} s; until then {right}."))
    } else if checks.acked == 0 {
        (Outcome::Incorrect, "Wrong: not one record was acknowledged.".into())
    } else if broken.is_empty() {
        (Outcome::Passed, format!("{right}."))
    } else {
        (Outcome::BoundBroken, format!("Correct, but {}: {right}.", broken.join("; ")))
    };
    Verdict { outcome, sentence }
}

/// `12.3 ms`, `4.5 s`.
fn time(ms: f64) -> String {
    if ms < 1_000.0 { format!("{ms:.1} ms") } else { format!("{:.1} s", ms / 1e3) }
}

fn server(found: &Found) -> Option<Server> {
    let sums = &found.whole.sums;
    if sums.server_cpu_s.is_none() && sums.requests.is_none() {
        return None;
    }
    let gib = sums.totals.acked_bytes as f64 / GIB;
    let requests: BTreeMap<String, u64> =
        sums.requests.iter().flatten().map(|(op, n)| (op.clone(), *n as u64)).collect();
    let a_gib = |count: f64| (gib > 0.0).then_some(count / gib);
    Some(Server {
        cpu_s: sums.server_cpu_s,
        cpu_s_per_gib: sums.server_cpu_s.and_then(a_gib),
        rss_max_bytes: sums.server_rss_max_bytes,
        rss_end_bytes: sums.server_rss_end_bytes,
        disk_bytes: found.disk_bytes,
        requests_per_gib: sums.requests.as_ref().and_then(|requests| a_gib(requests.values().sum())),
        requests,
        restarts: found.actions,
    })
}

fn client(found: &Found) -> Client {
    let sums = &found.whole.sums;
    let gib = sums.totals.acked_bytes as f64 / GIB;
    let (limited, seconds) = (sums.limited_seconds, sums.totals.seconds.max(1.0));
    let is_limit = found.scenario.schedule.unpaced().is_none() && limited as f64 > seconds / 20.0;
    Client {
        cpu_s: sums.client_cpu_s,
        cpu_s_per_gib: if gib > 0.0 { sums.client_cpu_s / gib } else { 0.0 },
        rss_max_bytes: sums.client_rss_max_bytes,
        limited_seconds: limited,
        limit: is_limit.then(|| {
            format!(
                "The client was the limit in {limited} of {seconds:.0} s: one of a hundred batches was taken up more than {LIMITED_MS:.0} ms \
                 late though there was a place for it, so latencies are partly the client's own."
            )
        }),
    }
}

/// Amazon S3 Standard, us-east-1: dollars for a request.
const PUT_USD: f64 = 5e-6;
const GET_USD: f64 = 0.4e-6;
const SHEET: &str =
    "Amazon S3 Standard: $5 for a million PUT, COPY, POST and LIST, $0.40 for a million GET; DELETE is free";
const MONTH_S: f64 = 730.0 * 3_600.0;

fn cost(found: &Found) -> Option<Cost> {
    let sums = &found.whole.sums;
    let requests = sums.requests.as_ref()?;
    let dollars: f64 = requests
        .iter()
        .map(|(op, count)| match op.as_str() {
            "get" | "head" => count * GET_USD,
            "delete" => 0.0,
            _ => count * PUT_USD,
        })
        .sum();
    let gib = sums.totals.acked_bytes as f64 / GIB;
    if found.is_charged == Some(false) {
        return Some(Cost {
            sheet: "its bucket is a folder or memory, and nobody charges for that".into(),
            note: "Over an object store the service makes fewer and larger requests: run against such a service, or one that is \
                   started with --dev=--bucket=…, to see what they cost."
                .into(),
            ..Cost::default()
        });
    }
    Some(Cost {
        sheet: SHEET.into(),
        per_gib_usd: if gib > 0.0 { dollars / gib } else { 0.0 },
        month_usd: if sums.totals.seconds > 0.0 { dollars / sums.totals.seconds * MONTH_S } else { 0.0 },
        note: "Requests alone; what is stored and sent out of the region is billed beside them.".into(),
    })
}

fn not_shown(found: &Found, client: &Client) -> Vec<String> {
    let mut sentences = found.verdict.unchecked.clone();
    sentences.extend(client.limit.clone());
    if found.target.address.contains("127.0.0.1") || found.target.address.contains("localhost") {
        sentences.push(format!(
            "Client and server shared {} cores and a network that loses and delays nothing.",
            found.machine.cores
        ));
    }
    if found.is_charged == Some(false) {
        sentences.push("The bucket was a folder or memory: the times of an object store are not in it.".into());
    }
    if found.target.kind == "kafka" {
        sentences.push(
            "What a broker refused and librdkafka sent again by itself is counted as sent again, not as refused."
                .into(),
        );
    }
    sentences.push("It is one run: how much another one differs shows only when it is repeated.".into());
    if found.actions == 0 {
        sentences.push("Nothing was broken on purpose: the scenario `restart` does that.".into());
    }
    if found.clock_jump > Duration::from_millis(100) {
        sentences.push(format!(
            "The wall clock moved by {:.1} s against the monotonic one; times were taken by the monotonic one and are right.",
            found.clock_jump.as_secs_f64()
        ));
    }
    if found.events.1 > 0 {
        sentences.push(format!("{} further events are left out.", found.events.1));
    }
    sentences
}

fn consumers(kinds: &[Consumers], all: &[Arc<ConsumerStats>]) -> Vec<ConsumerResult> {
    let kinds = kinds.iter().enumerate().map(|(place, kind)| (Some(place), name(kind)));
    let mut results = Vec::new();
    for (kind, name) in kinds.chain([(None, "reading from the first record when all was over".to_owned())]) {
        let these: Vec<_> = all.iter().filter(|consumer| consumer.kind == kind).collect();
        if these.is_empty() {
            continue;
        }
        let sum = |of: fn(&ConsumerStats) -> u64| these.iter().map(|consumer| of(consumer)).sum::<u64>();
        let caught_up = these.iter().filter_map(|consumer| consumer.times().1).max();
        results.push(ConsumerResult {
            name,
            count: u32::try_from(these.len()).unwrap_or(u32::MAX),
            records: sum(|consumer| consumer.records.load(Ordering::Relaxed)),
            bytes: sum(|consumer| consumer.bytes.load(Ordering::Relaxed)),
            max_lag_records: these.iter().map(|consumer| consumer.max_lag.load(Ordering::Relaxed)).max().unwrap_or(0),
            restarts: sum(|consumer| consumer.restarts.load(Ordering::Relaxed)),
            caught_up_after_s: caught_up.map(|ns| ns as f64 / 1e9),
        });
    }
    results
}

/// A kind of consumers in words.
pub fn name(kind: &Consumers) -> String {
    let mut name = match kind.from {
        From::Earliest => "from the first record".to_owned(),
        From::Latest => "from the end".to_owned(),
    };
    if !kind.join.is_zero() {
        name += &format!(", joining after {:.0} s", kind.join.as_secs_f64());
    }
    if let Some(leave) = kind.leave {
        name += &format!(", leaving after {:.0} s", leave.as_secs_f64());
    }
    if let Some(every) = kind.restart_every {
        name += &format!(", away every {:.0} s", every.as_secs_f64());
    }
    if let Some(rate) = kind.max_bytes_per_s {
        name += &format!(", at most {:.1} MiB/s", rate as f64 / MIB);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_people() {
        assert_eq!((time(12.34), time(25_444.0)), ("12.3 ms".into(), "25.4 s".into()));
    }

    #[test]
    fn a_kind_of_consumers_is_named_by_what_it_does() {
        let kind =
            Consumers { join: Duration::from_secs(10), max_bytes_per_s: Some(1 << 20), ..crate::run::execute::whole() };
        assert_eq!(name(&kind), "from the first record, joining after 10 s, at most 1.0 MiB/s");
    }
}
