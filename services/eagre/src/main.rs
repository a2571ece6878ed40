//! The binary `eagre`: the service, and a command line for its users.

mod cli;
mod commands;
mod console;
mod dev;
mod failure;
mod logging;
mod signals;
#[cfg(feature = "otlp")]
mod traces;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    cli::{Cli, Command},
    failure::Failure,
};

/// Buffers of pages, objects and messages are allocated on one thread and freed on another. jemalloc gives such memory back by
/// itself: under 50 MiB/s with a reader that catches up the resident set stays below 300 MiB, where glibc's grows to 700 and
/// mimalloc's to 1,600; nothing is slower for it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Threads for file reads and writes; by tokio's default there may be 512, each with memory that the allocator keeps for it.
const BLOCKING_THREADS_MAX: usize = 16;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.max_blocking_threads(BLOCKING_THREADS_MAX).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return console::report(&Failure::new(format!("cannot start threads: {error}"))),
    };
    let logging = {
        let _inside = runtime.enter();
        logging::start(&cli.command)
    };
    let logging = match logging {
        Ok(logging) => logging,
        Err(failure) => return console::report(&failure),
    };
    let outcome = runtime.block_on(run(cli.command));
    logging.end();
    // What still runs has nothing left to do; a thread that is blocked in a read must not hold up the end.
    runtime.shutdown_background();
    match outcome {
        Ok(status) => status,
        Err(failure) => console::report(&failure),
    }
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Dev(args) => dev::run(args).await,
        Command::Topic(args) => commands::topic::run(args).await,
        Command::Produce(args) => commands::produce::run(args).await,
        Command::Consume(args) => commands::consume::run(args).await,
        Command::Bucket(args) => commands::bucket::run(args).await,
        Command::Version(args) => commands::version::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
    }
}
