//! `faults`: breaks promises on purpose, one after the other, and checks that each is found and named, and that what is no broken
//! promise is not.

use std::process::ExitCode;

use anyhow::{Context, Result};
use eagre_faults::Fault;
use eagre_report::{Outcome, RunResult};
use eagre_workload::{Flags, from_flags};
use tokio::sync::watch;

use super::{load, say};
use crate::{
    cli::{Faults, Target},
    run::execute::{Plan, Ran, execute},
};

/// Runs each against a service of its own.
pub async fn run(options: &Faults, told: &watch::Sender<bool>) -> Result<ExitCode> {
    let wanted = options.names.iter().map(|name| name.parse::<Fault>()).collect::<Result<Vec<_>, _>>()?;
    let faults = if wanted.is_empty() { Fault::ALL.to_vec() } else { wanted };
    let mut missed = 0;
    for fault in &faults {
        let ran = one(*fault, options.seconds, told).await.with_context(|| format!("the fault {}", fault.name()))?;
        if ran.result.verdict.outcome == Outcome::Partial {
            return Ok(ExitCode::from(130));
        }
        let (is_right, line) = judge(*fault, &ran);
        missed += usize::from(!is_right);
        say(&line)?;
    }
    say(&format!("{} faults, {missed} missed or mistaken", faults.len()))?;
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Two consumers, so that they can disagree; few records a batch, so that there are many batches.
async fn one(fault: Fault, seconds: u32, told: &watch::Sender<bool>) -> Result<Ran> {
    let flags = Flags {
        rate: "4000/s".into(),
        record: "100".into(),
        seconds: seconds.to_string(),
        producers: 3,
        consumers: 2,
        topics: 1,
        partitions: 4,
        connections: Some(2),
    };
    let set = [("drain".to_owned(), "5s".to_owned()), ("producers.linger".to_owned(), "5ms".to_owned())];
    let scenario = from_flags(&flags, &set)?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let out = folder.path().join("run");
    let raw = Some(eagre_report::Raw {
        fdatasync_p50_ms: 0.0,
        fdatasync_p99_ms: 0.0,
        synced_write_mib_s: 0.0,
        loopback_mib_s: 0.0,
    });
    let plan =
        Plan { fault: Some(fault), is_live: false, raw, ..load::plan(scenario, &Target::default(), Some(&out))? };
    execute(plan, told.subscribe()).await
}

/// Whether it was found, and only what belongs to it.
fn judge(fault: Fault, ran: &Ran) -> (bool, String) {
    let result = &ran.result;
    let found: Vec<(&str, u64)> = result
        .checks
        .findings
        .iter()
        .filter(|finding| finding.count > 0)
        .map(|finding| (finding.kind.as_str(), finding.count))
        .collect();
    let expected = fault.expected();
    let is_named = expected.iter().all(|kind| found.iter().any(|(name, _)| name == kind));
    let is_alone = found.iter().all(|(name, _)| expected.contains(name) || fault.may_follow().contains(name));
    let is_known = !expected.is_empty() || is_harmless(fault, result);
    let was_done = ran.faults > 0 || fault == Fault::None;
    let is_right = is_named && is_alone && is_known && was_done;
    let found: Vec<_> = found.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let found = if found.is_empty() { "nothing wrong".to_owned() } else { found.join(", ") };
    let verdict = if is_right { "ok" } else { "MISSED" };
    let asked = if expected.is_empty() { "nothing wrong".to_owned() } else { expected.join(", ") };
    let mut line =
        format!("{verdict:<7}{:<20} committed {:>5} times; asked: {asked}; found: {found}", fault.name(), ran.faults);
    if !is_right {
        line += &format!("\n       {}", result.verdict.sentence);
        let examples = result.checks.findings.iter().flat_map(|finding| finding.examples.iter().take(3));
        line.extend(examples.map(|example| format!("\n       {example}")));
    }
    (is_right, line)
}

/// What breaks no promise shows all the same: where it slows, in the latency; where it hides an outcome, in the count.
fn is_harmless(fault: Fault, result: &RunResult) -> bool {
    let ack = result.latency.ack.as_ref();
    match fault {
        Fault::Delay => ack.is_some_and(|ack| ack.p50 >= 50.0),
        // The schedule went on while nothing passed: records that were due then waited, and their times say so.
        Fault::Stall => ack.is_some_and(|ack| ack.max >= 1_500.0),
        Fault::Reset => result.totals.reconnects > 0,
        Fault::Unknown => result.checks.unknown_visible > 0,
        _ => true,
    }
}
