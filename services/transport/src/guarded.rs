//! A connection that holds its place, and is cut off when it does not begin, or takes nothing of what is written to it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
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

/// A peer that takes nothing for so long, while there is something to take, is gone or means no good.
const STALL_MAX: Duration = Duration::from_secs(60);

/// An accepted connection. Reading from it fails when it has not begun to speak in time, writing when nothing is
/// taken for a minute; its place is free when it is dropped.
pub struct Guarded {
    stream: Box<dyn Connection>,
    port: Port,
    /// `None`: it has begun.
    opening: Option<Opening>,
    /// Runs while what was written is not taken.
    stall: Option<Pin<Box<Sleep>>>,
    _entry: Entry,
}

struct Opening {
    bytes_left: usize,
    timer: Pin<Box<Sleep>>,
}

impl Guarded {
    pub(crate) fn new(stream: Box<dyn Connection>, entry: Entry, port: Port, opening_max: Duration) -> Self {
        let opening = Opening { bytes_left: port.opening_bytes(), timer: Box::pin(sleep(opening_max)) };
        Self { stream, port, opening: Some(opening), stall: None, _entry: entry }
    }

    /// Fails when writing has been waited for too long.
    fn watched<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL_MAX)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
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
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watched(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watched(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watched(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
