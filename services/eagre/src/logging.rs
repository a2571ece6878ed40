//! Logs: on stderr, in colour on a terminal and `key=value` otherwise.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, fmt};

use crate::cli::Command;

/// Names what is logged, as `warn` or `eagre_gateway=debug,info`.
const FILTER_VARIABLE: &str = "RUST_LOG";
/// Set to anything: no colour, wherever it goes (<https://no-color.org>).
const NO_COLOUR_VARIABLE: &str = "NO_COLOR";
/// SlateDB tells all its settings at each start, and more; object_store every request that it repeats; and what the verifier
/// of certificates says is in the error that follows.
const SERVICE_FILTER: &str = "info,slatedb=warn,object_store=warn,rustls_platform_verifier=off";
const CLIENT_FILTER: &str = "warn,rustls_platform_verifier=off";

/// Starts logging: of a service what it does, of a client what went wrong, or what `RUST_LOG` asks for.
pub fn start(command: &Command) {
    let is_service = matches!(command, Command::Dev(_));
    let default = if is_service { SERVICE_FILTER } else { CLIENT_FILTER };
    let filter = std::env::var(FILTER_VARIABLE).ok().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::builder().parse_lossy(filter.as_deref().unwrap_or(default));
    let log = fmt().with_env_filter(filter).with_writer(io::stderr);
    let has_colour =
        io::stderr().is_terminal() && std::env::var_os(NO_COLOUR_VARIABLE).is_none_or(|set| set.is_empty());
    let log = log.with_ansi(has_colour);
    if is_service {
        log.init();
    } else {
        // One line for a person, between the lines of the command itself.
        log.without_time().with_target(false).compact().init();
    }
}
