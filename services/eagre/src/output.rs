//! Stdout, which may be closed at any time.

use std::{
    io::{self, Write as _},
    thread,
};

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::oneshot;

use crate::{console::cannot_write, failure::Failure};

/// Whether whoever reads stdout is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Written.
    All,
    /// They want no more.
    Closed,
}

/// Writes everything out.
pub fn write(bytes: &[u8]) -> Result<Written, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Written::All),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Written::Closed),
        Err(error) => Err(cannot_write(&error)),
    }
}

/// Tells when stdout is a pipe whose reader has gone, without writing to it: while no record comes, nothing would show it.
pub fn closed() -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    let watch = move || {
        let stdout = io::stdout();
        // Errors and hang-ups are told without being asked for.
        let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
        while let Err(rustix::io::Errno::INTR) = poll(&mut polled, None) {}
        if polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            // Nobody listens any more when the command has ended.
            let _ = sender.send(());
        }
    };
    // Without the thread a closed pipe is noticed at the next write.
    let _ = thread::Builder::new().name("stdout".to_owned()).spawn(watch);
    receiver
}
