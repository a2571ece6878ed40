//! The memory budget of produce requests, charged before their bytes are read.
//!
//! A gRPC message says its length in its first five bytes. [`Admitted`] wraps a service so that nothing of a message is
//! given to it until its length is granted from the budget; the rest stays in HTTP/2's windows, and so with the client.
//! Grants are first come, first served, and a stream waits for one at a time, so streams are served in turns.
//!
//! Who announces much and sends little must not stand in the way of the others: a message that is not whole is charged
//! to the budget when a beginning of it is here, and all such messages may take half of the budget. The beginnings have
//! a pool of their own, a sixteenth of the budget on top of it. What is whole when it comes needs neither.
//!
//! A compressed message is charged for what it may become, decompressed when it is whole, and then charged for what it
//! has become. The inner service sees plain messages; its answers are compressed for clients that compress theirs.

mod answers;
mod body;
mod codec;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{
    body::Body,
    codegen::{Service, http},
    server::NamedService,
};

use body::AdmittedBody;
use codec::Codecs;

/// One byte of flags, four of length, big-endian.
const PREFIX_BYTES: usize = 5;

/// The length of the message that begins here, once its prefix is whole.
fn message_bytes(begun: &[u8]) -> Option<usize> {
    let prefix = begun.get(..PREFIX_BYTES)?;
    Some(prefix[1..].iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)))
}

/// Parts of the budget: one sixteenth, beside it, and one half, within it.
const BEGUN_SHARE: usize = 16;
const ARRIVING_SHARE: usize = 2;

/// The bytes of requests that may be in the gateway at a time.
#[derive(Debug, Clone)]
pub(crate) struct ByteBudget {
    semaphore: Arc<Semaphore>,
    /// What messages may have together whose grant is waited for and that are not whole.
    begun: Arc<Semaphore>,
    /// The part of the budget that messages may have together that are not whole.
    arriving: Arc<Semaphore>,
    total_bytes: usize,
}

/// Bytes granted to one request, which may go on in several parts; returned when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// The grants of one call's messages, in their order: the service takes one for each message that it reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grants(Arc<Mutex<VecDeque<Grant>>>);

/// What messages may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageBounds {
    /// A message that announces more is refused unread.
    pub bytes_max: usize,
    /// A message must be whole so long after its grant, however fast it comes.
    pub arrival_max: Duration,
    /// A message that has waited so long for its grant is refused.
    pub grant_max: Duration,
}

impl ByteBudget {
    pub fn new(total_bytes: usize) -> Self {
        let pool = |bytes| Arc::new(Semaphore::new(bytes));
        Self {
            semaphore: pool(total_bytes),
            begun: pool(total_bytes / BEGUN_SHARE),
            arriving: pool(total_bytes / ARRIVING_SHARE),
            total_bytes,
        }
    }

    fn begun_bytes(&self) -> usize {
        self.total_bytes / BEGUN_SHARE
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(Grant { _permit: Arc::new(permit) });
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
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<http::Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let codecs = match Codecs::take(request.headers_mut()) {
            Ok(codecs) => codecs,
            Err(status) => return std::future::ready(Ok(status.into_http())).boxed(),
        };
        let grants = Grants::default();
        request.extensions_mut().insert(grants.clone());
        let (budget, bounds) = (self.budget.clone(), self.bounds);
        let admitted = |body| Body::new(AdmittedBody::new(body, codecs.requests, budget, grants, bounds));
        let answer = self.inner.call(request.map(admitted));
        match codecs.answers {
            None => answer.boxed(),
            Some(codec) => answer.map(move |answer| answer.map(|answer| answers::compressed(answer, codec))).boxed(),
        }
    }
}
