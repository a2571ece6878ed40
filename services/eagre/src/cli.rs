//! The command line. Spelling is a contract: scripts rely on it.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::BoolishValueParser};
use clap_complete::Shell;
use eagre_client::{Client, Compression, InvalidEndpoint};
use eagre_runtime::MemoryPlan;

use crate::commands::consume::From as StartAt;
#[cfg(feature = "otlp")]
use crate::traces::Collector;

/// A serverless streaming service over a bucket.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One a command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole service in one process over a folder or a bucket
    Dev(DevArgs),
    /// Create, list, describe and delete topics
    Topic(TopicArgs),
    /// Write the lines of stdin or a file to a topic, one record a line
    Produce(ProduceArgs),
    /// Read the records of a topic to stdout
    Consume(ConsumeArgs),
    /// Find out what a bucket is worth
    Bucket(BucketArgs),
    /// Print this program's version and the formats that it reads
    Version(VersionArgs),
    /// Check the settings of `eagre dev` and print those that hold
    Config(ConfigArgs),
    /// Print what a shell needs to complete commands
    Completions(CompletionsArgs),
    /// Write the manual pages of all commands
    Man(ManArgs),
}

/// Of `eagre dev`. Each is a setting: a flag, the variable of its name, and a key of the file.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// A file of settings in TOML; flags and variables win over it
    #[arg(long, value_name = "FILE", env = "EAGRE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where everything is kept: a folder, as a path or file:// URL; s3://BUCKET/PREFIX, reached as the AWS_* variables
    /// say; or memory://
    #[arg(long, value_name = "URL", env = "EAGRE_BUCKET", default_value = "./eagre-data")]
    pub bucket: String,
    /// Where gRPC is served; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "EAGRE_GRPC", default_value = "127.0.0.1:8070")]
    pub grpc: String,
    /// Where the API is served in JSON and as gRPC-web, and metrics and health; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "EAGRE_HTTP", default_value = "127.0.0.1:8071")]
    pub http: String,
    /// Forget what a producer id wrote to a partition when it did not write there for so long: what it sends again after that
    /// is refused; from 1m to 10y
    #[arg(
        long,
        value_name = "TIME",
        env = "EAGRE_PRODUCER_ID_EXPIRATION",
        default_value = "7d",
        value_parser = expiration
    )]
    pub producer_id_expiration: Duration,
    /// Listen on addresses that other machines reach, though nothing is encrypted and everyone may read and write
    #[arg(long, env = "EAGRE_INSECURE", value_parser = BoolishValueParser::new())]
    pub insecure: bool,
    /// Connections that each of the two ports takes, and that are made in ten seconds; those beyond are closed at once
    #[arg(long, value_name = "N", env = "EAGRE_MAX_CONNECTIONS", default_value_t = 12_000)]
    #[arg(value_parser = connections, allow_negative_numbers = true)]
    pub max_connections: u32,
    /// The same from one address, or from one IPv6 network of 64 bits; those of this machine are not counted
    #[arg(long, value_name = "N", env = "EAGRE_MAX_CONNECTIONS_PER_SOURCE", default_value_t = 1_000)]
    #[arg(value_parser = connections, allow_negative_numbers = true)]
    pub max_connections_per_source: u32,
    /// The most memory that the process takes, as 512MiB or 2GiB; `eagre config check` prints how it is divided
    #[arg(long, value_name = "SIZE", env = "EAGRE_MEMORY_LIMIT", default_value = "512MiB", value_parser = memory_limit)]
    pub memory_limit: MemoryPlan,
    /// Serve /debug/pprof/profile and /debug/tasks on the HTTP port, which has to be of the loopback then
    #[arg(long, env = "EAGRE_DEBUG_ENDPOINTS", value_parser = BoolishValueParser::new())]
    pub debug_endpoints: bool,
    /// Acknowledge 99 of 100 requests within this time, from 100ms to 10s: objects grow as long as it allows. Left out, 500ms
    /// behind a network, and as soon as a folder can
    #[arg(long, value_name = "TIME", env = "EAGRE_TARGET_P99", value_parser = target_p99)]
    pub target_p99: Option<Duration>,
    /// Make so many PUTs a second at most, commits included, from 0.5 to 10000: less money, longer waits. It goes before the
    /// target; full objects are uploaded all the same
    #[arg(long, value_name = "N", env = "EAGRE_MAX_PUT_PER_SECOND")]
    #[arg(value_parser = put_per_second, allow_negative_numbers = true)]
    pub max_put_per_second: Option<f64>,
    /// Where traces go.
    #[cfg(feature = "otlp")]
    #[command(flatten)]
    pub traces: TraceArgs,
}

/// Of the traces of `eagre dev`.
#[cfg(feature = "otlp")]
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Send traces to this OpenTelemetry collector, to its OTLP over gRPC, as http://127.0.0.1:4317
    #[arg(long, value_name = "URL", env = "EAGRE_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<Collector>,
    /// Trace so many of the requests whose caller is not traced, from 0 to 1
    #[arg(long, value_name = "RATIO", env = "EAGRE_TRACE_RATIO", default_value = "0.01", value_parser = ratio)]
    pub trace_ratio: f64,
}

/// Of `eagre config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// One a subcommand of `eagre config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check settings as `eagre dev` would, and print those that hold and where each was said
    #[command(after_help = "Exit status: 0 `eagre dev` would take them, 2 it would not.")]
    Check(ConfigCheckArgs),
}

/// Of `eagre config check`.
#[derive(Debug, Args)]
pub struct ConfigCheckArgs {
    /// How they are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// As they would be given to `eagre dev`.
    #[command(flatten)]
    pub dev: DevArgs,
}

/// Of `eagre man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for each command into this folder, made if need be; without it the page of `eagre` goes to stdout
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Of every command that talks to a service.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// The service's gRPC address; several, with commas between them or each with its own --endpoint, are gateways of
    /// one service, for when the first ones cannot be reached
    #[arg(
        long,
        value_name = "URL",
        env = "EAGRE_ENDPOINT",
        default_value = "http://127.0.0.1:8070",
        value_delimiter = ','
    )]
    endpoint: Vec<String>,
}

impl ConnectArgs {
    /// A client of that service.
    pub fn client(&self) -> Result<Client, InvalidEndpoint> {
        let mut endpoints = self.endpoint.iter();
        // clap gives the default where there is none.
        Client::builder(endpoints.next().map_or("", String::as_str)).endpoints(endpoints).build()
    }
}

/// Of `eagre topic`.
#[derive(Debug, Args)]
pub struct TopicArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: TopicCommand,
}

/// One a subcommand of `eagre topic`.
#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Create a topic
    Create {
        /// 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'
        name: String,
        /// A fixed number of partitions, with keys placed as Kafka does; left out, the topic is elastic
        #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        partitions: Option<u32>,
        /// The largest record batch that it takes, as 64KiB or 1MiB; from 1KiB to 8MiB, which is the default
        #[arg(long, value_name = "SIZE", value_parser = byte_size)]
        max_message_bytes: Option<u32>,
        /// A topic of this name with the same partitions and limit is as good as a new one
        #[arg(long)]
        if_not_exists: bool,
        /// The service.
        #[command(flatten)]
        connect: ConnectArgs,
    },
    /// Print the names of all topics
    List {
        /// How topics are printed
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// The service.
        #[command(flatten)]
        connect: ConnectArgs,
    },
    /// Print a topic's partitions with log start, high watermark and bytes
    Describe {
        /// The topic
        name: String,
        /// Print it every second with the rates of each partition, until Ctrl-C
        #[arg(long)]
        watch: bool,
        /// How it is printed
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// The service.
        #[command(flatten)]
        connect: ConnectArgs,
    },
    /// Delete a topic with all its records
    Delete {
        /// The topic
        name: String,
        /// The service.
        #[command(flatten)]
        connect: ConnectArgs,
    },
}

/// Of `eagre produce`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 all records were acknowledged, 1 not all, 2 usage, 130 interrupted, after a flush."
)]
pub struct ProduceArgs {
    /// The topic
    pub topic: String,
    /// Where keys come from.
    #[command(flatten)]
    pub key: KeyArgs,
    /// Write to this partition, whatever the keys are
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub partition: Option<u32>,
    /// A header of every record; may be given several times
    #[arg(long, value_name = "K=V", value_parser = header)]
    pub header: Vec<(String, String)>,
    /// How batches are compressed
    #[arg(long, value_enum, default_value_t = Codec::None)]
    pub compression: Codec,
    /// Read this file instead of stdin; - is stdin
    #[arg(long, value_name = "F")]
    pub file: Option<PathBuf>,
    /// Write `partition offset line-number` of each acknowledged record to this file; - is stdout
    #[arg(long, value_name = "F")]
    pub acks_to: Option<PathBuf>,
    /// Send at most so many records a second
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// Give up when a record could not be delivered for so long, as 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "2m", allow_hyphen_values = true, value_parser = positive_duration)]
    pub delivery_timeout: Duration,
    /// The service.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// Where the keys of produced records come from; at most one way.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct KeyArgs {
    /// The key of every record
    #[arg(id = "key", long = "key", value_name = "K", allow_hyphen_values = true)]
    pub constant: Option<String>,
    /// Lines are JSON objects; this field is the key (null: no key)
    #[arg(id = "key_field", long = "key-field", value_name = "F")]
    pub field: Option<String>,
    /// What comes before the first S of a line is the key, what comes after it the value; \t is a tab
    #[arg(id = "key_separator", long = "key-separator", value_name = "S", allow_hyphen_values = true, value_parser = separator)]
    pub separator: Option<String>,
}

/// Of `eagre consume`.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 done, 1 failed, 2 usage, 130 interrupted.")]
pub struct ConsumeArgs {
    /// The topic
    pub topic: String,
    /// Read this partition alone
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub partition: Option<u32>,
    /// Where to begin: beginning, end, an OFFSET (with --partition), -N for the last N of each partition, or @TIME: RFC
    /// 3339, milliseconds since the epoch, or @-1h. Default: end; with --until-end: beginning
    #[arg(long, value_name = "FROM", allow_hyphen_values = true)]
    pub from: Option<StartAt>,
    /// Stop after so many records
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub max: Option<u64>,
    /// Stop at the end that the topic has now, instead of waiting for more
    #[arg(long)]
    pub until_end: bool,
    /// How records are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// The service.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; of a record the value and a newline
    Text,
    /// One JSON object a line
    Json,
}

/// How `eagre produce` compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Codec {
    /// Not at all
    None,
    /// LZ4: quick
    Lz4,
    /// Zstandard: small
    Zstd,
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::None => Self::None,
            Codec::Lz4 => Self::Lz4,
            Codec::Zstd => Self::Zstd,
        }
    }
}

/// Of `eagre bucket`.
#[derive(Debug, Args)]
pub struct BucketArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: BucketCommand,
}

/// One a subcommand of `eagre bucket`.
#[derive(Debug, Subcommand)]
pub enum BucketCommand {
    /// Race, read, list and time a bucket; say whether Eagre can use it, how quick acknowledgements would be and what they
    /// would cost. Works below check/ and takes away what it wrote
    Check(BucketCheckArgs),
}

/// Of `eagre bucket check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 Eagre can use it, 1 it cannot or that could not be found out, 2 usage, 130 interrupted."
)]
pub struct BucketCheckArgs {
    /// As of `eagre dev --bucket`
    #[arg(value_name = "URL")]
    pub bucket: String,
    /// 800 requests and 35 MiB each way instead of 2,100 and 80 MiB; long listings are left out
    #[arg(long)]
    pub quick: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Of `eagre version`.
#[derive(Debug, Args)]
pub struct VersionArgs {
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Of `eagre completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    pub shell: Shell,
}

#[cfg(feature = "otlp")]
fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "write a share from 0 to 1, as 0.01".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if name.is_empty() {
        Err("it has no name before the =".to_owned())
    } else {
        Ok((name.to_owned(), value.to_owned()))
    }
}

/// A tab is hard to type, so it has a name; and so has the backslash that the name begins with.
fn separator(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        out.push(match next {
            '\\' => match rest.next() {
                Some('t') => '\t',
                Some('\\') => '\\',
                _ => return Err("write \\t for a tab and \\\\ for a backslash".to_owned()),
            },
            other => other,
        });
    }
    if out.is_empty() { Err("it must not be empty".to_owned()) } else { Ok(out) }
}

fn memory_limit(text: &str) -> Result<MemoryPlan, String> {
    if text.trim().parse::<u64>().is_ok_and(|bytes| bytes < 1 << 20) {
        return Err(format!("there is no unit; write {0}MiB or {0}GiB", text.trim()));
    }
    let size: Result<bytesize::ByteSize, _> = text.parse();
    let bytes = size.ok().and_then(|size| usize::try_from(size.as_u64()).ok());
    MemoryPlan::of(bytes.ok_or("write 512MiB or 2GiB")?).map_err(|error| error.to_string())
}

fn byte_size(text: &str) -> Result<u32, String> {
    let size: Result<bytesize::ByteSize, _> = text.parse();
    let bytes = size.ok().and_then(|size| u32::try_from(size.as_u64()).ok());
    bytes.ok_or_else(|| "write 65536, 64KiB or 1MiB".to_owned())
}

fn connections(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| (1..=1_000_000).contains(count));
    count.ok_or_else(|| "write a whole number from 1 to 1000000".to_owned())
}

fn target_p99(text: &str) -> Result<Duration, String> {
    let target = positive_duration(text)?;
    let is_allowed = (Duration::from_millis(100)..=Duration::from_secs(10)).contains(&target);
    if is_allowed { Ok(target) } else { Err("write a time from 100ms to 10s".to_owned()) }
}

fn put_per_second(text: &str) -> Result<f64, String> {
    let puts: f64 = text.parse().map_err(|_| "it is no number; write 4 or 0.5".to_owned())?;
    if (0.5..=10_000.0).contains(&puts) { Ok(puts) } else { Err("write a number from 0.5 to 10000".to_owned()) }
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; write 250ms, 30s or 2m"))?;
    if duration.is_zero() { Err("it must be more than nothing".to_owned()) } else { Ok(duration) }
}

fn expiration(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; write 12h or 7d"))?;
    let bounds = Duration::from_secs(60)..=3_653 * DAY;
    if bounds.contains(&duration) { Ok(duration) } else { Err("it is from 1m to 10y".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::error::ErrorKind> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command).map_err(|error| error.kind())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn dev_has_defaults() {
        let Ok(Command::Dev(args)) = parse("eagre dev") else { panic!("dev") };
        assert_eq!((&*args.bucket, &*args.grpc, &*args.http), ("./eagre-data", "127.0.0.1:8070", "127.0.0.1:8071"));
    }

    #[test]
    fn producers_are_forgotten_after_a_minute_to_ten_years() {
        let Ok(Command::Dev(args)) = parse("eagre dev") else { panic!("dev") };
        assert_eq!(args.producer_id_expiration, Duration::from_secs(7 * 24 * 3_600));
        for (given, right) in
            [("1m", true), ("12h", true), ("10y", true), ("59s", false), ("11y", false), ("0s", false), ("7", false)]
        {
            assert_eq!(parse(&format!("eagre dev --producer-id-expiration {given}")).is_ok(), right, "{given}");
        }
    }

    #[test]
    fn produce_takes_units_and_one_kind_of_key() {
        let Ok(Command::Produce(args)) = parse("eagre produce t --key-field f --delivery-timeout 250ms --rate 9")
        else {
            panic!("produce")
        };
        assert_eq!((args.delivery_timeout, args.rate), (Duration::from_millis(250), Some(9)));
        assert_eq!(args.key.field.as_deref(), Some("f"));
        for line in [
            "eagre produce t --key k --key-field f",
            "eagre produce t --key k --key-separator s",
            "eagre produce t --rate 0",
            "eagre produce t --delivery-timeout 0s",
            "eagre produce t --header name",
            "eagre produce t --header =value",
            "eagre produce t --compression bzip2",
            "eagre produce t --delivery-timeout soon",
            "eagre produce",
            "eagre topic create t --partitions 0",
            "eagre topic create t --partitions -1",
            #[cfg(feature = "otlp")]
            "eagre dev --trace-ratio 1.5",
            #[cfg(feature = "otlp")]
            "eagre dev --otlp-endpoint localhost",
            "eagre topic create t --max-message-bytes much",
            "eagre topic create t --max-message-bytes 5GiB",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_separator_may_be_a_tab() {
        for (text, expected) in [(":", ":"), (r"\t", "\t"), ("\t", "\t"), (r"\\t", r"\t"), ("é→", "é→")] {
            assert_eq!(separator(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", r"\", r"\n", r"a\x09"] {
            assert!(separator(text).is_err(), "{text}");
        }
    }

    #[test]
    fn consume_takes_negative_positions() {
        let Ok(Command::Consume(args)) = parse("eagre consume t --from -5 --max 3 --format json") else {
            panic!("consume")
        };
        assert_eq!(args.from, Some(StartAt::Last(5)));
        assert_eq!((args.max, args.format), (Some(3), Format::Json));
        assert!(parse("eagre consume t --from yesterday").is_err());
    }
}
