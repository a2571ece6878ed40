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
//!
//! A call of one message has to go on until it is whole and the client says that there is no more; streams may be quiet.
//!
//! What a message becomes when it is decoded is told while it passes, see [`eagre_proto::walk`], and charged to a pool of
//! its own before the last byte of it is given out. Who waits there holds its part of the budget, and who has both waits
//! for neither, so they never wait for each other. It goes back when the message is a batch: after its topic was looked up, where that
//! is not known, and of one that is placed by keys when it is answered.

mod answers;
mod body;
mod codec;
mod elements;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use eagre_proto::walk::Method;
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
    /// What messages may take together from when they are decoded until they are something else.
    decoded: Arc<Semaphore>,
    decoded_bytes: usize,
}

/// Bytes granted to one request, which may go on in several parts; returned when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    _permit: Arc<OwnedSemaphorePermit>,
    decoded: Option<Arc<OwnedSemaphorePermit>>,
}

impl Grant {
    /// What the decoded message was granted beside its bytes: to be dropped as soon as that is no more.
    pub fn decoded(&mut self) -> Option<Arc<OwnedSemaphorePermit>> {
        self.decoded.take()
    }
}

/// The grants of one call's messages, in their order: the service takes one for each message that it reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grants(Arc<Mutex<VecDeque<Grant>>>);

/// What messages may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageBounds {
    /// A message that announces more is refused unread.
    pub bytes_max: usize,
    /// A message with more elements in its repeated fields, of all levels together, is refused before it is decoded.
    pub elements_max: usize,
    /// A message must be whole so long after its grant, however fast it comes.
    pub arrival_max: Duration,
    /// A message that has waited so long for its grant is refused.
    pub grant_max: Duration,
}

impl ByteBudget {
    pub fn new(total_bytes: usize, decoded_bytes: usize) -> Self {
        let pool = |bytes| Arc::new(Semaphore::new(bytes));
        Self {
            semaphore: pool(total_bytes),
            begun: pool(total_bytes / BEGUN_SHARE),
            arriving: pool(total_bytes / ARRIVING_SHARE),
            total_bytes,
            decoded: pool(decoded_bytes),
            decoded_bytes,
        }
    }

    /// Another budget for other requests, with which this one shares what messages take once they are decoded.
    pub fn sharing_decoded(&self, total_bytes: usize) -> Self {
        Self { decoded: self.decoded.clone(), ..Self::new(total_bytes, self.decoded_bytes) }
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
        let grant = Grant { _permit: Arc::new(permit), decoded: None };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(grant);
    }

    /// To the grant that was put last.
    fn put_decoded(&self, permit: OwnedSemaphorePermit) {
        if let Some(last) = self.0.lock().unwrap_or_else(PoisonError::into_inner).back_mut() {
            last.decoded = Some(Arc::new(permit));
        }
    }

    /// Returns all but the last so many.
    fn keep(&self, last: usize) {
        let mut grants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let returned = grants.len().saturating_sub(last);
        grants.drain(..returned);
    }
}

/// Who returns what was granted to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Returned {
    /// The service, which takes the [`Grants`] out of the extensions of each request.
    ByService,
    /// It is returned when a call is answered, or when the next message of a stream is asked for.
    WithTheCall,
}

/// A gRPC service whose requests are read only as far as the budget grants.
#[derive(Debug, Clone)]
pub struct Admitted<S> {
    inner: S,
    budget: ByteBudget,
    bounds: MessageBounds,
    returned: Returned,
}

impl<S> Admitted<S> {
    pub(crate) fn new(inner: S, budget: ByteBudget, bounds: MessageBounds, returned: Returned) -> Self {
        Self { inner, budget, bounds, returned }
    }
}

/// How the messages of one call are admitted.
struct Admission {
    budget: ByteBudget,
    bounds: MessageBounds,
    grants: Grants,
    /// `None`: nothing is known of its messages.
    method: Option<Method>,
    /// The client sends any number of messages, and may be quiet between them.
    streams: bool,
    /// Grants are returned when the next message is asked for.
    returns: bool,
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
        let method = Method::at(request.uri().path());
        let held = match self.returned {
            Returned::ByService => {
                request.extensions_mut().insert(grants.clone());
                None
            }
            Returned::WithTheCall => Some(grants.clone()),
        };
        // Reflection is the one stream whose messages are not known here.
        let is_reflection = || request.uri().path().ends_with("/ServerReflectionInfo");
        let streams = method.map_or_else(is_reflection, |method| method.streams);
        let returns = held.is_some() && streams;
        let admission =
            Admission { budget: self.budget.clone(), bounds: self.bounds, grants, method, streams, returns };
        let admitted = |body| Body::new(AdmittedBody::new(body, codecs.requests, admission));
        let answer = self.inner.call(request.map(admitted));
        let answer = answer.inspect(move |_| drop(held));
        match codecs.answers {
            None => answer.boxed(),
            Some(codec) => answer.map(move |answer| answer.map(|answer| answers::compressed(answer, codec))).boxed(),
        }
    }
}
