//! Logs: on stderr, in colour on a terminal and `key=value` otherwise. And traces, where they are asked for.

use std::io;

use tracing_subscriber::{EnvFilter, fmt};

use crate::{cli::Command, failure::Failure, report::has_colour_on_stderr};

/// Names what is logged, as `warn` or `eagre_gateway=debug,info`.
const FILTER_VARIABLE: &str = "RUST_LOG";
/// SlateDB tells all its settings at each start, and more; object_store every request that it repeats; and what the verifier
/// of certificates says is in the error that follows.
const SERVICE_FILTER: &str = "info,slatedb=warn,object_store=warn,rustls_platform_verifier=off";
const CLIENT_FILTER: &str = "warn,rustls_platform_verifier=off";

/// What has to be brought to an end with the process.
pub struct Logging {
    #[cfg(feature = "otlp")]
    traces: Option<crate::traces::Traces>,
}

impl Logging {
    /// Sends what is left, bounded.
    pub fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(traces) = self.traces {
            traces.end();
        }
    }
}

/// Starts logging: of a service what it does, of a client what went wrong, or what `RUST_LOG` asks for. Inside of a runtime.
///
/// # Errors
/// The collector of traces cannot be used.
pub fn start(command: &Command) -> Result<Logging, Failure> {
    let is_service = matches!(command, Command::Dev(_));
    let default = if is_service { SERVICE_FILTER } else { CLIENT_FILTER };
    let filter = std::env::var(FILTER_VARIABLE).ok().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::builder().parse_lossy(filter.as_deref().unwrap_or(default));
    let has_colour = has_colour_on_stderr();
    #[cfg(feature = "otlp")]
    if let Command::Dev(args) = command
        && let Some(collector) = &args.traces.otlp_endpoint
    {
        return with_traces(filter, has_colour, collector, args.traces.trace_ratio);
    }
    let log = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(has_colour);
    if is_service {
        log.init();
    } else {
        // One line for a person, between the lines of the command itself.
        log.without_time().with_target(false).compact().init();
    }
    Ok(Logging {
        #[cfg(feature = "otlp")]
        traces: None,
    })
}

/// The same log, and beside it the spans, each with a filter of its own.
#[cfg(feature = "otlp")]
fn with_traces(
    filter: EnvFilter,
    has_colour: bool,
    collector: &crate::traces::Collector,
    ratio: f64,
) -> Result<Logging, Failure> {
    use tracing_subscriber::{Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _};

    let traces = crate::traces::Traces::start(collector, ratio)?;
    let is_log = filter_fn(|metadata| metadata.target() != eagre_trace::TARGET);
    let log = fmt::layer().with_writer(io::stderr).with_ansi(has_colour).with_filter(is_log).with_filter(filter);
    tracing_subscriber::registry().with(log).with(traces.layer()).init();
    Ok(Logging { traces: Some(traces) })
}
