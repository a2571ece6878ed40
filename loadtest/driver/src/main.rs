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

use clap::Parser as _;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    cli::run(cli::Cli::parse()).await
}
