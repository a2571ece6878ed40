//! Being told to stop.

use std::process::ExitCode;

use tokio::signal::unix::{self, SignalKind};

use crate::failure::Failure;

/// What told us to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// `kill`.
    Terminate,
}

impl Signal {
    /// 128 and the number of the signal, as shells have it.
    pub fn status(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        })
    }
}

/// Listens to signals instead of dying of them.
#[derive(Debug)]
pub struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Signals {
    /// From now on.
    pub fn listen() -> Result<Self, Failure> {
        let cannot = |error| Failure::of_system("listen to signals", &error);
        let interrupt = unix::signal(SignalKind::interrupt()).map_err(cannot)?;
        let terminate = unix::signal(SignalKind::terminate()).map_err(cannot)?;
        Ok(Self { interrupt, terminate })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}
