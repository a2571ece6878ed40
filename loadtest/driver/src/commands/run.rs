//! `run`: one scenario, and everything that is told of it.

use std::process::ExitCode;

use anyhow::Result;
use eagre_report::{RunResult, page, summary};
use tokio::sync::watch;

use super::{load, note, say, status};
use crate::{
    cli::Run,
    client::Address,
    run::{
        execute::{Plan, Ran, Ready},
        files::Folder,
    },
    system::process,
};

/// Runs it.
pub async fn run(run: Run, told: &watch::Sender<bool>) -> Result<ExitCode> {
    let scenario = load::scenario(&run.load)?;
    let plan = Plan {
        keep_topics: run.keep_topics,
        reads_back: !run.no_read_back,
        ..load::plan(scenario, &run.target, run.out.as_deref())?
    };
    let (name, seconds) = (&plan.scenario.name, plan.scenario.schedule.duration().as_secs_f64());
    let whom = match (&plan.address, &run.target.target) {
        (Address::Own, _) | (_, None) => "an `eagre dev` of its own over a temporary folder".to_owned(),
        (_, Some(target)) => target.clone(),
    };
    let begins = format!("running {name} for {seconds:.0} s against {whom}; the result goes to {}", plan.out.display());
    let out = plan.out.clone();
    // Held until the result is written: who interrupts before that gets it all the same.
    let interrupt = told.subscribe();
    let ready = Ready::of(plan).await?;
    note(&begins);
    if let Some(pid) = run.target.server_pid {
        // So that another one's number is noticed.
        let name = process::name(pid).unwrap_or_default();
        note(&format!("what process {pid} ({name}) uses is counted as the server's"));
    }
    let Ran { result, .. } = ready.execute(interrupt.clone()).await?;
    write(&out, &result)?;
    say(&summary(&result))?;
    drop(interrupt);
    say(&format!("{}", out.join("report.html").display()))?;
    Ok(status(result.verdict.outcome))
}

/// The page, and after it `result.json`, which says that everything is there.
pub fn write(out: &std::path::Path, result: &RunResult) -> Result<()> {
    let folder = Folder::create(out)?;
    folder.write("report.html", &page(result))?;
    folder.write("result.json", &serde_json::to_string_pretty(result)?)
}
