//! Turns inline runs into objects: many small commits into one PUT and one swap of rows, off the commits' way.
//!
//! An object holds the bytes of many inline runs, by partition and offset, as a gateway's does. When it is durable the
//! committer replaces their rows, in one write. Whatever fails before that only delays it: the rows are still there. What
//! an earlier term left inline is adopted at the start, by its rows; the bytes are read again when they are needed.
//! A swap is the moment at which rows in memory are few for their size, so it is when a table is made of them.

mod pack;
mod pending;

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use eagre_env::{Env, PlantedBug};
use eagre_metadata::{
    MetadataStore, ReadError,
    rows::{InlineObject, ObjectStream, RunKey, RunRow},
};
use eagre_model::{ObjectId, Run, RunKind, UploadEpoch};
use eagre_objects::Bucket;
use tokio::{sync::mpsc, time::timeout};
use tracing::{error, info, warn};

use crate::{
    beside::{End, ask, note_end},
    group::Work,
    inline::{Swap, bytes_of},
    pause::Pause,
    published::Published,
    telemetry::{self, Spilled},
};
use pack::{Pack, Packed};
pub use pending::{Pending, PendingObject, SpillSettings};

/// One attempt to store an object may take so long.
const PUT_MAX: Duration = Duration::from_secs(30);
const PUT_PAUSE: Duration = Duration::from_millis(100);
const PUT_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Rows that an earlier term left are looked at in pages of so many bytes.
const PAGE_BYTES: usize = 1 << 20;

/// Spills for one term.
pub struct Spiller {
    /// Clock, randomness, fail points, planted bugs.
    pub env: Env,
    /// Where objects go.
    pub bucket: Bucket,
    /// The rows.
    pub store: Arc<MetadataStore>,
    /// Which topics live.
    pub published: Arc<Published>,
    /// From which numbers on an earlier term may have left something inline.
    pub heads: BTreeMap<ObjectStream, u64>,
    /// Nothing is committed below it.
    pub floor: UploadEpoch,
    /// To the committer.
    pub queue: mpsc::Sender<Work>,
    /// What is to be spilled.
    pub pending: Arc<Pending>,
}

/// Under which names this term stores objects.
struct Names {
    epoch: UploadEpoch,
    incarnation: u64,
    next_number: u64,
}

impl Names {
    fn next(&mut self) -> ObjectId {
        let number = self.next_number;
        self.next_number += 1;
        ObjectId { epoch: self.epoch, incarnation: self.incarnation, number }
    }
}

impl Spiller {
    /// Runs until the term ends. When it cannot go on before, what is inline stays so, and gateways make objects.
    pub async fn run(self) {
        note_end(self.work().await, "inline runs are no longer turned into objects");
    }

    async fn work(&self) -> Result<Infallible, End> {
        self.adopt().await?;
        let mut names = None;
        loop {
            let objects = self.pending.due().await;
            let mut own = match names.take() {
                Some(names) => names,
                None => self.join().await?,
            };
            self.spill(own.next(), objects).await?;
            names = Some(own);
        }
    }

    /// An incarnation like a gateway's.
    async fn join(&self) -> Result<Names, End> {
        let joined = ask(&self.queue, |answer| Work::Join { answer }).await?;
        Ok(Names { epoch: joined.upload_epoch, incarnation: joined.incarnation, next_number: 0 })
    }

    /// Takes over what an earlier term left inline. Commits of this one may come between: the committer knows them.
    async fn adopt(&self) -> Result<(), End> {
        let (mut objects, mut ended) = (Vec::new(), Vec::new());
        for (&stream, &head) in &self.heads {
            let found = self.inline_of(stream, head).await?;
            if found.is_empty() && stream.epoch < self.floor {
                ended.push(stream);
            }
            objects.extend(found);
        }
        if objects.is_empty() && ended.is_empty() {
            return Ok(());
        }
        let adopted = ask(&self.queue, |answer| Work::Adopt { objects, ended, answer }).await?;
        info!(commits = adopted.len(), "inline commits of an earlier term");
        self.pending.add_older(adopted);
        Ok(())
    }

    /// What is inline of a stream.
    async fn inline_of(&self, stream: ObjectStream, head: u64) -> Result<Vec<PendingObject>, ReadError> {
        let mut found = Vec::new();
        let of_stream = stream.object(head)..=stream.object(u64::MAX);
        let mut pages = self.store.pages::<InlineObject>(of_stream, PAGE_BYTES);
        while let Some(page) = pages.next().await? {
            let keys: Vec<RunKey> = page.iter().flat_map(|(_, row)| row.runs.iter().copied()).collect();
            let mut runs = self.store.get_all::<RunRow>(&keys).await?.into_iter();
            for (object, row) in page {
                let is_of_it = |run: &Run| run.kind == RunKind::Inline && run.object == object;
                let of_it = row.runs.iter().zip(runs.by_ref());
                let of_it: Vec<_> =
                    of_it.filter_map(|(key, run)| Some((key.partition, run.filter(is_of_it)?))).collect();
                if of_it.is_empty() {
                    error!(%object, "inline bytes without a run");
                    continue;
                }
                found.push(PendingObject { object, runs: of_it, length_bytes: row.bytes.len() as u64, bytes: None });
            }
        }
        Ok(found)
    }

    /// One object and one swap.
    async fn spill(&self, object: ObjectId, pending: Vec<PendingObject>) -> Result<(), End> {
        let mut runs = Vec::new();
        for PendingObject { object, runs: of_it, bytes, .. } in pending {
            let bytes = match bytes {
                Some(bytes) => Some(bytes),
                None => self.store.get::<InlineObject>(&object).await?.map(|row| row.bytes),
            };
            runs.extend(of_it.into_iter().map(|(partition, run)| (partition, run, bytes.clone())));
        }
        // What was adopted comes gateway by gateway.
        runs.sort_unstable_by_key(|(partition, run, _)| (*partition, run.base_offset));
        let mut pack = Pack::new(self.env.has_planted(PlantedBug::SwapWithoutCheck));
        for (partition, run, bytes) in runs {
            if self.published.tail(partition).is_none() {
                pack.free(partition, run);
                continue;
            }
            let bytes = bytes.ok_or("the bytes are missing").and_then(|bytes| bytes_of(&run, &bytes));
            if let Err(why) = bytes.and_then(|bytes| pack.add(partition, run, &bytes)) {
                telemetry::corrupt_run();
                error!(%partition, run.last_offset, why, "STORED DATA IS CORRUPT: an inline run stays as it is");
            }
        }
        let Packed { wal, stretches } = pack.finish(object);
        let length_bytes = wal.as_ref().map_or(0, |wal| wal.len() as u64);
        if let Some(bytes) = wal {
            self.store_object(object, bytes).await;
        }
        self.env.fail_point("spill.stored").await;
        let swapped = ask(&self.queue, |answer| Work::Swap { swap: Swap { object, stretches }, answer }).await?;
        telemetry::spilled(Spilled::Swapped { length_bytes });
        self.store.large_rows_have_gone();
        self.env.fail_point(if swapped.freed > 0 { "spill.freed" } else { "spill.swapped" }).await;
        tracing::debug!(%object, length_bytes, ?swapped, "inline runs are in an object now");
        Ok(())
    }

    /// Tries until it is done: nobody waits for it, and an attempt that did arrive is met by the same bytes.
    async fn store_object(&self, object: ObjectId, bytes: Bytes) {
        let key = object.key();
        let mut pause = Pause::new(self.env.clone(), PUT_PAUSE, PUT_PAUSE_MAX);
        self.env.fail_point("spill.before").await;
        if self.env.has_planted(PlantedBug::SwapBeforePut) {
            let bucket = self.bucket.clone();
            tokio::spawn(async move { bucket.put(&key, bytes).await });
            return;
        }
        loop {
            let why = match timeout(PUT_MAX, self.bucket.put(&key, bytes.clone())).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {PUT_MAX:?}"),
            };
            telemetry::spilled(Spilled::Failed);
            warn!(%object, why, "inline runs could not be stored as an object, trying again");
            pause.wait().await;
        }
    }
}
