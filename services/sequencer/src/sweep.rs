//! Commit records below the upload epoch floor.
//!
//! A record is needed while its object may be committed again, which the floor ends, and while the index refers to the
//! object, since its live bytes say when the object may go. So when a term moves the floor, the records that it has
//! passed are looked through, a few with each group, and those without live bytes are deleted. The others stay whole:
//! outcomes are stored as stretches and take fewer bytes than rewriting the rows would. A sweep that a crash cuts short
//! is not taken up again; what it leaves is a few dozen bytes for each object that was refused as a whole.

use std::ops::Bound;

use eagre_metadata::{Changes, MetadataStore, ReadError, rows::Object};
use eagre_model::{ObjectId, UploadEpoch};

use crate::load::Epochs;

/// So many records are looked at with one group.
const STEP_ROWS: usize = 64;

/// The sweep of one term.
#[derive(Debug)]
pub struct Sweep {
    next: Bound<ObjectId>,
    floor: UploadEpoch,
    done: bool,
    unneeded: Vec<ObjectId>,
}

impl Sweep {
    /// Over the records that the floor has passed at the start of this term.
    pub fn new(epochs: Epochs) -> Self {
        Self {
            next: Bound::Included(first_of(epochs.floor_before)),
            floor: epochs.floor,
            done: epochs.floor_before >= epochs.floor,
            unneeded: Vec::new(),
        }
    }

    /// Adds the deletions found so far to a group that is written anyway.
    pub fn add_to(&mut self, changes: &mut Changes) {
        for object in self.unneeded.drain(..) {
            changes.delete::<Object>(&object);
        }
    }

    /// Looks at a few more records.
    pub async fn step(&mut self, store: &MetadataStore) -> Result<(), ReadError> {
        if self.done {
            return Ok(());
        }
        let rows = store.scan::<Object>((self.next, Bound::Excluded(first_of(self.floor))), STEP_ROWS).await?;
        self.done = rows.len() < STEP_ROWS;
        if let Some((last, _)) = rows.last() {
            self.next = Bound::Excluded(*last);
        }
        let unneeded = rows.into_iter().filter(|(_, record)| record.live_bytes == 0);
        self.unneeded.extend(unneeded.map(|(object, _)| object));
        Ok(())
    }
}

fn first_of(epoch: UploadEpoch) -> ObjectId {
    ObjectId { epoch, incarnation: 0, number: 0 }
}
