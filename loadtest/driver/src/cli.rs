//! What can be typed.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};

use crate::{
    clock::RunClock,
    load::{Load, Target, catch_up},
    raw,
    report::Report,
    suite::{self, Suite},
};

/// Paced open-loop load for Eagre.
#[derive(Debug, Parser)]
#[command(name = "eagre-loadtest", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends at a rate; ack latency counts from the intended send time
    Produce(Paced),
    /// Sends as fast as acks come; MiB/s acknowledged
    Saturate(Saturate),
    /// Sends at a rate with a reader that follows; end-to-end latency
    Live(Paced),
    /// Reads a topic from its first record
    CatchUp(CatchUp),
    /// Many produce streams, each with a record every now and then
    Streams(Streams),
    /// Sends at a rate with a live reader and, from the middle on, one that starts over again and again; memory over time
    Mixed(Paced),
    /// fdatasync, synced writes and loopback of this machine at this minute
    Raw(Raw),
    /// Starts servers of its own and runs the whole table of docs/benchmarks.md
    Suite(Suite),
}

/// Where the server is.
#[derive(Debug, Args)]
struct Server {
    /// gRPC address
    #[arg(long, env = "EAGRE_ENDPOINT", default_value = "http://127.0.0.1:8070")]
    endpoint: String,
    /// Process to watch: CPU time and resident set
    #[arg(long)]
    pid: Option<u32>,
}

impl Server {
    fn target(&self) -> Target {
        Target { endpoint: self.endpoint.clone(), pid: self.pid }
    }
}

/// What is sent.
#[derive(Debug, Args)]
struct Shape {
    /// Created first; a name of its own by default
    #[arg(long)]
    topic: Option<String>,
    /// Leave the topic in place
    #[arg(long)]
    keep: bool,
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    partitions: u32,
    /// Bytes of a record's value
    #[arg(long, default_value = "1KiB")]
    record: ByteSize,
    /// Bytes of values in a batch, at most
    #[arg(long, default_value = "512KiB")]
    batch: ByteSize,
    /// How long the first record of a batch may wait for others
    #[arg(long, default_value = "2ms")]
    linger: humantime::Duration,
    /// Unanswered batches of one partition and producer, at most; the service's own limit holds too
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Before the measured time
    #[arg(long, default_value = "5s")]
    warm_up: humantime::Duration,
    /// Measured time
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
}

impl Shape {
    fn load(&self, mode: &'static str) -> Result<Load> {
        let topic = self.topic.clone().unwrap_or_else(|| format!("loadtest-{}", RunClock::start().now_ns()));
        let load = Load {
            mode,
            topic,
            keep_topic: self.keep,
            partitions: self.partitions,
            connections: self.connections,
            streams: self.connections.min(self.partitions as usize),
            record_bytes: usize::try_from(self.record.as_u64())?,
            batch_bytes: usize::try_from(self.batch.as_u64())?,
            rate: None,
            max_bytes: None,
            linger: self.linger.into(),
            in_flight: self.in_flight,
            warm_up: self.warm_up.into(),
            time: Duration::from_secs(self.seconds),
            follow: false,
            catch_up: false,
            rss_every: None,
        };
        ensure!(load.connections > 0 && load.in_flight > 0, "--connections and --in-flight begin at 1");
        ensure!((24..=16 << 20).contains(&load.record_bytes), "--record is between 24 bytes and 16 MiB");
        Ok(load)
    }
}

#[derive(Debug, Args)]
struct Paced {
    /// Bytes of values a second
    #[arg(long, default_value = "1MiB")]
    rate: ByteSize,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
struct Saturate {
    /// Stop after so many bytes
    #[arg(long)]
    bytes: Option<ByteSize>,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
struct Streams {
    #[arg(long, default_value_t = 2_000)]
    streams: usize,
    /// Records a second of each
    #[arg(long, default_value_t = 1)]
    rate_each: u64,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
struct CatchUp {
    /// Filled before by `saturate --keep --topic`
    #[arg(long)]
    topic: String,
    #[arg(long, default_value_t = 8)]
    partitions: u32,
    #[arg(long, default_value_t = 4)]
    connections: usize,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
struct Raw {
    /// Where to write
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Of each of the three
    #[arg(long, default_value = "2s")]
    time: humantime::Duration,
}

/// Runs what was typed.
pub async fn run(cli: Cli) -> Result<()> {
    report(cli.command).await?.map_or(Ok(()), |report| Ok(report.print()?))
}

async fn report(command: Command) -> Result<Option<Report>> {
    let (load, server) = match &command {
        Command::Raw(raw) => {
            return suite::print_raw(&raw::measure(&raw.folder, raw.time.into())?).map(|()| None);
        }
        Command::Suite(suite) => return suite.run().await.map(|()| None),
        Command::CatchUp(read) => {
            let report = catch_up(&read.server.target(), &read.topic, read.partitions, read.connections).await?;
            return Ok(Some(report));
        }
        Command::Produce(paced) => (paced_load("produce", paced)?, &paced.server),
        Command::Live(paced) => (Load { follow: true, ..paced_load("live", paced)? }, &paced.server),
        Command::Mixed(paced) => {
            let rss_every = Some(Duration::from_secs(10));
            (Load { follow: true, catch_up: true, rss_every, ..paced_load("mixed", paced)? }, &paced.server)
        }
        Command::Saturate(saturate) => {
            let max_bytes = saturate.bytes.map(|bytes| bytes.as_u64());
            (Load { max_bytes, ..saturate.shape.load("saturate")? }, &saturate.server)
        }
        Command::Streams(many) => {
            let load = many.shape.load("streams")?;
            let rate = many.streams as u64 * many.rate_each * load.record_bytes as u64;
            (Load { streams: many.streams.max(1), rate: Some(rate), linger: Duration::ZERO, ..load }, &many.server)
        }
    };
    load.run(&server.target()).await.map(Some)
}

fn paced_load(mode: &'static str, paced: &Paced) -> Result<Load> {
    ensure!(paced.rate.as_u64() > 0, "--rate begins at one byte a second");
    Ok(Load { rate: Some(paced.rate.as_u64()), ..paced.shape.load(mode)? })
}
