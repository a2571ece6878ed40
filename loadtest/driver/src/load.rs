//! One load: producers, perhaps a reader that follows, and the watch on the server's process.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use tonic::transport::Channel;

use crate::{
    batch::Template,
    clock::RunClock,
    connect::{channels, create_topic, delete_topic},
    process::{Usage, Watch, usage},
    producer::{Connected, Pace, Produced, ProducerSettings},
    reader::{Read, ReaderSettings, follow, read_to_end},
    report::{GIB, MIB, Percentiles, Report, ServerUse},
    schedule::Schedule,
};

/// Where the server is.
#[derive(Debug, Clone)]
pub struct Target {
    /// Of its gRPC port.
    pub endpoint: String,
    /// Of its process, when it is to be watched.
    pub pid: Option<u32>,
}

/// What to send.
#[derive(Debug, Clone)]
pub struct Load {
    /// Name in the report.
    pub mode: &'static str,
    /// Created before and deleted after the run.
    pub topic: String,
    /// The topic is left in place.
    pub keep_topic: bool,
    /// Of the topic.
    pub partitions: u32,
    /// Over which the producers are spread.
    pub connections: usize,
    /// Produce streams. Each takes its share of the partitions, or, when there are more streams than partitions, one.
    pub streams: usize,
    /// Bytes of a record's value.
    pub record_bytes: usize,
    /// Bytes of values in a batch, at most.
    pub batch_bytes: usize,
    /// Bytes of values a second; `None`: as fast as it goes.
    pub rate: Option<u64>,
    /// Stop after so many bytes of values; only without a rate.
    pub max_bytes: Option<u64>,
    /// See [`ProducerSettings::linger`].
    pub linger: Duration,
    /// See [`ProducerSettings::in_flight`].
    pub in_flight: usize,
    /// Before the measured time.
    pub warm_up: Duration,
    /// The measured time.
    pub time: Duration,
    /// A reader follows from the first record on.
    pub follow: bool,
    /// A reader starts over from the first record again and again, from the middle of the measured time on.
    pub catch_up: bool,
    /// Keep the resident set so often in the report.
    pub rss_every: Option<Duration>,
}

/// Between the opening of the streams and the first record.
const RUN_UP: Duration = Duration::from_millis(200);
/// See [`ProducerSettings::drain`].
const DRAIN: Duration = Duration::from_secs(30);

impl Load {
    /// Runs the load against the server.
    pub async fn run(&self, target: &Target) -> Result<Report> {
        let connections = channels(&target.endpoint, self.connections).await?;
        let readers = channels(&target.endpoint, 2).await?;
        create_topic(&connections[0], &self.topic, self.partitions).await?;
        let outcome = self.run_on(target, &connections, &readers).await;
        if !self.keep_topic {
            delete_topic(&connections[0], &self.topic).await?;
        }
        outcome
    }

    async fn run_on(&self, target: &Target, connections: &[Channel], readers: &[Channel]) -> Result<Report> {
        let opening = (0u32..).zip(connections.iter().cycle()).take(self.streams);
        let connected = try_join_all(opening.map(|(number, channel)| Connected::open(channel, number))).await?;
        let times = Times::from_now(RUN_UP, self.warm_up, self.time);
        let settings = Arc::new(self.producer_settings(&times));
        let mut producers = JoinSet::new();
        for (stream, connected) in connected.into_iter().enumerate() {
            producers.spawn(connected.producer(settings.clone(), &self.lanes_of(stream)).run());
        }
        let reading = Arc::new(ReaderSettings {
            topic: self.topic.clone(),
            partitions: (0..self.partitions).collect(),
            clock: times.clock,
            measure_from_ns: times.from_ns,
            measure_to_ns: times.to_ns,
        });
        let (tell_total, total) = watch::channel(None);
        let follower = async {
            if !self.follow {
                return Ok(None);
            }
            follow(reading.clone(), &readers[0], total.clone()).await.map(Some).context("the live reader")
        };
        let catching_up = async {
            if !self.catch_up {
                return Ok(None);
            }
            catch_up_again(reading.clone(), &readers[1], &times, total.clone()).await.map(Some)
        };
        let (finished, ended) = oneshot::channel();
        let watching = tokio::spawn(watch_processes(target.pid, times, ended, self.rss_every));
        let producing = async {
            let mut all = Produced::none();
            while let Some(produced) = producers.join_next().await {
                all.add(&produced??);
            }
            let end_ns = times.clock.now_ns().min(times.to_ns);
            finished.send(()).ok();
            tell_total.send_replace(Some(all.records));
            Ok((all, end_ns))
        };
        let ((produced, end_ns), followed, caught_up) = tokio::try_join!(producing, follower, catching_up)?;
        let seconds = end_ns.saturating_sub(times.from_ns) as f64 / 1e9;
        let (server, driver_cpu_s) = watching.await??;
        Ok(self.report(seconds, &produced, followed.as_ref(), caught_up.as_ref(), server, driver_cpu_s))
    }

    fn producer_settings(&self, times: &Times) -> ProducerSettings {
        let max_records = (self.batch_bytes / self.record_bytes).max(1);
        let lanes = self.streams.max(self.partitions as usize) as u64;
        let pace = match self.rate {
            Some(rate) => Pace::Scheduled(Schedule {
                start_ns: times.start_ns,
                stop_ns: times.to_ns,
                records: rate,
                per_ns: 1_000_000_000 * self.record_bytes as u64,
                lanes,
            }),
            None => Pace::Unpaced {
                stop_ns: times.to_ns,
                max_records: self.max_bytes.map_or(u64::MAX, |bytes| bytes / self.record_bytes as u64 / lanes),
            },
        };
        ProducerSettings {
            topic: self.topic.clone(),
            template: Arc::new(Template::new(self.record_bytes, max_records, 1)),
            clock: times.clock,
            pace,
            linger: self.linger,
            in_flight: self.in_flight,
            measure_from_ns: times.from_ns,
            measure_to_ns: times.to_ns,
            drain: DRAIN,
        }
    }

    /// The lanes of one stream: place in the schedule, partition.
    fn lanes_of(&self, stream: usize) -> Vec<(u64, u32)> {
        let partitions = self.partitions as usize;
        let lanes = stream..self.streams.max(partitions);
        lanes.step_by(self.streams).map(|lane| (lane as u64, (lane % partitions) as u32)).collect()
    }

    fn report(
        &self,
        seconds: f64,
        produced: &Produced,
        followed: Option<&Read>,
        caught_up: Option<&Read>,
        server: Option<ServerUse>,
        driver_cpu_s: f64,
    ) -> Report {
        let acked_gib = produced.measured_bytes as f64 / GIB;
        let reads = [followed, caught_up].into_iter().flatten();
        let read_bytes: u64 = reads.clone().map(|read| read.measured_bytes).sum();
        Report {
            mode: self.mode,
            seconds,
            acked_mib_s: Some(produced.measured_bytes as f64 / MIB / seconds),
            read_mib_s: followed.or(caught_up).map(|_| read_bytes as f64 / MIB / seconds),
            ack: Percentiles::of(&produced.latencies),
            end_to_end: followed.and_then(|read| Percentiles::of(&read.latencies)),
            server_cpu_s_per_gib: server.as_ref().map(|server| server.cpu_s / acked_gib),
            driver_cpu_s_per_gib: Some(driver_cpu_s / acked_gib),
            server,
            records_acked: produced.records,
            records_read: reads.map(|read| read.records).sum(),
        }
    }
}

/// Reads the whole topic over as many connections as given.
pub async fn catch_up(target: &Target, topic: &str, partitions: u32, connections: usize) -> Result<Report> {
    let connections = channels(&target.endpoint, connections.min(partitions as usize)).await?;
    let times = Times::from_now(Duration::ZERO, Duration::ZERO, Duration::from_secs(3_600));
    let (finished, ended) = oneshot::channel();
    let watching = tokio::spawn(watch_processes(target.pid, times, ended, None));
    let mut readers = JoinSet::new();
    for (place, channel) in (0u32..).zip(&connections) {
        let settings = Arc::new(ReaderSettings {
            topic: topic.to_owned(),
            partitions: (place..partitions).step_by(connections.len()).collect(),
            clock: times.clock,
            measure_from_ns: times.from_ns,
            measure_to_ns: times.to_ns,
        });
        let channel = channel.clone();
        readers.spawn(async move { read_to_end(settings, &channel).await });
    }
    let mut all = Read::none();
    while let Some(read) = readers.join_next().await {
        all.add(&read??);
    }
    let seconds = (times.clock.now_ns() - times.from_ns) as f64 / 1e9;
    finished.send(()).ok();
    let (server, driver_cpu_s) = watching.await??;
    let gib = all.bytes as f64 / GIB;
    Ok(Report {
        mode: "catch-up",
        seconds,
        read_mib_s: Some(all.bytes as f64 / MIB / seconds),
        server_cpu_s_per_gib: server.as_ref().map(|server| server.cpu_s / gib),
        driver_cpu_s_per_gib: Some(driver_cpu_s / gib),
        server,
        records_read: all.records,
        ..Report::default()
    })
}

/// From the middle of the measured time on reads the topic from its first record, again and again, until the producers
/// are done.
async fn catch_up_again(
    settings: Arc<ReaderSettings>,
    channel: &Channel,
    times: &Times,
    mut until: watch::Receiver<Option<u64>>,
) -> Result<Read> {
    tokio::time::sleep_until(times.clock.instant(times.from_ns.midpoint(times.to_ns))).await;
    let mut all = Read::none();
    loop {
        tokio::select! {
            read = read_to_end(settings.clone(), channel) => all.add(&read.context("the catch-up reader")?),
            told = until.wait_for(Option::is_some) => {
                told?;
                return Ok(all);
            }
        }
    }
}

/// When a run starts and what of it is measured.
#[derive(Debug, Clone, Copy)]
struct Times {
    clock: RunClock,
    start_ns: u64,
    from_ns: u64,
    to_ns: u64,
}

impl Times {
    fn from_now(run_up: Duration, warm_up: Duration, time: Duration) -> Self {
        let clock = RunClock::start();
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let start_ns = clock.now_ns() + ns(run_up);
        let from_ns = start_ns + ns(warm_up);
        Self { clock, start_ns, from_ns, to_ns: from_ns + ns(time) }
    }
}

/// What the server and this process use in the measured time, or until `ended`.
async fn watch_processes(
    pid: Option<u32>,
    times: Times,
    ended: oneshot::Receiver<()>,
    rss_every: Option<Duration>,
) -> Result<(Option<ServerUse>, f64)> {
    let mut server = pid.map(|pid| Watch::start(pid.to_string())).transpose()?;
    tokio::time::sleep_until(times.clock.instant(times.from_ns)).await;
    if let Some(server) = &mut server {
        server.mark()?;
    }
    let Usage { cpu_s: before_s, .. } = usage("self")?;
    let end = tokio::time::sleep_until(times.clock.instant(times.to_ns));
    tokio::select! {
        () = end => {}
        _ = ended => {}
    }
    let driver_cpu_s = usage("self")?.cpu_s - before_s;
    Ok((server.map(|server| server.finish(rss_every)).transpose()?, driver_cpu_s))
}

/// Free space of the file system that holds `folder`.
pub fn free_bytes(folder: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(folder).with_context(|| format!("no such folder: {}", folder.display()))?;
    Ok(stat.f_bavail * stat.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(streams: usize, partitions: u32) -> Load {
        Load {
            mode: "produce",
            topic: "t".into(),
            keep_topic: false,
            partitions,
            connections: 1,
            streams,
            record_bytes: 1_024,
            batch_bytes: 1 << 20,
            rate: None,
            max_bytes: None,
            linger: Duration::ZERO,
            in_flight: 1,
            warm_up: Duration::ZERO,
            time: Duration::ZERO,
            follow: false,
            catch_up: false,
            rss_every: None,
        }
    }

    #[test]
    fn every_lane_has_one_stream_and_every_partition_a_lane() {
        for (streams, partitions) in [(1, 8), (4, 8), (3, 8), (8, 8), (2_000, 8)] {
            let load = load(streams, partitions);
            let mut lanes: Vec<_> = (0..streams).flat_map(|stream| load.lanes_of(stream)).collect();
            lanes.sort_unstable();
            let numbers: Vec<u64> = lanes.iter().map(|lane| lane.0).collect();
            assert_eq!(numbers, (0..streams.max(partitions as usize) as u64).collect::<Vec<_>>());
            for partition in 0..partitions {
                assert!(lanes.iter().any(|lane| lane.1 == partition), "partition {partition} of {partitions}");
            }
        }
    }
}
