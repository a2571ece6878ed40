//! A request body that gives out a message only when its length is granted.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::PollSemaphore;
use tonic::{Status, body::Body};

use super::{ByteBudget, Grants, MessageBounds};
use crate::refusal::Refusal;

/// One byte of flags, four of length, big-endian.
const PREFIX_BYTES: usize = 5;
/// What a request costs beside its bytes: so that empty ones are not free.
const OVERHEAD_BYTES: usize = 256;

/// See the module above.
pub(super) struct AdmittedBody {
    inner: Body,
    budget: PollSemaphore,
    grants: Grants,
    bounds: MessageBounds,
    /// Bytes that came and are not given out.
    held: Bytes,
    /// A prefix that came in pieces.
    prefix: Vec<u8>,
    /// Bytes of the present message that are granted and not given out.
    granted_bytes: usize,
    /// Runs while a message is incomplete.
    arrival: Option<Pin<Box<Sleep>>>,
}

impl AdmittedBody {
    pub fn new(inner: Body, budget: ByteBudget, grants: Grants, bounds: MessageBounds) -> Self {
        Self {
            inner,
            budget: PollSemaphore::new(budget.semaphore),
            grants,
            bounds,
            held: Bytes::new(),
            prefix: Vec::new(),
            granted_bytes: 0,
            arrival: None,
        }
    }

    /// Gives out as much of what is held as is granted. `Ready(None)`: more bytes are needed first.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let mut end = 0;
        loop {
            let rest = self.held.len() - end;
            if self.granted_bytes > 0 {
                let part = rest.min(self.granted_bytes);
                self.granted_bytes -= part;
                end += part;
                if end == self.held.len() {
                    break;
                }
                continue;
            }
            if !self.prefix.is_empty() || rest < PREFIX_BYTES {
                break;
            }
            match self.poll_grant(cx, end) {
                Poll::Ready(Ok(message)) => self.granted_bytes = PREFIX_BYTES + message,
                Poll::Ready(Err(status)) => return Poll::Ready(Some(Err(status))),
                Poll::Pending if end > 0 => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        if end > 0 {
            return Poll::Ready(Some(Ok(self.held.split_to(end))));
        }
        self.poll_split_prefix(cx)
    }

    /// The rare case of a prefix that is spread over frames.
    fn poll_split_prefix(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let missing = (PREFIX_BYTES - self.prefix.len()).min(self.held.len());
        self.prefix.extend_from_slice(&self.held.split_to(missing));
        if self.prefix.len() < PREFIX_BYTES {
            return Poll::Ready(None);
        }
        let whole = Bytes::copy_from_slice(&self.prefix);
        match ready!(self.poll_grant_of(cx, &whole)) {
            Ok(message) => {
                self.prefix.clear();
                self.granted_bytes = message;
                Poll::Ready(Some(Ok(whole)))
            }
            Err(status) => Poll::Ready(Some(Err(status))),
        }
    }

    fn poll_grant(&mut self, cx: &mut Context<'_>, at: usize) -> Poll<Result<usize, Status>> {
        let prefix = self.held.slice(at..at + PREFIX_BYTES);
        self.poll_grant_of(cx, &prefix)
    }

    /// The length of the message behind this prefix, once it is granted.
    fn poll_grant_of(&mut self, cx: &mut Context<'_>, prefix: &[u8]) -> Poll<Result<usize, Status>> {
        let message = prefix[1..].iter().fold(0usize, |length, byte| (length << 8) | usize::from(*byte));
        if message > self.bounds.bytes_max {
            let limit = self.bounds.bytes_max;
            let text = format!("the request of {message} bytes is over the limit of {limit} bytes");
            return Poll::Ready(Err(Refusal::TooLarge(text).into()));
        }
        let charge = u32::try_from(message + OVERHEAD_BYTES).unwrap_or(u32::MAX);
        match ready!(self.budget.poll_acquire_many(cx, charge)) {
            Some(permit) => {
                self.grants.put(permit);
                self.arrival = None;
                Poll::Ready(Ok(message))
            }
            None => Poll::Ready(Err(Refusal::Unavailable("this gateway has stopped".into()).into())),
        }
    }

    /// Fails when the rest of a message has been awaited for too long.
    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Option<Status> {
        if self.granted_bytes == 0 && self.prefix.is_empty() && self.held.is_empty() {
            self.arrival = None;
            return None;
        }
        let arrival_max = self.bounds.arrival_max;
        let arrival = self.arrival.get_or_insert_with(|| Box::pin(sleep(arrival_max)));
        ready_or_none(arrival.as_mut().poll(cx))?;
        let text = format!("the request did not arrive within {arrival_max:?}");
        Some(Refusal::Unavailable(text).into())
    }
}

fn ready_or_none(poll: Poll<()>) -> Option<()> {
    match poll {
        Poll::Ready(()) => Some(()),
        Poll::Pending => None,
    }
}

impl HttpBody for AdmittedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if !this.held.is_empty() || this.prefix.len() == PREFIX_BYTES {
                if let Some(given) = ready!(this.poll_held(cx)) {
                    return Poll::Ready(Some(given.map(Frame::data)));
                }
            }
            match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if this.held.is_empty() => this.held = data,
                    Ok(data) => this.held = [this.held.as_ref(), data.as_ref()].concat().into(),
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                Poll::Ready(Some(Err(status))) => return Poll::Ready(Some(Err(status))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    return match this.poll_arrival(cx) {
                        Some(status) => Poll::Ready(Some(Err(status))),
                        None => Poll::Pending,
                    };
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.prefix.len() < PREFIX_BYTES && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
