//! `eagre-loadtest`: puts a load on a streaming service, and tells what became of every record.
//!
//! It shares no codec, client or checksum with the service: records are written and checked by code of its own, so that
//! one bug cannot hide the other. It runs beside the server on the same cores, so its own cost is kept low and reported.

mod cli;
mod client;
mod clock;
mod commands;
mod consume;
mod grpc;
#[cfg(feature = "kafka")]
mod kafka;
mod produce;
mod run;
mod system;
mod wire;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::system::cleanup;

/// Something could not be done, as opposed to something that was found wrong.
const FAILED: u8 = 2;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = cli::Cli::parse();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let told = watch::Sender::new(false);
    // On a thread of its own, because a command also waits for files and processes.
    let runtime = Handle::current();
    let command = tokio::task::spawn_blocking({
        let told = told.clone();
        move || runtime.block_on(commands::run(cli, told))
    });
    let mut command = std::pin::pin!(command);
    loop {
        let status = tokio::select! {
            ended = &mut command => return Ok(match ended? {
                Ok(status) => status,
                Err(error) => {
                    writeln!(io::stderr(), "error: {error:#}").ok();
                    ExitCode::from(FAILED)
                }
            }),
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        };
        // A run that is under way ends by itself and says what it found; a second signal ends it at once.
        let is_under_way = told.receiver_count() > 0;
        let is_second = told.send_replace(true);
        if is_second || !is_under_way {
            cleanup::now();
            std::process::exit(status);
        }
    }
}
