//! How each row is measured.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::time::Instant;

use super::{
    Bench,
    page_cache::FullPageCache,
    table::{Line, Reach},
};
use crate::{
    cleanup::Running,
    connect::{channels, create_topic},
    load::{Load, Target, catch_up},
    process::usage,
    raw::{self, Raw},
    report::{MIB, Percentiles, Report},
    server::{Server, counter},
};

const PARTITIONS: u32 = 8;
const CONNECTIONS: usize = 4;
/// The bar for the resident set in every row.
const RSS: Reach = Reach::Most(512.0);

/// Requests that cost as much as a PUT.
const WRITING: [&str; 7] = ["put", "create", "copy", "rename", "multipart_start", "multipart_part", "multipart_end"];

impl Bench {
    fn load(&self, mode: &'static str, topic: String) -> Load {
        Load {
            mode,
            topic,
            keep_topic: true,
            partitions: PARTITIONS,
            connections: CONNECTIONS,
            streams: CONNECTIONS,
            record_bytes: 1_024,
            batch_bytes: 512 << 10,
            rate: None,
            max_bytes: None,
            linger: Duration::from_millis(2),
            in_flight: 16,
            warm_up: self.extent.warm_up,
            time: self.extent.time,
            follow: false,
            catch_up: false,
            rss_every: None,
        }
    }

    pub(super) async fn paced(&self, name: &str, rate: u64, [p50, p99]: [f64; 2]) -> Result<Vec<Line>> {
        let mut reports = Vec::new();
        for run in 0..self.extent.runs {
            let (server, _bucket) = self.fresh()?;
            let load = Load { rate: Some(rate), ..self.load("produce", format!("run-{run}")) };
            reports.push(load.run(&server.target()).await?);
            server.stop()?;
        }
        let mut lines = vec![
            Line::new(format!("ack p50 at {name}"), "ms", Reach::Most(p50), acks(&reports, |ack| ack.p50_ms)),
            Line::new(format!("ack p99 at {name}"), "ms", Reach::Most(p99), acks(&reports, |ack| ack.p99_ms)),
            Line::new(format!("ack p99.9 at {name}"), "ms", Reach::Told, acks(&reports, |ack| ack.p999_ms)),
        ];
        lines.extend(costs(name, Reach::Told, &reports));
        Ok(lines)
    }

    pub(super) async fn saturate(&self, raw: &Raw) -> Result<Vec<Line>> {
        let mut reports = Vec::new();
        for run in 0..self.extent.runs {
            let (server, _bucket) = self.fresh()?;
            reports.push(self.load("saturate", format!("run-{run}")).run(&server.target()).await?);
            server.stop()?;
        }
        let bar = if raw.synced_write_mib_s < 500.0 { 0.6 * raw.synced_write_mib_s } else { 300.0 };
        let rates = figures(&reports, |report| report.acked_mib_s);
        let mut lines = vec![Line::new("produce, acked, unpaced", "MiB/s", Reach::Least(bar), rates)];
        lines.extend(costs("unpaced", Reach::Told, &reports));
        Ok(lines)
    }

    pub(super) async fn file(&self) -> Result<Vec<Line>> {
        let folder = tempfile::tempdir_in(&self.folder)?;
        let file = folder.path().join("lines");
        write_lines(&file, self.extent.file_bytes)?;
        let mut rates = Vec::new();
        for _ in 0..self.extent.runs {
            let (server, _bucket) = self.fresh()?;
            let target = server.target();
            let connections = channels(&target.endpoint, 1).await?;
            create_topic(&connections[0], "file", PARTITIONS).await?;
            let began = Instant::now();
            let mut produce = Command::new(&self.binary);
            produce.args(["produce", "file", "--endpoint", &target.endpoint, "--file"]).arg(&file);
            let mut produce = produce.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            let running = Running::of(&produce);
            let status = produce.wait()?;
            drop(running);
            ensure!(status.success(), "eagre produce --file ended with {status}");
            rates.push(self.extent.file_bytes as f64 / MIB / began.elapsed().as_secs_f64());
            server.stop()?;
        }
        Ok(vec![Line::new("`eagre produce --file`, 1 KiB lines", "MiB/s", Reach::Least(150.0), rates)])
    }

    pub(super) async fn live(&self) -> Result<Vec<Line>> {
        let reports = self.live_runs(None).await?;
        let latencies = ends(&reports, |end_to_end| end_to_end.p99_ms);
        let mut lines = vec![
            Line::new("end to end p50 at 100 MiB/s", "ms", Reach::Told, ends(&reports, |it| it.p50_ms)),
            Line::new("end to end p99 at 100 MiB/s", "ms", Reach::Most(100.0), latencies),
        ];
        lines.extend(costs("100 MiB/s and a live reader", Reach::Told, &reports));
        let cache = FullPageCache::fill(&self.folder)?;
        let raw = Some(raw::measure(&self.folder, Duration::from_secs(1))?);
        let reports = self.live_runs(Some(&cache)).await?;
        let full = costs("the same with a full page cache", Reach::Most(3.0), &reports);
        lines.extend(full.into_iter().map(|line| Line { raw, ..line }));
        Ok(lines)
    }

    async fn live_runs(&self, cache: Option<&FullPageCache>) -> Result<Vec<Report>> {
        let mut reports = Vec::new();
        for run in 0..self.extent.runs {
            if let Some(cache) = cache {
                cache.refill()?;
            }
            let (server, _bucket) = self.fresh()?;
            let load = Load { rate: Some(100 << 20), follow: true, ..self.load("live", format!("run-{run}")) };
            reports.push(load.run(&server.target()).await?);
            server.stop()?;
        }
        Ok(reports)
    }

    /// Catch-up reads and starts, on a bucket that holds something.
    pub(super) async fn stored(&self) -> Result<Vec<Line>> {
        let (server, bucket) = self.fresh()?;
        let fill = Load {
            max_bytes: Some(self.extent.stored_bytes),
            warm_up: Duration::ZERO,
            time: Duration::from_secs(600),
            ..self.load("fill", "stored".into())
        };
        fill.run(&server.target()).await?;
        server.stop()?;
        let (mut reports, mut clean, mut killed) = (Vec::new(), Vec::new(), Vec::new());
        for run in 0..self.extent.runs {
            // A fresh process: its caches are cold.
            let server = Server::start(&self.binary, &bucket.path())?;
            clean.push(server.ready_after.as_secs_f64());
            reports.push(catch_up(&server.target(), "stored", PARTITIONS, CONNECTIONS).await?);
            let short = Duration::from_secs(2);
            let load = self.load("produce", format!("killed-{run}"));
            Load { rate: Some(10 << 20), warm_up: Duration::ZERO, time: short, ..load }.run(&server.target()).await?;
            server.kill()?;
            let server = Server::start(&self.binary, &bucket.path())?;
            killed.push(server.ready_after.as_secs_f64());
            server.stop()?;
        }
        let rates = figures(&reports, |report| report.read_mib_s);
        let mut lines = vec![
            Line::new("catch-up read, caches cold", "MiB/s", Reach::Least(700.0), rates),
            Line::new("start to ready after a clean stop", "s", Reach::Most(1.0), clean),
            Line::new("start to ready after kill -9", "s", Reach::Most(3.0), killed),
        ];
        lines.extend(costs("catch-up", Reach::Told, &reports));
        Ok(lines)
    }

    pub(super) async fn idle(&self) -> Result<Vec<Line>> {
        let (server, _bucket) = self.fresh()?;
        let short = Duration::from_secs(5);
        let load = self.load("produce", "before".into());
        Load { rate: Some(10 << 20), warm_up: Duration::ZERO, time: short, ..load }.run(&server.target()).await?;
        // What follows a load (flushes, compaction, garbage collection) is not idling.
        tokio::time::sleep(self.extent.idle.min(Duration::from_secs(60))).await;
        let Target { pid, .. } = server.target();
        let pid = pid.context("a server of our own has a process")?.to_string();
        let (page, used, since) = (server.get("/metrics")?.1, usage(&pid)?, Instant::now());
        tokio::time::sleep(self.extent.idle).await;
        let (page_after, used_after, seconds) =
            (server.get("/metrics")?.1, usage(&pid)?, since.elapsed().as_secs_f64());
        server.stop()?;
        let requests = |ops: &[&str]| -> f64 {
            let count = |page: &str, op: &str| counter(page, "eagre_bucket_requests_total", &format!("op=\"{op}\""));
            ops.iter().map(|op| count(&page_after, op) - count(&page, op)).sum()
        };
        let (puts, gets) = (requests(&WRITING), requests(&["get", "head"]));
        let hourly = 3_600.0 / seconds;
        let cpu = 100.0 * (used_after.cpu_s - used.cpu_s) / seconds;
        ensure!(counter(&page, "eagre_bucket_requests_total", "op=\"put") > 0.0, "no PUT was counted before");
        Ok(vec![
            Line::new("idle: PUT an hour", "", Reach::Most(0.0), vec![puts * hourly]),
            Line::new("idle: LIST an hour", "", Reach::Most(40.0), vec![requests(&["list"]) * hourly]),
            Line::new("idle: GET a second", "", Reach::Most(0.1), vec![gets / seconds]),
            Line::new("idle: CPU", "% of a core", Reach::Most(1.0), vec![cpu]),
            Line::new("idle: RSS", "MiB", RSS, vec![used_after.rss_mib]),
        ])
    }

    pub(super) async fn streams(&self) -> Result<Vec<Line>> {
        let mut reports = Vec::new();
        for run in 0..self.extent.runs {
            let (server, _bucket) = self.fresh()?;
            let load = self.load("streams", format!("run-{run}"));
            let rate = Some(2_000 * load.record_bytes as u64);
            let load = Load { streams: 2_000, rate, linger: Duration::ZERO, ..load };
            reports.push(load.run(&server.target()).await?);
            server.stop()?;
        }
        let cpu = figures(&reports, |report| report.server.as_ref().map(|server| server.cpu_percent));
        let mut lines = vec![
            Line::new("ack p99 of 2,000 streams", "ms", Reach::Most(100.0), acks(&reports, |ack| ack.p99_ms)),
            Line::new("CPU of 2,000 streams", "% of a core", Reach::Most(40.0), cpu),
        ];
        lines.extend(costs("2,000 streams", Reach::Told, &reports));
        Ok(lines)
    }

    pub(super) async fn mixed(&self) -> Result<Vec<Line>> {
        let (server, _bucket) = self.fresh()?;
        let load = Load {
            rate: Some(50 << 20),
            follow: true,
            catch_up: true,
            time: self.extent.mixed,
            rss_every: Some(self.extent.mixed / 20),
            ..self.load("mixed", "mixed".into())
        };
        let report = load.run(&server.target()).await?;
        server.stop()?;
        let series = report.server.clone().unwrap_or_default().rss_series_mib;
        let reports = [report];
        let mut lines = vec![
            Line::new("mixed: RSS over time", "MiB", Reach::Told, series),
            Line::new("mixed: ack p99 at 50 MiB/s", "ms", Reach::Told, acks(&reports, |ack| ack.p99_ms)),
            Line::new("mixed: end to end p99", "ms", Reach::Told, ends(&reports, |it| it.p99_ms)),
            Line::new("mixed: read", "MiB/s", Reach::Told, figures(&reports, |report| report.read_mib_s)),
        ];
        lines.extend(costs("mixed", Reach::Told, &reports));
        Ok(lines)
    }
}

/// CPU and memory of the server, and the driver's own CPU.
fn costs(name: &str, cpu: Reach, reports: &[Report]) -> Vec<Line> {
    let rss = figures(reports, |report| report.server.as_ref().map(|server| server.rss_max_mib));
    vec![
        Line::new(format!("server, {name}"), "CPU-s/GiB", cpu, figures(reports, |report| report.server_cpu_s_per_gib)),
        Line::new(
            format!("server, {name}, outside of the kernel"),
            "CPU-s/GiB",
            Reach::Told,
            figures(reports, |report| {
                let server = report.server.as_ref()?;
                Some(report.server_cpu_s_per_gib? * server.user_cpu_s / server.cpu_s)
            }),
        ),
        Line::new(
            format!("driver, {name}"),
            "CPU-s/GiB",
            Reach::Told,
            figures(reports, |report| report.driver_cpu_s_per_gib),
        ),
        Line::new(format!("server RSS, {name}"), "MiB", RSS, rss),
    ]
}

fn figures(reports: &[Report], figure: impl Fn(&Report) -> Option<f64>) -> Vec<f64> {
    reports.iter().filter_map(figure).collect()
}

fn acks(reports: &[Report], figure: impl Fn(&Percentiles) -> f64) -> Vec<f64> {
    figures(reports, |report| report.ack.as_ref().map(&figure))
}

fn ends(reports: &[Report], figure: impl Fn(&Percentiles) -> f64) -> Vec<f64> {
    figures(reports, |report| report.end_to_end.as_ref().map(&figure))
}

/// Lines of 1 KiB, newline included, that hardly compress.
fn write_lines(path: &Path, bytes: u64) -> Result<()> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = StdRng::seed_from_u64(1);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut line = [0; 1_024];
    for _ in 0..bytes / 1_024 {
        random.fill_bytes(&mut line);
        line.iter_mut().for_each(|byte| *byte = ALPHABET[usize::from(*byte & 63)]);
        line[1_023] = b'\n';
        out.write_all(&line)?;
    }
    Ok(out.flush()?)
}
