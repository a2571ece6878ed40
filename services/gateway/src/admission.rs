//! The memory budget of produce requests, charged before their bytes are read.
//!
//! A gRPC message says its length in its first five bytes. [`Admitted`] wraps a service so that no more than these are
//! taken from a request until its length is granted from the budget; the rest stays in HTTP/2's windows, and so with the
//! client. Grants are first come, first served, and a stream waits for one at a time, so streams are served in turns.

mod body;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{
    body::Body,
    codegen::{Service, http},
    server::NamedService,
};

use body::AdmittedBody;

/// The bytes of requests that may be in the gateway at a time.
#[derive(Debug, Clone)]
pub(crate) struct ByteBudget {
    semaphore: Arc<Semaphore>,
    total_bytes: usize,
}

/// Bytes granted to one request; returned when dropped.
#[derive(Debug)]
pub(crate) struct Grant {
    _permit: OwnedSemaphorePermit,
}

/// The grants of one call's messages, in their order: the service takes one for each message that it reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grants(Arc<Mutex<VecDeque<Grant>>>);

/// What messages may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageBounds {
    /// A message that announces more is refused unread.
    pub bytes_max: usize,
    /// A message must be whole so long after its first bytes.
    pub arrival_max: Duration,
}

impl ByteBudget {
    pub fn new(total_bytes: usize) -> Self {
        Self { semaphore: Arc::new(Semaphore::new(total_bytes)), total_bytes }
    }

    /// Bytes granted and not returned.
    pub fn used_bytes(&self) -> usize {
        self.total_bytes - self.semaphore.available_permits()
    }
}

impl Grants {
    /// The grant of the next message.
    pub fn take(&self) -> Option<Grant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn put(&self, permit: OwnedSemaphorePermit) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(Grant { _permit: permit });
    }
}

/// A gRPC service whose requests are read only as far as the budget grants. The inner service finds [`Grants`] in the
/// extensions of each request.
#[derive(Debug, Clone)]
pub(crate) struct Admitted<S> {
    inner: S,
    budget: ByteBudget,
    bounds: MessageBounds,
}

impl<S> Admitted<S> {
    pub fn new(inner: S, budget: ByteBudget, bounds: MessageBounds) -> Self {
        Self { inner, budget, bounds }
    }
}

impl<S: NamedService> NamedService for Admitted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Admitted<S>
where
    S: Service<http::Request<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let grants = Grants::default();
        request.extensions_mut().insert(grants.clone());
        let (budget, bounds) = (self.budget.clone(), self.bounds);
        self.inner.call(request.map(|body| Body::new(AdmittedBody::new(body, budget, grants, bounds))))
    }
}
