//! What the three services of the proxy share.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

use futures::Stream;
use tonic::{Request, Status, metadata::MetadataMap, transport::Channel};

use crate::{fault::Means, ledger::Ledger, survey::Surveys};

/// Larger than any message of either side.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A stream of answers.
pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The proxy as a server; clones are the same one.
#[derive(Clone)]
pub(crate) struct Service {
    /// What goes wrong.
    pub means: Means,
    /// Says which bits are flipped.
    pub seed: u64,
    /// Of the batches that were produced through it, where producers are lied to.
    pub ledger: Option<Books>,
    /// Of the partitions that are read through it, where reading is altered.
    pub surveys: Option<Surveys>,
    /// Fetch streams that were opened.
    pub fetches: Arc<AtomicU64>,
    /// How often the fault was committed.
    pub done: Arc<AtomicU64>,
}

/// The ledger, shared; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Books(Arc<Mutex<Ledger>>);

impl Books {
    /// Of an empty ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self(Arc::new(Mutex::new(ledger)))
    }

    /// The ledger itself. Its methods do not panic, so a poisoned lock does no harm.
    pub fn open(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call on its way to the service.
pub(crate) struct Onward<T> {
    /// The connection upstream that belongs to the client's.
    pub upstream: Channel,
    metadata: MetadataMap,
    /// What the client sent.
    pub message: T,
}

impl<T> Onward<T> {
    /// Takes a client's call. Fails for one that did not come over a connection of the proxy.
    pub fn take(request: Request<T>) -> Result<Self, Status> {
        let (mut metadata, extensions, message) = request.into_parts();
        let upstream = extensions.get::<Channel>().cloned();
        let upstream = upstream.ok_or_else(|| Status::internal("the call came over no connection of the proxy"))?;
        // What concerns one hop only: compression, and the client library's name.
        for hop in ["grpc-encoding", "grpc-accept-encoding", "accept-encoding", "user-agent"] {
            metadata.remove(hop);
        }
        Ok(Self { upstream, metadata, message })
    }

    /// The same call with another message.
    pub fn with<U>(&self, message: U) -> Request<U> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        request
    }

    /// The call as it came.
    pub fn split(self) -> (Channel, Request<T>) {
        let mut request = Request::new(self.message);
        *request.metadata_mut() = self.metadata;
        (self.upstream, request)
    }
}
