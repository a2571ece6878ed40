//! `eagre produce`.

mod acks;
mod keys;
mod lines;
mod pace;
mod progress;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use bytes::Bytes;
use eagre_client::{ProducerSettings, SendError, TopicProducer};
use tokio::sync::{mpsc, watch};

use self::{
    acks::{AckLog, Tally, is_over, take_reports},
    keys::KeySource,
    lines::{Block, lines, read_in_thread},
    pace::Pacer,
    progress::{HandedOver, Progress},
};
use crate::{cli::ProduceArgs, console::say, failure::Failure, signals::Signals};

/// Runs the command.
pub async fn run(args: ProduceArgs) -> Result<ExitCode, Failure> {
    let client = args.connect.client()?;
    let mut signals = Signals::listen()?;
    let blocks = open(&args)?;
    if let Some(path) = args.acks_to.as_deref().filter(|path| is_input(path, args.file.as_deref())) {
        let what = format!("--acks-to {} is the input itself, and would be emptied", path.display());
        return Err(Failure::usage(what).hint("name another file"));
    }
    let settings = ProducerSettings {
        delivery_timeout: args.delivery_timeout,
        compression: args.compression.into(),
        ..ProducerSettings::default()
    };
    let (producer, reports) = client.producer_with_reports(&settings);
    let topic = tokio::select! {
        topic = producer.topic(&args.topic) => topic?,
        signal = signals.next() => return Ok(signal.status()),
    };
    if let Some(partition) = args.partition.filter(|partition| *partition >= topic.partitions()) {
        let what = format!("topic {:?} has no partition {partition}", args.topic);
        return Err(Failure::new(what).hint(format!("it has partitions 0 to {}", topic.partitions() - 1)));
    }
    // Opened, and so emptied, only now that records can be sent.
    let log = args.acks_to.as_deref().map(|path| {
        let cannot = |error| Failure::new(format!("cannot create {}: {error}", path.display()));
        AckLog::create(path).map_err(cannot)
    });
    let log = log.transpose()?;
    let (tally, outcomes) = watch::channel(Tally::default());
    let reports = tokio::spawn(take_reports(reports, log, tally));
    let progress = Progress::start(outcomes.clone());

    let mut intake = Intake {
        topic,
        keys: KeySource::new(args.key),
        partition: args.partition,
        headers: args.header.into_iter().map(|(name, value)| (name, Some(value.into()))).collect(),
        pacer: args.rate.map(Pacer::new),
        line: 0,
        handed_over: progress.handed_over.clone(),
        skipped: Skipped::default(),
    };
    let mut over = outcomes.clone();
    let (read, interrupted) = tokio::select! {
        biased;
        signal = signals.next() => (Ok(()), Some(signal)),
        // The sender outlives the loop.
        _ = over.wait_for(is_over) => (Ok(()), None),
        read = intake.take_all(blocks) => (read, None),
    };
    let Intake { topic, line, skipped, .. } = intake;
    // Everything that was handed over is settled when the last handle is gone and the reports have ended.
    let settled = async {
        producer.flush().await;
        drop((producer, topic));
        reports.await
    };
    let ended = tokio::select! {
        ended = settled => ended,
        signal = signals.next() => {
            let left = line - outcomes.borrow().acked - skipped.count;
            say(&format!("interrupted again: {left} records are not acknowledged; some may have been sent"));
            return Ok(signal.status());
        }
    };
    progress.finish().await;
    let tally = outcomes.borrow().clone();
    let summary = Summary { lines: line, skipped, tally, acks_to: args.acks_to.map(|path| path.display().to_string()) };
    ended.map_err(|error| Failure::new(format!("taking acknowledgements failed: {error}")))?;
    read.map_err(|error| Failure::new(format!("cannot read after line {line}: {error}")))?;
    match (summary.failure(&args.topic, args.delivery_timeout), interrupted) {
        (failure, Some(signal)) => {
            if let Some(failure) = failure {
                say(&failure.to_string());
            }
            Ok(signal.status())
        }
        (Some(failure), None) => Err(failure),
        (None, None) => Ok(ExitCode::SUCCESS),
    }
}

/// Whether a path is the regular file that is read.
fn is_input(path: &Path, file: Option<&Path>) -> bool {
    let input = file.filter(|file| file.as_os_str() != "-").unwrap_or(Path::new("/dev/stdin"));
    let place = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
    };
    place(path).is_some_and(|found| place(input) == Some(found))
}

fn open(args: &ProduceArgs) -> Result<mpsc::Receiver<io::Result<Block>>, Failure> {
    let blocks = match &args.file {
        None => read_in_thread(io::stdin()),
        Some(path) if path.as_os_str() == "-" => read_in_thread(io::stdin()),
        Some(path) => {
            let cannot = |error| Failure::new(format!("cannot read {}: {error}", path.display()));
            let file = File::open(path).map_err(cannot)?;
            if file.metadata().map_err(cannot)?.is_dir() {
                return Err(cannot(io::ErrorKind::IsADirectory.into()));
            }
            read_in_thread(file)
        }
    };
    blocks.map_err(|error| Failure::new(format!("cannot start a thread: {error}")))
}

/// Makes records of lines and hands them over.
struct Intake {
    topic: TopicProducer,
    keys: KeySource,
    partition: Option<u32>,
    /// Of every record.
    headers: Vec<(String, Option<Bytes>)>,
    pacer: Option<Pacer>,
    /// Lines taken.
    line: u64,
    handed_over: watch::Sender<HandedOver>,
    skipped: Skipped,
}

/// Lines of which no record could be made.
#[derive(Debug, Default)]
struct Skipped {
    count: u64,
    first: Option<SkippedLine>,
}

#[derive(Debug)]
struct SkippedLine {
    line: u64,
    why: String,
    hint: &'static str,
}

impl Intake {
    /// Cancelled between two records, it has handed over the first `line` lines.
    async fn take_all(&mut self, mut blocks: mpsc::Receiver<io::Result<Block>>) -> io::Result<()> {
        while let Some(block) = blocks.recv().await {
            match block? {
                Block::Lines(block) => {
                    for line in lines(&block) {
                        self.take(line).await;
                    }
                    self.handed_over.send_modify(|handed_over| {
                        handed_over.lines = self.line;
                        handed_over.bytes += block.len() as u64;
                    });
                }
                Block::TooLong => {
                    self.line += 1;
                    self.skip("it is longer than 2 MiB".to_owned(), "a record holds up to 1 MiB");
                }
            }
        }
        Ok(())
    }

    async fn take(&mut self, line: Bytes) {
        if let Some(pacer) = &mut self.pacer {
            pacer.pace().await;
        }
        let number = self.line + 1;
        let sent = match self.keys.record(line) {
            Ok(mut record) => {
                record.partition = self.partition;
                record.headers.clone_from(&self.headers);
                let sent = self.topic.enqueue(record, number).await;
                sent.map_err(|error| match error {
                    SendError::TooLarge(why) => (why, "a record holds up to 1 MiB"),
                    error => (error.to_string(), "see `eagre topic describe`"),
                })
            }
            Err(why) => Err((why, "mend the line, or choose another --key-field or --key-separator")),
        };
        self.line = number;
        if let Err((why, hint)) = sent {
            self.skip(why, hint);
        }
    }

    fn skip(&mut self, why: String, hint: &'static str) {
        self.skipped.count += 1;
        if self.skipped.first.is_none() {
            say(&format!("line {} is left out: {why}", self.line));
            self.skipped.first = Some(SkippedLine { line: self.line, why, hint });
        }
    }
}

/// What is to be said at the end.
struct Summary {
    lines: u64,
    skipped: Skipped,
    tally: Tally,
    acks_to: Option<String>,
}

impl Summary {
    fn failure(self, topic: &str, delivery_timeout: Duration) -> Option<Failure> {
        if let Some(error) = self.tally.write_error {
            let acks_to = self.acks_to.unwrap_or_default();
            return Some(Failure::new(format!(
                "cannot write to {acks_to}: {error}; records were sent up to line {}",
                self.lines
            )));
        }
        let missing = self.lines - self.tally.acked;
        if missing == 0 {
            return None;
        }
        let failed = self.tally.first_failure.map(|(line, error)| {
            let hint = advice(&error, topic, delivery_timeout);
            (line, error.to_string(), hint)
        });
        let skipped = self.skipped.first.map(|skipped| (skipped.line, skipped.why, skipped.hint.to_owned()));
        let (line, why, hint) = match (failed, skipped) {
            (Some(failed), Some(skipped)) if skipped.0 < failed.0 => skipped,
            (Some(first), _) | (None, Some(first)) => first,
            (None, None) => (0, "the producer ended".to_owned(), "this is a bug of eagre: please report it".to_owned()),
        };
        let unknown = if self.tally.has_unknown { " (some of them may have been appended)" } else { "" };
        let what = format!(
            "{missing} of {} records were not acknowledged{unknown}, the first at line {line}: {why}",
            self.lines
        );
        Some(Failure::new(what).hint(hint))
    }
}

/// What to do about a record that was not acknowledged.
fn advice(error: &SendError, topic: &str, delivery_timeout: Duration) -> String {
    match error {
        SendError::UnknownTopic(_) | SendError::UnknownPartition { .. } => {
            format!("was the topic deleted meanwhile? see `eagre topic describe {topic}`")
        }
        SendError::Expired(_) | SendError::OutcomeUnknown(_) => {
            let timeout = humantime::format_duration(delivery_timeout);
            format!(
                "is the service running, and has its bucket room? --delivery-timeout ({timeout}) says how long to keep trying"
            )
        }
        SendError::TooLarge(_) | SendError::Refused(_) => "nothing after it was sent".to_owned(),
    }
}
