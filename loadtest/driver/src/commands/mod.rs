//! One file a command.

mod compare;
mod faults;
mod limit;
mod load;
mod machine;
mod run;
mod scenarios;
mod sink;
mod verify;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Result;
use eagre_report::Outcome;
use tokio::sync::watch;

use crate::cli::{Cli, Command};

/// Does what was typed. `told` becomes true when the user wants it to end.
pub async fn run(cli: Cli, told: watch::Sender<bool>) -> Result<ExitCode> {
    match cli.command {
        Command::Run(run) => run::run(*run, &told).await,
        Command::Scenarios => scenarios::list().map(|()| ExitCode::SUCCESS),
        Command::Show { name } => scenarios::show(&name).map(|()| ExitCode::SUCCESS),
        Command::Compare(compare) => compare::run(&compare).map(|()| ExitCode::SUCCESS),
        Command::Verify(verify) => verify::run(&verify).await,
        Command::FindLimit(limit) => limit::run(&limit, &told).await,
        Command::Faults(faults) => faults::run(&faults, &told).await,
        Command::Machine(machine) => machine::run(&machine).map(|()| ExitCode::SUCCESS),
        Command::Sink(sink) => sink::run(&sink).await.map(|()| ExitCode::SUCCESS),
    }
}

/// How the process ends after a run.
fn status(outcome: Outcome) -> ExitCode {
    match outcome {
        Outcome::Passed => ExitCode::SUCCESS,
        Outcome::BoundBroken | Outcome::Incorrect => ExitCode::from(1),
        Outcome::Partial => ExitCode::from(130),
    }
}

/// Prints a line.
fn say(line: &str) -> Result<()> {
    match writeln!(io::stdout(), "{line}") {
        // Who has read enough has not been failed.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Prints a line beside the result.
fn note(line: &str) {
    // Nobody may be there to read it.
    writeln!(io::stderr(), "{line}").ok();
}
