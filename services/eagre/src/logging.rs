//! Logs: on stderr, in colour on a terminal and `key=value` otherwise.

use std::io;

use tracing_subscriber::{EnvFilter, fmt};

use crate::{cli::Command, report::has_colour_on_stderr};

/// Names what is logged, as `warn` or `eagre_gateway=debug,info`.
const FILTER_VARIABLE: &str = "RUST_LOG";
/// SlateDB tells all its settings at each start, and more.
const SERVICE_FILTER: &str = "info,slatedb=warn";

/// Starts logging: of a service what it does, of a client what went wrong, or what `RUST_LOG` asks for.
pub fn start(command: &Command) {
    let is_service = matches!(command, Command::Dev(_));
    let default = if is_service { SERVICE_FILTER } else { "warn" };
    let filter = std::env::var(FILTER_VARIABLE).ok().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::builder().parse_lossy(filter.as_deref().unwrap_or(default));
    let log = fmt().with_env_filter(filter).with_writer(io::stderr);
    let log = log.with_ansi(has_colour_on_stderr());
    if is_service {
        log.init();
    } else {
        // One line for a person, between the lines of the command itself.
        log.without_time().with_target(false).compact().init();
    }
}
