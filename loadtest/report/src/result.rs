//! What a run found, as it stands in `result.json`. Times are milliseconds, sizes bytes, moments seconds since the first
//! stage began, unless a name says otherwise.

use serde::{Deserialize, Serialize};

/// The only format so far.
pub const FORMAT: u32 = 1;

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunResult {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of the load test.
    pub version: String,
    /// What it came to.
    pub verdict: Verdict,
    /// What was asked for.
    pub scenario: ScenarioText,
    /// Of whom.
    pub target: Target,
    /// Milliseconds since the Unix epoch.
    pub started_at_unix_ms: u64,
    /// Where the client ran, and with it a server on loopback.
    pub machine: Machine,
    /// Sums over the measured time.
    pub totals: Totals,
    /// Of the measured time.
    pub latency: Latencies,
    /// From the first stage on, warm-up included; a point a second, or several seconds in a long run.
    pub series: Vec<Point>,
    /// In the order of time.
    pub events: Vec<Event>,
    /// What each kind of consumer got.
    pub consumers: Vec<ConsumerResult>,
    /// Whether everything was right.
    pub checks: Checks,
    /// Whether the scenario's bounds held.
    pub bounds: Vec<BoundResult>,
    /// Where it could be watched.
    pub server: Option<Server>,
    /// The load test itself.
    pub client: Client,
    /// Where requests to a bucket were counted.
    pub cost: Option<Cost>,
    /// Sentences: what this run does not show.
    pub not_shown: Vec<String>,
}

/// What a run came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verdict {
    /// See there.
    pub outcome: Outcome,
    /// One sentence.
    pub sentence: String,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was right and every bound held.
    Passed,
    /// Everything was right; a bound did not hold.
    BoundBroken,
    /// Something was wrong: records lost, doubled, out of order, …
    Incorrect,
    /// It was interrupted; what is there was judged.
    Partial,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScenarioText {
    /// Its name.
    pub name: String,
    /// One sentence.
    pub about: String,
    /// All of it, with what `--set` changed.
    pub toml: String,
    /// All that is drawn follows from it.
    pub seed: u64,
    /// Of the schedule, warm-up included.
    pub seconds: f64,
    /// Left out of the figures.
    pub warm_up_s: f64,
    /// Names of the stages and when each begins.
    pub stages: Vec<(f64, String)>,
}

/// Who was asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    /// `eagre` or `kafka`.
    pub kind: String,
    /// As given.
    pub address: String,
    /// It was started by the load test, over a temporary folder.
    pub started_here: bool,
    /// What it says of itself, or was said to be.
    pub name: String,
}

/// The machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Cores.
    pub cores: u32,
    /// Name of the processor.
    pub processor: String,
    /// Memory.
    pub memory_bytes: u64,
    /// Kernel.
    pub kernel: String,
    /// What it does without any service, measured just before the run.
    pub raw: Option<Raw>,
}

/// Raw rates.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Raw {
    /// Writing 4 KiB and `fdatasync`.
    pub fdatasync_p50_ms: f64,
    /// See there.
    pub fdatasync_p99_ms: f64,
    /// Files of 8 MiB written and synced one after the other.
    pub synced_write_mib_s: f64,
    /// One TCP connection.
    pub loopback_mib_s: f64,
}

/// Sums over the measured time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Totals {
    /// The measured time.
    pub seconds: f64,
    /// What the schedule wanted.
    pub offered_records: u64,
    /// Values of these.
    pub offered_bytes: u64,
    /// Acknowledged, of those that were intended in the measured time.
    pub acked_records: u64,
    /// Values acknowledged.
    pub acked_bytes: u64,
    /// Definite refusals by the service, of batches; most are sent again.
    pub refused: u64,
    /// Batches sent again.
    pub retried: u64,
    /// Answers that asked for a pause.
    pub throttled: u64,
    /// Connections opened again.
    pub reconnects: u64,
    /// Records that were given up, definitely not appended.
    pub failed_records: u64,
    /// Records of which nobody knows.
    pub unknown_records: u64,
    /// Records read, by all consumers together.
    pub read_records: u64,
    /// Values read.
    pub read_bytes: u64,
}

/// Distributions of the measured time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Latencies {
    /// From the intended time to the acknowledgement.
    pub ack: Option<Distribution>,
    /// From the intended time to the arrival at consumers that follow.
    pub end_to_end: Option<Distribution>,
    /// From opening to the first record of consumers that found records.
    pub first_record: Option<Distribution>,
    /// How much later than the schedule wanted a batch was taken up, though the client had a place for it.
    pub lateness: Option<Distribution>,
}

/// A distribution of times.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Distribution {
    /// Values.
    pub count: u64,
    /// Smallest.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Half are smaller.
    pub p50: f64,
    /// See there.
    pub p90: f64,
    /// See there.
    pub p95: f64,
    /// See there.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// 99.99 %.
    pub p9999: f64,
    /// Largest.
    pub max: f64,
    /// Points of the cumulative distribution: milliseconds, fraction at or below.
    pub cdf: Vec<(f64, f64)>,
}

/// A second of the run, or several.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When it begins.
    pub at: f64,
    /// How long it is.
    pub seconds: f64,
    /// Records a second that the schedule wanted.
    pub offered_records_s: f64,
    /// See there.
    pub offered_bytes_s: f64,
    /// Acknowledged in this second.
    pub acked_records_s: f64,
    /// See there.
    pub acked_bytes_s: f64,
    /// Read by all consumers.
    pub read_bytes_s: f64,
    /// Refusals, of batches, a second.
    pub refused_s: f64,
    /// Batches sent again a second.
    pub retried_s: f64,
    /// Answers that asked for a pause, a second.
    pub throttled_s: f64,
    /// Of records intended in this second.
    pub ack: Option<Quantiles>,
    /// Of records intended in this second.
    pub end_to_end: Option<Quantiles>,
    /// Of batches taken up in this second.
    pub lateness_p99_ms: Option<f64>,
    /// Records that were acknowledged and not yet read by the slowest consumer that follows.
    pub lag_records: f64,
    /// Of a core, 1.0 is one core.
    pub server_cpu: Option<f64>,
    /// Resident memory.
    pub server_rss_bytes: Option<f64>,
    /// Of a core.
    pub client_cpu: f64,
    /// Resident memory.
    pub client_rss_bytes: f64,
    /// Requests to the bucket a second.
    pub put_s: Option<f64>,
    /// See there.
    pub get_s: Option<f64>,
    /// See there.
    pub list_s: Option<f64>,
}

/// Quantiles of one point; of a point that stands for several seconds the largest of theirs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Values.
    pub count: u64,
    /// Half are smaller.
    pub p50: f64,
    /// See there.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// Largest.
    pub max: f64,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: f64,
    /// `stage`, `warm_up`, `kill`, `stop`, `pause`, `ready`, `join`, `leave`, `lost_connection`, `interrupt`, `drain`, `finding`.
    pub kind: String,
    /// For people.
    pub text: String,
}

/// What consumers of one kind got.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConsumerResult {
    /// Such as "2 from the beginning, joining after 10 s".
    pub name: String,
    /// How many.
    pub count: u32,
    /// Records that all of them read.
    pub records: u64,
    /// See there.
    pub bytes: u64,
    /// The highest lag.
    pub max_lag_records: u64,
    /// How often they went away and came again, or lost their connection.
    pub restarts: u64,
    /// How long those that found a backlog took to reach its end, the slowest.
    pub caught_up_after_s: Option<f64>,
}

/// Whether everything was right.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Checks {
    /// Every kind that is looked for, with how often it was found.
    pub findings: Vec<Finding>,
    /// Records acknowledged, warm-up included.
    pub acked: u64,
    /// Sightings of records by consumers.
    pub read: u64,
    /// Records of unknown outcome that are in the log.
    pub unknown_visible: u64,
    /// Records of unknown outcome that are not.
    pub unknown_absent: u64,
    /// Records definitely refused.
    pub failed: u64,
    /// Acknowledged offsets that were compared with the offset at which the record was read.
    pub offsets_compared: u64,
    /// What could not be checked, in sentences.
    pub unchecked: Vec<String>,
}

/// One kind of finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `lost`, `duplicated`, `reordered`, `wrong_offset`, `gap`, `corrupted`, `visible_though_failed`, `skipped`, …
    pub kind: String,
    /// What it means, in a few words.
    pub meaning: String,
    /// Records.
    pub count: u64,
    /// The first ones, a sentence each.
    pub examples: Vec<String>,
}

/// A bound and what was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoundResult {
    /// As in the scenario.
    pub name: String,
    /// With its unit.
    pub asked: String,
    /// With its unit.
    pub seen: String,
    /// Whether it held.
    pub held: bool,
    /// What was asked for, where that is a time.
    #[serde(default)]
    pub limit_ms: Option<f64>,
}

/// What the server used in the measured time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Server {
    /// Of all its threads.
    pub cpu_s: Option<f64>,
    /// For a GiB acknowledged.
    pub cpu_s_per_gib: Option<f64>,
    /// Resident memory, the highest, warm-up included.
    pub rss_max_bytes: Option<u64>,
    /// At the end.
    pub rss_end_bytes: Option<u64>,
    /// On disk at the end, where the bucket is a folder that the load test knows.
    pub disk_bytes: Option<u64>,
    /// By operation: requests to the bucket in the measured time.
    pub requests: std::collections::BTreeMap<String, u64>,
    /// All of them for a GiB acknowledged.
    pub requests_per_gib: Option<f64>,
    /// How often it was started again.
    pub restarts: u64,
}

/// What the load test itself used.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Client {
    /// Of all its threads, in the measured time.
    pub cpu_s: f64,
    /// For a GiB acknowledged.
    pub cpu_s_per_gib: f64,
    /// The highest.
    pub rss_max_bytes: u64,
    /// Seconds in which the client and not the service was late.
    pub limited_seconds: u64,
    /// A sentence when the client was the limit.
    pub limit: Option<String>,
}

/// What the bucket's requests cost.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Of the price sheet.
    pub sheet: String,
    /// Requests for a GiB acknowledged.
    pub per_gib_usd: f64,
    /// Requests of a month at the rate of the measured time.
    pub month_usd: f64,
    /// Such as that the bucket was a folder and asks nothing.
    pub note: String,
}
