//! A paced, open-loop load driver. It shares no codec with the service: batches are encoded and checked by its own code, so
//! that one bug cannot hide the other.
//!
//! It runs beside the server on the same cores, so its own cost is kept low and reported.

mod batch;
mod cleanup;
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
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = cli::Cli::parse();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // On a thread of its own, because a run also waits for files and processes.
    let runtime = Handle::current();
    let run = tokio::task::spawn_blocking(move || runtime.block_on(cli::run(cli)));
    let status = tokio::select! {
        outcome = run => return outcome?.map(|()| ExitCode::SUCCESS),
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    };
    cleanup::now();
    std::process::exit(status)
}
