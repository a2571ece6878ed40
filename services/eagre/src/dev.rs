//! `eagre dev`.

use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    process::ExitCode,
};

use eagre_env::{Env, redacted};
use eagre_objects::{BucketUrl, Trouble};
use eagre_runtime::{Build, ConnectionBounds, Dev, DevError, DevSettings, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::{
    address,
    cli::DevArgs,
    commands::version::{COMMIT, VERSION},
    console::say,
    failure::Failure,
    settings::Sources,
};

/// The settings as the service wants them; nothing is bound or opened yet.
///
/// # Errors
/// A setting says what cannot be; the failure names where it was said.
pub async fn validated(args: &DevArgs, sources: &Sources) -> Result<DevSettings, Failure> {
    let bucket: Result<BucketUrl, _> = args.bucket.parse();
    let bucket = bucket.map_err(|error| {
        let help = "write a folder's path, s3://BUCKET/PREFIX, or memory:// to try it out";
        Failure::usage(error.to_string()).at(sources.place("bucket")).help(help)
    })?;
    if let BucketUrl::Remote(url) = &bucket
        && let Some(trouble) = Trouble::of_build(url.scheme)
    {
        let what = format!("{bucket} cannot be used: {trouble}");
        return Err(Failure::usage(what).at(sources.place("bucket")).help(trouble.advice()));
    }
    for (flag, listens_on) in [("--grpc", &args.grpc), ("--http", &args.http)] {
        let checked = address::check(flag, listens_on, args.insecure).await;
        if checked.map_err(|failure| failure.at(sources.place(&flag[2..])))? {
            warn!("other machines reach {flag} {listens_on}, and there is no encryption and no login");
        }
    }
    if args.debug_endpoints && args.insecure && address::check("--http", &args.http, false).await.is_err() {
        return Err(Failure::usage("--debug-endpoints is for this machine alone, and --http is reachable from others")
            .at(sources.place("http"))
            .help("give --http an address of 127.0.0.1, or leave --debug-endpoints out"));
    }
    Ok(DevSettings {
        bucket,
        grpc: args.grpc.clone(),
        http: args.http.clone(),
        memory: args.memory_limit,
        build: Build { version: VERSION, commit: COMMIT },
        connections: ConnectionBounds {
            connections_max: args.max_connections as usize,
            connections_per_source_max: args.max_connections_per_source as usize,
            ..ConnectionBounds::default()
        },
        debug_endpoints: args.debug_endpoints,
        target_p99: args.target_p99,
        max_put_per_second: args.max_put_per_second,
        producer_id_expiration: args.producer_id_expiration,
    })
}

/// Files beside the connections of one port: those of a folder, the other port, the connections to a bucket.
const OTHER_FILES: u64 = 1_024;

/// Runs all roles in one process until it is told to stop.
pub async fn run(args: DevArgs, sources: &Sources, warnings: &[Failure]) -> Result<ExitCode, Failure> {
    for warning in warnings {
        warn!("{}", redacted(&format!("{}; {}", warning.what, warning.help.join("; "))));
    }
    let settings = validated(&args, sources).await?;
    let bucket = settings.bucket.clone();
    let files_max = eagre_env::raise_open_files_max();
    if files_max < u64::from(args.max_connections) + OTHER_FILES {
        warn!(files_max, "the limit of open files is lower than --max-connections needs; raise it (ulimit -Hn)");
    }
    // From here on a signal means: stop well.
    let mut stop = StopSignals::listen().map_err(|error| Failure::of_system("listen to signals", &error))?;
    let dev = tokio::select! {
        started = Dev::start(Env::system(), settings) => started.map_err(|error| explain(error, sources))?,
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
        _ = stop.next() => {
            let help = "start it again: what was acknowledged is there";
            return Err(Failure::new("stopped at once by a second signal").help(help));
        }
    };
    if !stopped {
        warn!("some requests were left without an answer");
    }
    info!("stopped");
    if has_failed {
        let what = "the gateway has failed, which is a bug; the log says how";
        return Err(Failure::new(what).help("start it again: what was acknowledged is there"));
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

fn explain(error: DevError, sources: &Sources) -> Failure {
    let what = error.to_string();
    match error {
        DevError::Listen { flag, source, .. } => {
            let failure = match source.kind() {
                io::ErrorKind::AddrInUse => {
                    Failure::new(what).help(format!("another process has that port; choose another one with {flag}"))
                }
                io::ErrorKind::PermissionDenied => {
                    Failure::new(what).help(format!("choose a port from 1024 on with {flag}"))
                }
                _ => Failure::new(what).help(format!("{flag} takes HOST:PORT of this machine")),
            };
            failure.at(sources.place(flag.trim_start_matches("--")))
        }
        DevError::Start(StartError::Held { address }) => Failure::new(what)
            .help(format!("use it with `--endpoint {address}`, stop it, or choose another bucket with --bucket")),
        DevError::DebugNotLoopback { .. } => Failure::usage(what)
            .at(sources.place("http"))
            .help("give --http an address of 127.0.0.1, or leave --debug-endpoints out"),
        DevError::Bucket(error) => Failure::new(what).at(sources.place("bucket")).help(error.advice()),
        DevError::Start(StartError::Unreadable(_)) => Failure::new(what)
            .at(sources.place("bucket"))
            .help("it was written by another version or is damaged; `eagre version` says which formats this one reads"),
        DevError::Start(StartError::Bucket(_)) => Failure::new(what)
            .at(sources.place("bucket"))
            .help("start again when the bucket answers; what was acknowledged is there"),
        DevError::Start(StartError::Stopped) => Failure::new(what).help("start it again"),
        DevError::Resources(_) => Failure::new(what).help("the system is short of threads or memory; see `ulimit -a`"),
    }
}
