//! The binary `eagre`: the service, and a command line for its users.

mod address;
mod cli;
mod commands;
mod console;
mod dev;
mod failure;
mod logging;
mod output;
mod place;
mod report;
mod settings;
mod signals;
#[cfg(feature = "otlp")]
mod traces;
mod usage;

use std::{ffi::OsString, process::ExitCode};

use crate::{
    cli::Command,
    failure::Failure,
    report::report,
    settings::{NotParsed, Parsed},
};

/// Buffers of pages, objects and messages are allocated on one thread and freed on another. jemalloc gives such memory back by
/// itself: under 50 MiB/s with a reader that catches up the resident set stays below 300 MiB, where glibc's grows to 700 and
/// mimalloc's to 1,600; nothing is slower for it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Threads for file reads and writes; by tokio's default there may be 512, each with memory that the allocator keeps for it.
const BLOCKING_THREADS_MAX: usize = 16;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let parsed = match settings::parse(&arguments) {
        Ok(parsed) => parsed,
        Err(NotParsed::Help(help)) => help.exit(),
        Err(NotParsed::Wrong(failure)) => return report(&failure),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.max_blocking_threads(BLOCKING_THREADS_MAX).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::of_system("start threads", &error)),
    };
    let logging = {
        let _inside = runtime.enter();
        logging::start(&parsed.cli.command)
    };
    let logging = match logging {
        Ok(logging) => logging,
        Err(failure) => return report(&failure),
    };
    let outcome = runtime.block_on(run(parsed));
    logging.end();
    // What still runs has nothing left to do; a thread that is blocked in a read must not hold up the end.
    runtime.shutdown_background();
    match outcome {
        Ok(status) => status,
        Err(failure) => report(&failure),
    }
}

async fn run(parsed: Parsed) -> Result<ExitCode, Failure> {
    let Parsed { cli, sources, warnings } = parsed;
    match cli.command {
        Command::Dev(args) => dev::run(args, &sources, &warnings).await,
        Command::Topic(args) => commands::topic::run(args).await,
        Command::Produce(args) => commands::produce::run(args).await,
        Command::Consume(args) => commands::consume::run(args).await,
        Command::Bucket(args) => commands::bucket::run(args).await,
        Command::Config(args) => commands::config::run(args, &sources, &warnings).await,
        Command::Version(args) => commands::version::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
        Command::Man(args) => commands::man::run(&args),
    }
}
