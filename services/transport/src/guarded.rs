//! A connection that holds its place, and is cut off when it does not begin.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use eagre_env::Connection;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::{
    door::{Entry, Port},
    metrics,
};

/// An accepted connection. Reading from it fails when it has not begun to speak in time; its place is free when it is
/// dropped.
pub struct Guarded {
    stream: Box<dyn Connection>,
    port: Port,
    /// `None`: it has begun.
    opening: Option<Opening>,
    _entry: Entry,
}

struct Opening {
    bytes_left: usize,
    timer: Pin<Box<Sleep>>,
}

impl Guarded {
    pub(crate) fn new(stream: Box<dyn Connection>, entry: Entry, port: Port, opening_max: Duration) -> Self {
        let opening = Opening { bytes_left: port.opening_bytes(), timer: Box::pin(sleep(opening_max)) };
        Self { stream, port, opening: Some(opening), _entry: entry }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let Some(opening) = &mut this.opening else { return read };
        if read.is_pending() {
            if opening.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            metrics::late(this.port);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the connection did not begin in time")));
        }
        opening.bytes_left = opening.bytes_left.saturating_sub(buf.filled().len() - before);
        if opening.bytes_left == 0 {
            this.opening = None;
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
