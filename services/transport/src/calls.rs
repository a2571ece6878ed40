//! A bound on the calls that are open at a time, whatever connection they came by: what they take is charged.
//!
//! A call takes memory before its first message is there, so a bound for each connection is not enough where there may
//! be thousands of these. No connection may have more calls open than there is room for: so those that hold many leave
//! room for those that hold few, however full it is.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Status, body::Body, codegen::Service};

use crate::{
    metrics,
    peers::{PeerLease, PeerMemory},
};

/// The calls of one connection.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionCalls {
    memory: PeerMemory,
    own: Arc<AtomicUsize>,
}

/// A service that refuses calls beyond the bound.
#[derive(Debug, Clone)]
pub(crate) struct Bounded<S> {
    inner: S,
    calls: ConnectionCalls,
}

/// An open call; no more when dropped.
struct OpenCall {
    calls: ConnectionCalls,
    _memory: PeerLease,
}

impl ConnectionCalls {
    /// Of a new connection.
    pub fn new(memory: PeerMemory) -> Self {
        Self { memory, own: Arc::default() }
    }

    fn enter(&self) -> Option<OpenCall> {
        if self.own.load(Ordering::Relaxed) >= self.memory.calls_left() {
            return None;
        }
        let memory = self.memory.call()?;
        self.own.fetch_add(1, Ordering::Relaxed);
        Some(OpenCall { calls: self.clone(), _memory: memory })
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.calls.own.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S> tower::Layer<S> for ConnectionCalls {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { inner, calls: self.clone() }
    }
}

impl<S> Service<http::Request<Body>> for Bounded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<http::Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Some(place) = self.calls.enter() else {
            metrics::call_refused();
            let status = Status::unavailable("this server has as many calls open as it takes; try again in a moment");
            return std::future::ready(Ok(status.into_http())).boxed();
        };
        let answer = self.inner.call(request);
        answer.map(|answer| answer.map(|answer| answer.map(|body| Body::new(Held { body, _place: place })))).boxed()
    }
}

/// The body of an answer: the call is open until it ends.
struct Held {
    body: Body,
    _place: OpenCall,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::CALL_BYTES;

    #[test]
    fn who_has_many_calls_leaves_room_for_others() {
        // What is kept for connections comes on top.
        let memory = PeerMemory::of(1_000 * CALL_BYTES / 15 * 16);
        let mut held = Vec::new();
        let mut counts = Vec::new();
        for _ in 0..6 {
            let calls = ConnectionCalls::new(memory.clone());
            let before = held.len();
            while let Some(call) = calls.enter() {
                held.push(call);
            }
            counts.push(held.len() - before);
        }
        assert_eq!(counts, [500, 250, 125, 63, 31, 16]);
        drop(held);
        assert_eq!(memory.calls_left(), 1_000);
    }
}
