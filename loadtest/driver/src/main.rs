//! A paced, open-loop load driver. It shares no codec with the service: batches are encoded and checked by its own code, so
//! that one bug cannot hide the other.
//!
//! It runs beside the server on the same cores, so its own cost is kept low and reported.

mod batch;
mod cli;
mod clock;
mod connect;
#[cfg(test)]
mod fake;
mod load;
mod process;
mod producer;
mod raw;
mod reader;
mod report;
mod schedule;
mod server;
mod suite;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = cli::Cli::parse();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // Dropped at a signal, a run ends the servers that it started and removes its folders.
    tokio::select! {
        outcome = cli::run(cli) => outcome.map(|()| ExitCode::SUCCESS),
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
    }
}
