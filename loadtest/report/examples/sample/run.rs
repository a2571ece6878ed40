//! Made-up runs that look like real ones: a load that steps to ten times its rate for a while, and a server that is killed
//! in the middle of it.

use eagre_report::{
    BoundResult, Checks, Client, ConsumerResult, Cost, Distribution, Event, FORMAT, Finding, Latencies, Machine,
    Outcome, Point, Quantiles, Raw, RunResult, ScenarioText, Server, Target, Totals, Verdict,
};

const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1_073_741_824.0;
const WARM_UP_S: f64 = 5.0;
const END_S: f64 = 65.0;
const KILLED_AT: f64 = 34.2;
const READY_AT: f64 = 36.6;

const TOML: &str = r#"name = "step-10x"
about = "A steady load, ten times as much for twenty seconds, and steady again; the server is killed at the height of it."
seed = 7
warm_up = "5s"

[[stages]]
name = "steady"
seconds = 25
rate = { constant = "5MiB" }

[[stages]]
name = "ten times"
seconds = 20
rate = { constant = "50MiB" }

[[stages]]
name = "steady again"
seconds = 20
rate = { constant = "5MiB" }

[records]
size = { fixed = "1KiB" }
keys = { zipf = { keys = 10000, exponent = 1.0 } }

[[consumers]]
count = 2
from = "end"

[[faults]]
at = "34.2s"
kill = "server"

[bounds]
ack_p50 = "25ms"
ack_p99 = "5s"
served = "100%"
"#;

/// Noise between 0.0 and 1.0 that is the same in every run.
fn noise(of: u64) -> f64 {
    let mut bits = of.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn offered(at: f64) -> f64 {
    if (25.0..45.0).contains(&at) { 50.0 * MIB } else { 5.0 * MIB }
}

fn point(second: u64, pace: f64) -> Point {
    let at = second as f64;
    let wanted = offered(at);
    let down = (34.0..37.0).contains(&at);
    let catching_up = (37.0..39.0).contains(&at);
    let served = match second {
        34 => 0.19 * wanted,
        35 => 0.0,
        36 => 0.55 * wanted,
        37 => 2.3 * wanted,
        38 => 1.96 * wanted,
        _ => wanted * (0.995 + 0.01 * noise(second)),
    };
    let wait = match second {
        34 => 2350.0,
        35 => 1720.0,
        36 => 940.0,
        37 => 310.0,
        38 => 62.0,
        _ => 0.0,
    };
    let heavy = if wanted > 20.0 * MIB { 1.5 } else { 1.0 };
    let p50 = pace * heavy * (9.0 + 2.0 * noise(second * 3)) + wait * 0.7;
    let p99 = pace * heavy * (21.0 + 7.0 * noise(second * 3 + 1)) + wait;
    let (p999, max) = (p99 * (1.25 + 0.3 * noise(second * 3 + 2)), p99 * (1.9 + noise(second * 7)));
    let count = (wanted / 1024.0) as u64;
    let ack = Quantiles { count, p50, p99, p999, max: if wait > 0.0 { p99 * 1.08 } else { max } };
    let read = Quantiles {
        count: count * 2,
        p50: p50 * 1.6 + 4.0,
        p99: p99 * 1.3 + 6.0,
        p999: p999 * 1.3 + 9.0,
        max: max * 1.4,
    };
    Point {
        at,
        seconds: 1.0,
        offered_records_s: wanted / 1024.0,
        offered_bytes_s: wanted,
        acked_records_s: served / 1024.0,
        acked_bytes_s: served,
        read_bytes_s: 2.0 * served * (0.97 + 0.05 * noise(second * 11)),
        refused_s: if down { 40.0 + 90.0 * noise(second) } else { 0.0 },
        retried_s: if down || catching_up { 55.0 + 60.0 * noise(second + 9) } else { 0.0 },
        throttled_s: if catching_up { 12.0 } else { 0.0 },
        ack: Some(ack),
        end_to_end: Some(read),
        lateness_p99_ms: Some(0.16 + 0.3 * noise(second * 5) * heavy),
        lag_records: if down || catching_up { 2600.0 * (40.0 - at) } else { wanted / 1024.0 * 0.012 },
        server_cpu: (second != 35).then(|| 0.06 + served / (190.0 * MIB) * pace + 0.03 * noise(second * 13)),
        server_rss_bytes: (second != 35).then_some(96.0 * MIB + if at > 36.0 { 0.0 } else { at * MIB } + served * 1.4),
        client_cpu: 0.05 + served / (260.0 * MIB),
        client_rss_bytes: 74.0 * MIB + served * 0.3,
        put_s: (second != 35).then(|| if down { 2.0 } else { 24.0 + 16.0 * noise(second * 17) * heavy }),
        get_s: (second != 35).then(|| if down || catching_up { 31.0 } else { 1.0 + 2.0 * noise(second * 19) }),
        list_s: (second != 35).then(|| if (36.0..37.0).contains(&at) { 14.0 } else { 0.2 }),
    }
}

fn distribution(count: u64, scale: f64, tail: f64) -> Distribution {
    // A body around `scale`, and a thousandth-wise tail that reaches `tail`.
    let at = |share: f64| {
        let nines = -(1.0 - share).max(1e-7).log10();
        let body = scale * (0.55 + 0.8 * nines);
        let late = tail * ((nines - 0.9) / 3.2).clamp(0.0, 1.0).powi(2);
        body + late
    };
    let most = at(1.0 - 1.0 / count as f64);
    let at = |share: f64| at(share).min(most);
    let shares = (0..200).map(|nth| 1.0 - 10_f64.powf(-f64::from(nth) * (count.max(2) as f64).log10() / 199.0));
    Distribution {
        count,
        min: at(0.0),
        mean: at(0.62),
        p50: at(0.5),
        p90: at(0.9),
        p95: at(0.95),
        p99: at(0.99),
        p999: at(0.999),
        p9999: at(0.9999),
        max: most,
        cdf: shares.map(|share| (at(share), share)).chain([(most, 1.0)]).collect(),
    }
}

fn event(at: f64, kind: &str, text: &str) -> Event {
    Event { at, kind: kind.to_owned(), text: text.to_owned() }
}

fn findings() -> Vec<Finding> {
    let kinds = [
        ("lost", "acknowledged and not in the log"),
        ("duplicated", "in the log more than once"),
        ("reordered", "behind a later record of its key"),
        ("wrong_offset", "acknowledged with another offset than it has"),
        ("gap", "an offset that no record has"),
        ("corrupted", "other bytes than were sent"),
        ("visible_though_failed", "refused for good, and in the log nevertheless"),
        ("skipped", "in the log and not shown to a consumer that passed it"),
    ];
    let none = |(kind, meaning): (&str, &str)| Finding {
        kind: kind.to_owned(),
        meaning: meaning.to_owned(),
        count: 0,
        examples: Vec::new(),
    };
    kinds.map(none).into()
}

fn scenario() -> ScenarioText {
    ScenarioText {
        name: "step-10x".into(),
        about: "A steady load, ten times as much for twenty seconds, and steady again; the server is killed at the height of it.".into(),
        toml: TOML.into(),
        seed: 7,
        seconds: END_S,
        warm_up_s: WARM_UP_S,
        stages: vec![(0.0, "steady".into()), (25.0, "ten times".into()), (45.0, "steady again".into())],
    }
}

fn events() -> Vec<Event> {
    vec![
        event(0.0, "stage", "steady"),
        event(0.0, "warm_up", "until 5 s"),
        event(12.0, "join", "one consumer from the beginning"),
        event(25.0, "stage", "ten times"),
        event(KILLED_AT, "kill", "the server was killed (SIGKILL)"),
        event(KILLED_AT + 0.1, "lost_connection", "8 producers and 3 consumers lost their connection"),
        event(READY_AT, "ready", "the server answered again after 2.4 s"),
        event(45.0, "stage", "steady again"),
        event(END_S, "drain", "everything was acknowledged after 0.1 s and read after 0.3 s"),
    ]
}

fn totals(series: &[Point]) -> Totals {
    let measured = || series.iter().filter(|point| point.at >= WARM_UP_S && point.at < END_S);
    let sum = |of: fn(&Point) -> f64| measured().map(|point| of(point) * point.seconds).sum::<f64>();
    let offered_bytes = sum(|point| point.offered_bytes_s) as u64;
    Totals {
        seconds: sum(|_| 1.0),
        offered_records: offered_bytes / 1024,
        offered_bytes,
        acked_records: offered_bytes / 1024,
        acked_bytes: offered_bytes,
        refused: sum(|point| point.refused_s) as u64,
        retried: sum(|point| point.retried_s) as u64,
        throttled: sum(|point| point.throttled_s) as u64,
        reconnects: 11,
        failed_records: 0,
        unknown_records: 312,
        read_records: 2 * offered_bytes / 1024,
        read_bytes: 2 * offered_bytes,
    }
}

/// A server three `pace`s as slow is three times as late.
fn of_pace(pace: f64) -> RunResult {
    let series: Vec<Point> = (0..66).map(|second| point(second, pace)).collect();
    let totals = totals(&series);
    let gib = totals.acked_bytes as f64 / GIB;
    let latency = Latencies {
        ack: Some(distribution(totals.acked_records, 11.0 * pace, 2600.0)),
        end_to_end: Some(distribution(totals.read_records, 22.0 * pace, 3300.0)),
        first_record: Some(Distribution { count: 3, ..distribution(3, 31.0 * pace, 0.0) }),
        lateness: Some(distribution(totals.acked_records / 200, 0.09, 0.0)),
    };
    let requests =
        [("get", 244), ("list", 26), ("put", (1890.0 * pace) as u64)].map(|(name, many)| (name.to_owned(), many));
    let many: u64 = requests.iter().map(|(_, many)| many).sum();
    RunResult {
        format: FORMAT,
        version: "0.2.0".into(),
        verdict: Verdict {
            outcome: Outcome::Passed,
            sentence: "Every one of 1,254,400 records is there once and in order, though the server was killed at ten times the load; \
                       99 % were acknowledged within 340 ms."
                .into(),
        },
        scenario: scenario(),
        target: Target {
            kind: "eagre".into(),
            address: "grpc://127.0.0.1:41873".into(),
            started_here: true,
            name: "eagre 0.2.0 dev".into(),
        },
        started_at_unix_ms: 1_772_374_920_000,
        machine: Machine {
            cores: 8,
            processor: "AMD EPYC 9R14".into(),
            memory_bytes: 32 << 30,
            kernel: "Linux 6.12.8".into(),
            raw: Some(Raw { fdatasync_p50_ms: 0.84, fdatasync_p99_ms: 2.31, synced_write_mib_s: 412.0, loopback_mib_s: 3890.0 }),
        },
        latency,
        series,
        events: events(),
        consumers: consumers(&totals),
        checks: Checks {
            findings: findings(),
            acked: totals.acked_records + 25_600,
            read: totals.read_records + 51_200,
            unknown_visible: 298,
            unknown_absent: 14,
            failed: 0,
            offsets_compared: totals.acked_records + 25_600,
            unchecked: vec!["Records behind the end of the log at the time of the last read.".into()],
        },
        bounds: bounds(),
        server: Some(Server {
            cpu_s: Some(7.9 * pace),
            cpu_s_per_gib: Some(7.9 * pace / gib),
            rss_max_bytes: Some((211.0 * MIB * pace) as u64),
            rss_end_bytes: Some((108.0 * MIB) as u64),
            disk_bytes: Some((1.31 * GIB) as u64),
            requests: requests.into_iter().collect(),
            requests_per_gib: Some(many as f64 / gib),
            restarts: 1,
        }),
        client: Client {
            cpu_s: 8.1,
            cpu_s_per_gib: 8.1 / gib,
            rss_max_bytes: (96.0 * MIB) as u64,
            limited_seconds: 0,
            limit: None,
        },
        cost: Some(Cost {
            sheet: "s3-standard us-east-1".into(),
            per_gib_usd: many as f64 / gib * 0.000_005,
            month_usd: many as f64 * 0.000_005 / 60.0 * 86_400.0 * 30.0,
            note: "The bucket was a folder, which asks nothing: this is what the same requests cost at S3.".into(),
        }),
        not_shown: not_shown(),
        totals,
    }
}

fn consumers(totals: &Totals) -> Vec<ConsumerResult> {
    vec![
        ConsumerResult {
            name: "2 that follow from the end".into(),
            count: 2,
            records: totals.read_records,
            bytes: totals.read_bytes,
            max_lag_records: 15_600,
            restarts: 2,
            caught_up_after_s: None,
        },
        ConsumerResult {
            name: "1 from the beginning, joining after 12 s".into(),
            count: 1,
            records: totals.acked_records,
            bytes: totals.acked_bytes,
            max_lag_records: 61_440,
            restarts: 1,
            caught_up_after_s: Some(1.84),
        },
    ]
}

fn bounds() -> Vec<BoundResult> {
    let bound = |name: &str, asked: &str, seen: &str| BoundResult {
        name: name.into(),
        asked: asked.into(),
        seen: seen.into(),
        held: true,
        limit_ms: None,
    };
    vec![
        bound("ack_p50", "at most 25 ms", "8.69 ms"),
        BoundResult { limit_ms: Some(500.0), ..bound("ack_p99", "at most 500 ms", "340 ms") },
        bound("served", "at least 100 %", "100 %"),
    ]
}

fn not_shown() -> Vec<String> {
    vec![
        "The network: client and server shared one machine and its loopback.".into(),
        "An object store: the bucket was a folder on a local disk, so requests took microseconds and not tens of milliseconds.".into(),
        "More than one server, and what a rolling upgrade does.".into(),
        "Anything slower than a minute: compaction of old segments and growth of memory need a soak.".into(),
    ]
}

/// Everything right.
pub fn passed() -> RunResult {
    of_pace(1.0)
}

/// Everything right, and too slow.
pub fn broken() -> RunResult {
    let mut result = of_pace(3.0);
    result.verdict = Verdict {
        outcome: Outcome::BoundBroken,
        sentence: "Nothing was lost, but half of the records waited longer than 25 ms for their acknowledgement."
            .into(),
    };
    result.bounds[0] = BoundResult { seen: "26.1 ms".into(), held: false, ..result.bounds[0].clone() };
    result.client.limited_seconds = 3;
    result
}

/// Records lost and doubled.
pub fn incorrect() -> RunResult {
    let mut result = of_pace(1.0);
    result.verdict = Verdict {
        outcome: Outcome::Incorrect,
        sentence: "37 acknowledged records are lost and 2 are there twice: all of them were on the way when the server was killed.".into(),
    };
    result.checks.findings[0].count = 37;
    result.checks.findings[0].examples = vec![
        "orders/3: producer 4, sequence 81,204, acknowledged at offset 81,190, is not in the log.".into(),
        "orders/3: producer 4, sequence 81,205, acknowledged at offset 81,191, is not in the log.".into(),
        "orders/5: producer 1, sequence 80,777, acknowledged at offset 80,761, is not in the log.".into(),
    ];
    result.checks.findings[1].count = 2;
    result.checks.findings[1].examples =
        vec!["orders/0: producer 2, sequence 80,112, at offsets 80,100 and 80,164.".into()];
    result.events.insert(7, event(37.0, "finding", "orders/3: the first lost record was noticed"));
    result
}

/// Interrupted in the second stage.
pub fn partial() -> RunResult {
    let mut result = of_pace(1.0);
    result.verdict = Verdict {
        outcome: Outcome::Partial,
        sentence: "Interrupted after 41 of 65 s; until then nothing was lost, doubled or reordered.".into(),
    };
    result.series.truncate(41);
    result.events.truncate(7);
    result.events.push(event(41.0, "interrupt", "Ctrl-C"));
    result.totals = totals(&result.series);
    result
}

/// An hour, with a point every five seconds and many events, of a server that nobody watches.
pub fn long() -> RunResult {
    let mut result = of_pace(1.0);
    result.series = (0..720_u64)
        .map(|nth| Point {
            at: nth as f64 * 5.0,
            seconds: 5.0,
            server_cpu: None,
            server_rss_bytes: None,
            put_s: None,
            get_s: None,
            list_s: None,
            refused_s: 0.0,
            retried_s: 0.0,
            throttled_s: 0.0,
            ..point(nth % 25, 0.8 + 0.4 * noise(nth))
        })
        .collect();
    result.scenario.seconds = 3600.0;
    result.scenario.stages = (0..12_u32).map(|nth| (f64::from(nth) * 300.0, format!("part {}", nth + 1))).collect();
    result.events = (0..60_u32)
        .map(|nth| {
            let kind = if nth % 3 == 0 { "leave" } else { "join" };
            event(f64::from(nth) * 55.0 + 20.0 * noise(u64::from(nth)), kind, "a consumer of the group readers")
        })
        .collect();
    result.server = None;
    result.cost = None;
    result.totals = totals(&result.series);
    result
}

/// A broker, ours, ours three times slower, and one that loses records.
pub fn several() -> Vec<(String, RunResult)> {
    let mut kafka = of_pace(1.7);
    kafka.target = Target {
        kind: "kafka".into(),
        address: "kafka://127.0.0.1:9092".into(),
        started_here: false,
        name: "Apache Kafka 4.4, fsync".into(),
    };
    kafka.cost = None;
    if let Some(server) = &mut kafka.server {
        server.requests.clear();
        server.requests_per_gib = None;
        server.rss_max_bytes = Some((1.12 * GIB) as u64);
    }
    if let Some(raw) = &mut kafka.machine.raw {
        raw.fdatasync_p50_ms = 1.32;
    }
    let mut slower = broken();
    slower.scenario.toml = slower.scenario.toml.replace("count = 2", "count = 4");
    vec![
        ("folder with fsync".into(), passed()),
        ("modelled S3".into(), slower),
        ("Kafka with fsync".into(), kafka),
        ("a planted fault".into(), incorrect()),
    ]
}
