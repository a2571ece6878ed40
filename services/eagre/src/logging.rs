//! Logs: on stderr, in colour on a terminal and `key=value` otherwise.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

use crate::cli::Command;

/// Names what is logged, as `warn` or `eagre_gateway=debug,info`.
const FILTER_VARIABLE: &str = "EAGRE_LOG";

/// Starts logging: of a service what it does, of a client what went wrong, or what `EAGRE_LOG` asks for.
pub fn start(command: &Command) {
    let is_service = matches!(command, Command::Dev(_));
    let default = if is_service { LevelFilter::INFO } else { LevelFilter::WARN };
    let filter = EnvFilter::builder().with_default_directive(default.into()).with_env_var(FILTER_VARIABLE);
    let log = fmt().with_env_filter(filter.from_env_lossy()).with_writer(io::stderr);
    let log = log.with_ansi(io::stderr().is_terminal());
    if is_service {
        log.init();
    } else {
        // One line for a person, between the lines of the command itself.
        log.without_time().with_target(false).compact().init();
    }
}
