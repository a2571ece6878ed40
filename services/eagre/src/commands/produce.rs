//! `eagre produce`.

mod acks;
mod input;
mod intake;
mod keys;
mod lines;
mod pace;
mod progress;
mod summary;

use std::{path::Path, process::ExitCode};

use eagre_client::ProducerSettings;
use tokio::sync::watch;

use self::{
    acks::{AckLog, Tally, is_over, take_reports},
    intake::{Intake, Skipped},
    keys::KeySource,
    pace::Pacer,
    progress::Progress,
    summary::Summary,
};
use crate::{
    cli::ProduceArgs,
    console::{counted, say},
    failure::Failure,
    place::Place,
    report::{Level, show},
    signals::Signals,
};

/// Runs the command.
pub async fn run(args: ProduceArgs) -> Result<ExitCode, Failure> {
    let client = args.connect.client()?;
    let mut signals = Signals::listen()?;
    let blocks = input::open(args.file.as_deref())?;
    let is_input = |path: &&Path| !acks::is_stdout(path) && input::is_input(path, args.file.as_deref());
    if let Some(path) = args.acks_to.as_deref().filter(is_input) {
        let what = format!("--acks-to {} is the input itself, and would be emptied", path.display());
        return Err(Failure::usage(what).help("name another file"));
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
        return Err(Failure::new(what).help(format!("it has partitions 0 to {}", topic.partitions() - 1)));
    }
    // Opened, and so emptied, only now that records can be sent.
    let log = args.acks_to.as_deref().map(|path| {
        AckLog::create(path)
            .map_err(|error| Failure::of_file("create", path, &error, "name a file that can be written"))
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
    if interrupted.is_some() {
        let outcomes = outcomes.borrow();
        let left = line.saturating_sub(outcomes.acked + skipped.count);
        if left > 0 && !is_over(&outcomes) {
            let records = counted(left, "record is", "records are");
            say(&format!("interrupted: waiting until {records} acknowledged; Ctrl-C again leaves without"));
        }
    }
    // Everything that was handed over is settled when the last handle is gone and the reports have ended.
    let settled = async {
        producer.flush().await;
        drop((producer, topic));
        reports.await
    };
    let ended = tokio::select! {
        ended = settled => ended,
        signal = signals.next() => {
            let left = line.saturating_sub(outcomes.borrow().acked + skipped.count);
            let records = counted(left, "record is", "records are");
            let again = if interrupted.is_some() { " again" } else { "" };
            say(&format!("interrupted{again}: {records} not acknowledged; some may have been sent"));
            return Ok(signal.status());
        }
    };
    progress.finish().await;
    let tally = outcomes.borrow().clone();
    let input = input::name(args.file.as_deref());
    let acks_to = args.acks_to.map(|path| path.display().to_string());
    let summary = Summary { input: input.clone(), lines: line, skipped, tally, acks_to };
    ended.map_err(|error| {
        Failure::new(format!("taking acknowledgements failed: {error}"))
            .help("this is a bug of eagre: please report it")
    })?;
    read.map_err(|error| {
        Failure::new(format!("cannot read on: {error}"))
            .at(Place::line_of(&input, line + 1))
            .help("everything before it was handed over; begin again after it")
    })?;
    match (summary.failure(&args.topic, args.delivery_timeout), interrupted) {
        (failure, Some(signal)) => {
            if let Some(failure) = failure {
                show(Level::Error, &failure);
            }
            Ok(signal.status())
        }
        (Some(failure), None) => Err(failure),
        (None, None) => Ok(ExitCode::SUCCESS),
    }
}
