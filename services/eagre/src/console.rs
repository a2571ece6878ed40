//! Data goes to stdout; what is said to a person goes to stderr.

use std::io::{self, IsTerminal as _, Write as _};

use crate::failure::Failure;

/// Says something. That nobody can hear it is no reason to fail.
pub fn say(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// Writes to stdout. Whoever closed it wants no more, which is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot_write(&error)),
        _ => Ok(()),
    }
}

/// A number of things, in words that fit it.
pub fn counted(count: u64, one: &str, several: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {several}") }
}

/// Stdout takes nothing more, and not because its reader has gone.
pub fn cannot_write(error: &io::Error) -> Failure {
    Failure::new(format!("cannot write to stdout: {error}")).help("has the disk that it goes to room?")
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
