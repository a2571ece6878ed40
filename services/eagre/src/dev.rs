//! `eagre dev`.

use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    process::ExitCode,
};

use eagre_env::Env;
use eagre_objects::{BucketUrl, BucketUrlError};
use eagre_runtime::{Dev, DevError, DevSettings, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::{cli::DevArgs, console::say, failure::Failure};

/// Runs all roles in one process until it is told to stop.
pub async fn run(args: DevArgs) -> Result<ExitCode, Failure> {
    let bucket: BucketUrl = args.bucket.parse().map_err(|error: BucketUrlError| Failure::usage(error.to_string()))?;
    // From here on a signal means: stop well.
    let mut stop =
        StopSignals::listen().map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
    let settings = DevSettings { bucket: bucket.clone(), grpc: args.grpc, http: args.http };
    let dev = tokio::select! {
        started = Dev::start(Env::system(), settings) => started.map_err(explain)?,
        _ = stop.next() => return Ok(ExitCode::SUCCESS),
    };
    announce(&bucket, dev.grpc, dev.http);
    let has_failed = tokio::select! {
        signal = stop.next() => {
            info!(signal, "stopping");
            false
        }
        () = dev.failed() => true,
    };
    let stopped = tokio::select! {
        answered = dev.stop() => answered,
        _ = stop.next() => return Err(Failure::new("stopped at once by a second signal")),
    };
    if !stopped {
        warn!("some requests were left without an answer");
    }
    info!("stopped");
    if has_failed {
        let what = "the gateway has failed, which is a bug; the log says how";
        return Err(Failure::new(what).hint("start it again: what was acknowledged is there"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What a service manager or a person sends to end a process.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

fn announce(bucket: &BucketUrl, grpc: SocketAddr, http: SocketAddr) {
    let is_durable = !matches!(bucket, BucketUrl::Memory | BucketUrl::Modelled(_));
    if !io::stderr().is_terminal() {
        info!(%grpc, %http, %bucket, acks_outlive_the_process = is_durable, "listening");
        return;
    }
    let kept = if is_durable { "" } else { "\n            acknowledged records do not outlive this process" };
    let at = if grpc.port() == 8070 && grpc.ip().is_loopback() {
        String::new()
    } else {
        format!(" --endpoint http://{grpc}")
    };
    say(&format!(
        "Eagre is ready.

  gRPC      http://{grpc}
  metrics   http://{http}/metrics
  bucket    {bucket}{kept}

Try, in another terminal:

  eagre topic create greetings{at}
  echo hello | eagre produce greetings{at}
  eagre consume greetings --from beginning{at}

Ctrl-C stops it."
    ));
}

fn explain(error: DevError) -> Failure {
    let what = error.to_string();
    match error {
        DevError::Listen { flag, source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
            Failure::new(what).hint(format!("another process has that port; choose another one with {flag}"))
        }
        DevError::Listen { flag, source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
            Failure::usage(what).hint(format!("{flag} takes HOST:PORT"))
        }
        DevError::Listen { flag, .. } => Failure::new(what).hint(format!("{flag} takes HOST:PORT of this machine")),
        DevError::Start(StartError::Held { address }) => Failure::new(what)
            .hint(format!("use it with `--endpoint {address}`, stop it, or choose another bucket with --bucket")),
        DevError::Bucket(_) => Failure::new(what).hint("choose another one with --bucket"),
        DevError::Start(_) | DevError::Resources(_) => Failure::new(what),
    }
}
