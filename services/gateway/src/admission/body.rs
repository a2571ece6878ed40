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

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            let waits = !this.held.is_empty() || this.prefix.len() == PREFIX_BYTES;
            if waits && let Some(given) = ready!(this.poll_held(cx)) {
                return Poll::Ready(Some(given.map(Frame::data)));
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

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, time::Duration};

    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    use super::*;

    /// A body whose frames a test sends.
    struct Frames(mpsc::Receiver<Bytes>);

    impl HttpBody for Frames {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            self.0.poll_recv(cx).map(|frame| frame.map(|data| Ok(Frame::data(data))))
        }
    }

    fn message(length: usize) -> Vec<u8> {
        let prefix = u32::try_from(length).unwrap().to_be_bytes();
        [&[0], &prefix[..], &vec![7; length]].concat()
    }

    fn admitted(budget: &ByteBudget) -> (mpsc::Sender<Bytes>, AdmittedBody, Grants) {
        let (frames, received) = mpsc::channel(16);
        let grants = Grants::default();
        let bounds = MessageBounds { bytes_max: 1_000, arrival_max: Duration::from_secs(30) };
        let body = AdmittedBody::new(Body::new(Frames(received)), budget.clone(), grants.clone(), bounds);
        (frames, body, grants)
    }

    #[tokio::test(start_paused = true)]
    async fn messages_pass_unchanged_however_they_are_framed() {
        let lengths = [0, 1, 100, 0, 999, 5, 4];
        let sent: Vec<u8> = lengths.iter().flat_map(|&length| message(length)).collect();
        for frame_bytes in [1, 2, 3, 4, 5, 6, 7, 100, 1_004, 10_000] {
            let budget = ByteBudget::new(100_000);
            let (frames, mut body, grants) = admitted(&budget);
            let mut pending: VecDeque<Bytes> = sent.chunks(frame_bytes).map(Bytes::copy_from_slice).collect();
            tokio::spawn(async move {
                while let Some(frame) = pending.pop_front() {
                    frames.send(frame).await.unwrap();
                }
            });
            let mut got = Vec::new();
            while let Some(frame) = body.frame().await {
                got.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
            assert_eq!(got, sent, "frames of {frame_bytes}");
            let charged: usize = lengths.iter().map(|length| length + OVERHEAD_BYTES).sum();
            assert_eq!(budget.used_bytes(), charged);
            for _ in lengths {
                drop(grants.take().unwrap());
            }
            assert!(grants.take().is_none());
            assert_eq!(budget.used_bytes(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_waits_for_its_grant_and_those_before_it_do_not() {
        let budget = ByteBudget::new(1_000 + 2 * OVERHEAD_BYTES);
        let (frames, mut body, grants) = admitted(&budget);
        frames.send([message(600), message(600)].concat().into()).await.unwrap();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, message(600));
        assert!(tokio::time::timeout(Duration::from_secs(100), body.frame()).await.is_err(), "the budget is spent");
        drop(grants.take());
        let second = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(second, message(600));
    }

    #[tokio::test(start_paused = true)]
    async fn streams_are_served_in_turns() {
        let budget = ByteBudget::new(500 + OVERHEAD_BYTES);
        let mut streams: Vec<_> = (0..3).map(|_| admitted(&budget)).collect();
        for (frames, _, _) in &streams {
            for _ in 0..3 {
                frames.send(message(500).into()).await.unwrap();
            }
        }
        let mut served = Vec::new();
        while served.len() < 9 {
            for (index, (_, body, grants)) in streams.iter_mut().enumerate() {
                let turn = tokio::time::timeout(Duration::from_millis(1), body.frame());
                if turn.await.is_ok() {
                    served.push(index);
                    drop(grants.take().unwrap());
                }
            }
        }
        assert_eq!(served, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_over_the_limit_is_refused_by_its_prefix() {
        let budget = ByteBudget::new(10_000);
        let (frames, mut body, _) = admitted(&budget);
        frames.send(Bytes::copy_from_slice(&message(1_001)[..5])).await.unwrap();
        let status = body.frame().await.unwrap().unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_arrive_gives_its_grant_back() {
        let budget = ByteBudget::new(10_000);
        let (frames, mut body, grants) = admitted(&budget);
        for byte in &message(100)[..50] {
            frames.send(Bytes::copy_from_slice(&[*byte])).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
            if let Ok(frame) = tokio::time::timeout(Duration::from_millis(1), body.frame()).await {
                frame.unwrap().unwrap();
            }
        }
        let status = body.frame().await.unwrap().unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable);
        drop((body, grants));
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_stream_is_never_late() {
        let budget = ByteBudget::new(10_000);
        let (frames, mut body, _) = admitted(&budget);
        frames.send(message(10).into()).await.unwrap();
        body.frame().await.unwrap().unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(3_600), body.frame()).await.is_err());
        frames.send(message(10).into()).await.unwrap();
        body.frame().await.unwrap().unwrap();
    }
}
