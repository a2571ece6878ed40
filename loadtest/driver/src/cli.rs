//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Puts a load on a streaming service and tells what became of every record
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 when everything was right and every bound held, 1 when not, 2 when something could not be \
                  done, 130 when it was interrupted."
)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs a scenario, judges every record, writes a report
    Run(Box<Run>),
    /// Lists the shipped scenarios
    Scenarios,
    /// Prints a shipped scenario, to begin one's own from
    Show {
        /// Its name
        name: String,
    },
    /// Puts several runs side by side on one page
    Compare(Compare),
    /// Reads back what a run has written, later, and judges it against the run's record
    Verify(Verify),
    /// Finds the highest rate at which a bound holds
    FindLimit(FindLimit),
    /// Breaks promises on purpose between itself and a service, one after the other, and checks that each is found
    Faults(Faults),
    /// Measures what the machine itself gives: synced writes and loopback
    Machine(Machine),
    /// A service that only acknowledges, to see what the load test itself costs
    Sink(Sink),
}

/// Whom the load goes to.
#[derive(Debug, Clone, Default, Args)]
pub struct Target {
    /// grpc://host:port[,host:port…] or kafka://host:port[,…]; left out: an `eagre dev` over a temporary folder is started
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Process of the server, when it runs on this machine: its CPU time and memory are reported
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// host:port where the server shows /metrics: its requests to the bucket are reported
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<String>,
    /// What the server is, for the report
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// An option for the `eagre dev` that is started, such as --dev=--bucket=model+memory://
    #[arg(long = "dev", value_name = "OPTION", allow_hyphen_values = true)]
    pub dev_options: Vec<String>,
}

/// A load: by its scenario, or by flags.
#[derive(Debug, Clone, Default, Args)]
pub struct Load {
    /// A shipped scenario, or a file (*.toml); left out: what the flags say
    pub scenario: Option<String>,
    /// Bytes of values a second (50MiB), records a second (1000/s), or max
    #[arg(long, conflicts_with = "scenario", allow_hyphen_values = true)]
    pub rate: Option<String>,
    /// Bytes of a value
    #[arg(long, conflicts_with = "scenario", allow_hyphen_values = true)]
    pub record: Option<String>,
    /// How long
    #[arg(long, conflicts_with = "scenario", allow_hyphen_values = true)]
    pub seconds: Option<String>,
    /// How many write
    #[arg(long, conflicts_with = "scenario")]
    pub producers: Option<u32>,
    /// How many read, each everything
    #[arg(long, conflicts_with = "scenario")]
    pub consumers: Option<u32>,
    /// How many topics
    #[arg(long, conflicts_with = "scenario")]
    pub topics: Option<u32>,
    /// Of each topic
    #[arg(long, conflicts_with = "scenario")]
    pub partitions: Option<u32>,
    /// Over which the producers are spread
    #[arg(long, conflicts_with = "scenario")]
    pub connections: Option<u32>,
    /// Changes the scenario: producers.count=4, stages.0.rate=10MiB, scale_to=20s
    #[arg(long = "set", value_name = "K=V")]
    pub set: Vec<String>,
    /// All that is drawn follows from it
    #[arg(long)]
    pub seed: Option<u64>,
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// What.
    #[command(flatten)]
    pub load: Load,
    /// Whom.
    #[command(flatten)]
    pub target: Target,
    /// Folder for the result; left out: loadtest-<scenario>-<time>
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Leave the topics in place, so that `verify` can read them again
    #[arg(long)]
    pub keep_topics: bool,
    /// Do not read back what no consumer has read: acknowledgements alone are judged, as against `sink`
    #[arg(long)]
    pub no_read_back: bool,
}

/// `compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// Folders of runs; DIR=LABEL gives one a name
    #[arg(required = true, num_args = 2..=8, value_name = "DIR[=LABEL]")]
    pub runs: Vec<String>,
    /// The page
    #[arg(long, default_value = "compare.html", value_name = "FILE")]
    pub out: PathBuf,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Folder of a run that was made with --keep-topics
    pub dir: PathBuf,
    /// grpc://host:port[,host:port…]
    #[arg(long, value_name = "URL")]
    pub target: String,
}

/// `find-limit`.
#[derive(Debug, Args)]
pub struct FindLimit {
    /// Whom.
    #[command(flatten)]
    pub target: Target,
    /// What has to hold: p50=…, p99=…, end-to-end=…
    #[arg(long, value_name = "WHAT=TIME")]
    pub bound: String,
    /// The first rate that is tried
    #[arg(long, default_value = "4MiB")]
    pub from: String,
    /// No higher rate is tried
    #[arg(long, default_value = "2GiB")]
    pub upto: String,
    /// Bytes of a value
    #[arg(long, default_value = "1KiB")]
    pub record: String,
    /// How long each rate is tried, a quarter of it more to warm up
    #[arg(long, default_value_t = 15)]
    pub seconds: u32,
    /// How many write
    #[arg(long, default_value_t = 4)]
    pub producers: u32,
    /// Of the topic
    #[arg(long, default_value_t = 8)]
    pub partitions: u32,
    /// Folder for the results; left out: loadtest-limit-<time>
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `faults`.
#[derive(Debug, Args)]
pub struct Faults {
    /// Which; left out: all
    pub names: Vec<String>,
    /// How long each
    #[arg(long, default_value_t = 5)]
    pub seconds: u32,
}

/// `machine`.
#[derive(Debug, Args)]
pub struct Machine {
    /// Where to write
    #[arg(long, default_value = ".")]
    pub folder: PathBuf,
    /// Each of the three
    #[arg(long, default_value = "2s")]
    pub time: humantime::Duration,
}

/// `sink`.
#[derive(Debug, Args)]
pub struct Sink {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: String,
}
