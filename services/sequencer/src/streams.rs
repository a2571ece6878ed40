//! The ordered commit streams of gateways: they feed the committer's queue, within a bound of bytes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use eagre_sequencer_api::{CommitBatch, CommitReply, CommitRequest, CommitRun, CommitStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::group::Work;

/// How many replies wait in a stream.
const REPLIES_WAITING_MAX: usize = 64;
/// How many requests wait in a stream before their memory is charged: each may hold inline bytes.
const UNCHARGED_MAX: usize = 2;
/// More gateways than this are refused.
const STREAMS_MAX: usize = 4_096;

/// The open commit streams of a term.
pub struct Streams {
    queue: mpsc::Sender<Work>,
    budget: Arc<Semaphore>,
    queued_bytes_max: usize,
    /// By incarnation: a new stream of a gateway ends its old one.
    open: Mutex<BTreeMap<u64, CancellationToken>>,
    ended: CancellationToken,
}

impl Streams {
    /// None yet. All of them end with `ended`, and may queue so many bytes together.
    pub fn new(queue: mpsc::Sender<Work>, queued_bytes_max: usize, ended: CancellationToken) -> Arc<Self> {
        let budget = Arc::new(Semaphore::new(queued_bytes_max));
        Arc::new(Self { queue, budget, queued_bytes_max, open: Mutex::default(), ended })
    }

    /// Opens the stream of an incarnation; `None` when there are too many.
    pub fn open(self: &Arc<Self>, incarnation: u64) -> Option<CommitStream> {
        let (requests, incoming) = mpsc::channel(UNCHARGED_MAX);
        let (outgoing, replies) = mpsc::channel(REPLIES_WAITING_MAX);
        let ended = self.ended.child_token();
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|_, stream| !stream.is_cancelled());
            if let Some(older) = open.insert(incarnation, ended.clone()) {
                older.cancel();
            }
            if open.len() > STREAMS_MAX {
                open.remove(&incarnation);
                return None;
            }
        }
        let this = self.clone();
        tokio::spawn(async move {
            ended.run_until_cancelled(this.forward(incarnation, incoming, outgoing)).await;
            ended.cancel();
        });
        Some(CommitStream { requests, replies })
    }

    /// Queues requests in order. A place for the reply is taken first, so that the committer never waits for a gateway.
    async fn forward(
        &self,
        incarnation: u64,
        mut incoming: mpsc::Receiver<CommitRequest>,
        outgoing: mpsc::Sender<CommitReply>,
    ) {
        while let Some(request) = incoming.recv().await {
            if let Err(fault) = request.check(incarnation) {
                error!(incarnation, object = %request.object, %fault, "commit stream ended: the request makes no sense");
                return;
            }
            let Ok(slot) = outgoing.clone().reserve_owned().await else { return };
            // Never more than there is for all.
            let bytes = memory_bytes(&request).min(self.queued_bytes_max);
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            let Ok(budget) = self.budget.clone().acquire_many_owned(bytes).await else { return };
            if self.queue.send(Work::Commit { request, slot, budget }).await.is_err() {
                return;
            }
        }
    }
}

/// What a request takes in memory.
fn memory_bytes(request: &CommitRequest) -> usize {
    let runs = request
        .runs
        .iter()
        .map(|run| std::mem::size_of::<CommitRun>() + run.batches.len() * std::mem::size_of::<CommitBatch>());
    let inline = request.inline.as_ref().map_or(0, bytes::Bytes::len);
    std::mem::size_of::<Work>() + runs.sum::<usize>() + inline
}
