//! Commit records below the upload epoch floor.
//!
//! A record is needed while its object may be committed again, which the floor ends, and while the index refers to the
//! object, since its live bytes say when the object may go. So when a term moves the floor, the records that it has
//! passed are looked through, and those without live bytes are deleted. The others stay whole:
//! outcomes are stored as stretches and take fewer bytes than rewriting the rows would. Records of inline commits go some epochs
//! later, so that a gateway that could reach nobody for several terms still has its answer; one that comes after that is told that the outcome is
//! unknown. A sweep that a crash cuts short
//! is not taken up again; what it leaves is a few dozen bytes for each object that was refused as a whole.

use std::sync::Arc;

use eagre_metadata::{
    MetadataStore,
    rows::{InlinePlace, InlineRecord, Object, ObjectStream},
};
use eagre_model::{ObjectId, UploadEpoch};
use tokio::sync::mpsc;

use crate::{
    beside::{End, ask, note_end},
    group::Work,
    load::Epochs,
};

const PAGE_BYTES: usize = 256 << 10;
/// Records of inline commits outlive the floor by so many epochs, which are terms.
const INLINE_EPOCHS: u64 = 16;

/// The sweep of one term: over the records that the floor has passed at its start.
pub struct Sweeper {
    /// The rows.
    pub store: Arc<MetadataStore>,
    /// To the committer.
    pub queue: mpsc::Sender<Work>,
    /// Of the term.
    pub epochs: Epochs,
}

impl Sweeper {
    /// Ends when it is done, or with the term.
    pub async fn run(self) {
        note_end(self.work().await, "old commit records are not deleted");
    }

    async fn work(&self) -> Result<(), End> {
        let Epochs { floor, floor_before, .. } = self.epochs;
        let passed = first_object(floor_before)..first_object(floor);
        let mut pages = self.store.pages::<Object>(passed, PAGE_BYTES);
        while let Some(page) = pages.next().await? {
            let unneeded = page.into_iter().filter(|(_, record)| record.live_bytes == 0);
            self.drop_records(unneeded.map(|(object, _)| object).collect(), Vec::new()).await?;
        }
        let passed = first_place(inline_floor(floor_before))..first_place(inline_floor(floor));
        let mut pages = self.store.pages::<InlineRecord>(passed, PAGE_BYTES);
        while let Some(page) = pages.next().await? {
            self.drop_records(Vec::new(), page.into_iter().map(|(place, _)| place).collect()).await?;
        }
        Ok(())
    }

    async fn drop_records(&self, objects: Vec<ObjectId>, inline: Vec<InlinePlace>) -> Result<(), End> {
        if objects.is_empty() && inline.is_empty() {
            return Ok(());
        }
        ask(&self.queue, |answer| Work::DropRecords { objects, inline, answer }).await
    }
}

/// Below it, records of inline commits are dropped.
fn inline_floor(floor: UploadEpoch) -> UploadEpoch {
    UploadEpoch(floor.0.saturating_sub(INLINE_EPOCHS))
}

/// Whether the record of an inline commit of this epoch may have been dropped.
pub fn has_dropped_inline(epoch: UploadEpoch, floor: UploadEpoch) -> bool {
    epoch < inline_floor(floor)
}

fn first_object(epoch: UploadEpoch) -> ObjectId {
    ObjectId { epoch, incarnation: 0, number: 0 }
}

/// The first place of any ring of an epoch.
pub fn first_place(epoch: UploadEpoch) -> InlinePlace {
    InlinePlace { stream: ObjectStream { epoch, incarnation: 0 }, place: 0 }
}
