//! What a run found, as a line for people and a line of JSON.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Bytes in a MiB.
pub const MIB: f64 = 1_048_576.0;
/// Bytes in a GiB.
pub const GIB: f64 = 1_073_741_824.0;

/// Latencies from 1 microsecond to 10 minutes with three digits.
pub type Latencies = Histogram<u64>;

/// An empty histogram of nanoseconds.
pub fn latencies() -> Latencies {
    Histogram::new_with_bounds(1_000, 600_000_000_000, 3).unwrap_or_else(|_| unreachable!("the bounds are valid"))
}

/// The percentiles that are quoted, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Percentiles {
    /// Records counted.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// 99.9th percentile.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Percentiles {
    /// Of a histogram of nanoseconds; `None` when it is empty.
    pub fn of(latencies: &Latencies) -> Option<Self> {
        let ms = |ns: u64| (ns as f64 / 10_000.0).round() / 100.0;
        let at = |quantile| ms(latencies.value_at_quantile(quantile));
        (!latencies.is_empty()).then(|| Self {
            count: latencies.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(latencies.max()),
        })
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { p50_ms, p90_ms, p99_ms, p999_ms, max_ms, .. } = self;
        write!(f, "p50 {p50_ms} p90 {p90_ms} p99 {p99_ms} p99.9 {p999_ms} max {max_ms} ms")
    }
}

/// What the server's process used during the measured time.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ServerUse {
    /// Seconds of one core.
    pub cpu_s: f64,
    /// Of these, outside of the kernel.
    pub user_cpu_s: f64,
    /// Share of one core.
    pub cpu_percent: f64,
    /// The largest resident set seen, warm-up included.
    pub rss_max_mib: f64,
    /// Resident set every so often, in MiB; only where the growth is of interest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rss_series_mib: Vec<f64>,
}

/// One run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The subcommand.
    pub mode: &'static str,
    /// Measured time, warm-up left out.
    pub seconds: f64,
    /// Bytes of values acknowledged per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acked_mib_s: Option<f64>,
    /// Bytes of values read per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_mib_s: Option<f64>,
    /// From the intended send time to the ack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack: Option<Percentiles>,
    /// From the intended send time to the reader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_to_end: Option<Percentiles>,
    /// What the server used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerUse>,
    /// Seconds of a core of the server for each GiB acknowledged (read, where nothing is produced).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_s_per_gib: Option<f64>,
    /// The same of this driver, which runs on the same cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_cpu_s_per_gib: Option<f64>,
    /// Records acknowledged, warm-up included.
    pub records_acked: u64,
    /// Records read, warm-up included.
    pub records_read: u64,
}

impl Report {
    /// Writes both lines to stdout.
    pub fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{self}")?;
        writeln!(out, "{}", serde_json::to_string(self)?)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut line = format!("{}: {:.1} s", self.mode, self.seconds);
        let mut add = |name: &str, value: Option<f64>, unit: &str| {
            value.map_or(Ok(()), |value| write!(line, ", {name} {value:.2} {unit}"))
        };
        add("acked", self.acked_mib_s, "MiB/s")?;
        add("read", self.read_mib_s, "MiB/s")?;
        add("server", self.server_cpu_s_per_gib, "CPU-s/GiB")?;
        add("driver", self.driver_cpu_s_per_gib, "CPU-s/GiB")?;
        add("server", self.server.as_ref().map(|server| server.cpu_percent), "% of a core")?;
        add("server", self.server.as_ref().map(|server| server.rss_max_mib), "MiB RSS")?;
        if let Some(ack) = &self.ack {
            write!(line, "; ack {ack}")?;
        }
        if let Some(end_to_end) = &self.end_to_end {
            write!(line, "; end to end {end_to_end}")?;
        }
        f.write_str(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_milliseconds_with_two_digits() {
        let mut histogram = latencies();
        for ms in 1..=1_000u64 {
            histogram.record(ms * 1_000_000).unwrap();
        }
        let percentiles = Percentiles::of(&histogram).unwrap();
        assert_eq!(percentiles.count, 1_000);
        assert!((percentiles.p50_ms - 500.0).abs() < 1.0, "{percentiles}");
        assert!((percentiles.p99_ms - 990.0).abs() < 2.0, "{percentiles}");
        assert!(Percentiles::of(&latencies()).is_none());
    }

    #[test]
    fn the_json_line_leaves_out_what_was_not_measured() {
        let report = Report { mode: "catch-up", seconds: 2.0, read_mib_s: Some(700.0), ..Report::default() };
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["read_mib_s"], 700.0);
        assert!(json.get("ack").is_none());
        assert!(report.to_string().starts_with("catch-up: 2.0 s, read 700.00 MiB/s"), "{report}");
    }
}
