//! A bound on the calls that are open at a time, whatever connection they came by.
//!
//! A call takes memory before its first message is there, so a bound for each connection is not enough where there may
//! be thousands of these.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Status, body::Body, codegen::Service};

use crate::metrics;

/// Lets so many calls in.
#[derive(Debug, Clone)]
pub(crate) struct CallBound(Arc<Semaphore>);

/// A service that refuses calls beyond the bound.
#[derive(Debug, Clone)]
pub(crate) struct Bounded<S> {
    inner: S,
    bound: CallBound,
}

impl CallBound {
    pub fn new(calls_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(calls_max)))
    }
}

impl<S> tower::Layer<S> for CallBound {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { inner, bound: self.clone() }
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
        let Ok(place) = self.bound.0.clone().try_acquire_owned() else {
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
    _place: OwnedSemaphorePermit,
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
