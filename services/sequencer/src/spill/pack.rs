//! The layout of an object of inline runs: their batches by partition and offset, and the runs that will stand in the
//! index for them. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use eagre_log::WalObjectBuilder;
use eagre_model::{
    ObjectId, Run, RunKind, TopicPartition,
    batch::{ValidBatch, batches, crc32c, crc32c_combine},
};

use crate::inline::{Stretch, joined, joined_blindly};

/// An object that is being put together.
pub(super) struct Pack {
    builder: WalObjectBuilder,
    partitions: BTreeMap<TopicPartition, Partition>,
    freed: Vec<Stretch>,
    /// A planted bug.
    joins_blindly: bool,
}

#[derive(Default)]
struct Partition {
    length_bytes: u64,
    stretches: Vec<Stretch>,
}

/// What came out.
pub(super) struct Packed {
    /// The object; `None` when there is nothing to store.
    pub wal: Option<Bytes>,
    /// What is to be swapped.
    pub stretches: Vec<Stretch>,
}

impl Pack {
    pub fn new(joins_blindly: bool) -> Self {
        Self { builder: WalObjectBuilder::new(), partitions: BTreeMap::new(), freed: Vec::new(), joins_blindly }
    }

    /// Adds a run behind those of its partition, whose offsets are lower. Fails when the bytes are not what the index
    /// says; nothing is added then.
    pub fn add(&mut self, partition: TopicPartition, run: Run, bytes: &Bytes) -> Result<(), &'static str> {
        let found = checked(&run, bytes)?;
        for (batch, valid) in found {
            self.builder.push(partition, batch, &valid);
        }
        let place = self.partitions.entry(partition).or_default();
        let new = Run { kind: RunKind::Wal, position_bytes: place.length_bytes, ..run };
        place.length_bytes += u64::from(run.length_bytes);
        let join = if self.joins_blindly { joined_blindly } else { joined };
        if let Some(Stretch { old, new: Some(last), .. }) = place.stretches.last_mut()
            && let Some(whole) = join(*last, &new)
        {
            *last = whole;
            old.push(run);
        } else {
            place.stretches.push(Stretch { partition, old: vec![run], new: Some(new) });
        }
        Ok(())
    }

    /// Adds a run that only goes: its topic is deleted.
    pub fn free(&mut self, partition: TopicPartition, run: Run) {
        match self.freed.last_mut() {
            Some(last) if last.partition == partition => last.old.push(run),
            _ => self.freed.push(Stretch { partition, old: vec![run], new: None }),
        }
    }

    pub fn finish(self, object: ObjectId) -> Packed {
        let mut stretches = self.freed;
        if self.builder.is_empty() {
            return Packed { wal: None, stretches };
        }
        let wal = self.builder.finish(object);
        // Both in the order of their partitions.
        for (laid, place) in wal.runs.iter().zip(self.partitions.into_values()) {
            debug_assert_eq!(u64::from(laid.length_bytes), place.length_bytes);
            stretches.extend(place.stretches.into_iter().map(|stretch| {
                let moved = |run: Run| Run { object, position_bytes: laid.position_bytes + run.position_bytes, ..run };
                Stretch { new: stretch.new.map(moved), ..stretch }
            }));
        }
        Packed { wal: Some(wal.bytes), stretches }
    }
}

/// The batches of a run, when they are those that the index says.
fn checked(run: &Run, bytes: &Bytes) -> Result<Vec<(Bytes, ValidBatch)>, &'static str> {
    if bytes.len() as u64 != u64::from(run.length_bytes) {
        return Err("the bytes have another length");
    }
    let mut found = Vec::with_capacity(run.batches as usize);
    let mut whole = 0;
    for batch in batches(bytes) {
        let (header, batch) = batch.map_err(|_| "the bytes are not batches")?;
        let crc32c_whole = crc32c(&batch);
        whole = crc32c_combine(whole, crc32c_whole, batch.len() as u64);
        found.push((batch, ValidBatch { header, crc32c_whole }));
    }
    if whole != run.crc32c || found.len() as u64 != u64::from(run.batches) {
        return Err("the bytes have another CRC-32C");
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
