//! Data goes to stdout; what is said to a person goes to stderr.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use crate::failure::Failure;

/// Says something. That nobody can hear it is no reason to fail.
pub fn say(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// Writes to stdout. Whoever closed it wants no more, which is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says why the command failed and gives its exit status.
pub fn report(failure: &Failure) -> ExitCode {
    say(&failure.to_string());
    ExitCode::from(failure.status)
}

/// A line on a terminal that is written over and over.
#[derive(Debug)]
pub struct StatusLine {
    is_terminal: bool,
    is_shown: bool,
}

impl StatusLine {
    /// On a terminal; elsewhere it shows nothing.
    pub fn on_stderr() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), is_shown: false }
    }

    /// Shows this instead of what was shown before.
    pub fn show(&mut self, text: &str) {
        if self.is_terminal {
            self.is_shown = true;
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }

    /// Leaves this as the last.
    pub fn finish(&mut self, text: &str) {
        if self.is_terminal {
            self.show(text);
            self.is_shown = false;
            let _ = writeln!(io::stderr());
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = writeln!(io::stderr());
        }
    }
}
