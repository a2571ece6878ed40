//! Puts batches of many partitions into one object.

use std::collections::BTreeMap;

use bytes::Bytes;
use eagre_model::{
    ObjectId, TopicPartition,
    batch::{BatchHeader, ValidBatch, crc32c_combine},
};

use crate::footer::{Footer, FooterRun};

/// Collects batches for one object. Batches of a partition keep the order of their pushes; nothing is copied before
/// [`WalObjectBuilder::finish`].
#[derive(Debug, Default)]
pub struct WalObjectBuilder {
    partitions: BTreeMap<TopicPartition, Vec<(WalBatch, Bytes)>>,
    batches: usize,
    data_bytes: usize,
}

/// A finished object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalObject {
    /// Its name.
    pub id: ObjectId,
    /// All of it, in one buffer of exactly its length.
    pub bytes: Bytes,
    /// One a partition, in the order of their bytes, without gaps from the first byte on.
    pub runs: Vec<WalRun>,
}

/// The batches of one partition in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalRun {
    /// Whose they are.
    pub partition: TopicPartition,
    /// First byte in the object.
    pub position_bytes: u64,
    /// Bytes of all batches.
    pub length_bytes: u32,
    /// CRC-32C of the bytes as stored.
    pub crc32c: u32,
    /// In the order of their bytes, without gaps. Never empty.
    pub batches: Vec<WalBatch>,
}

/// One batch in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalBatch {
    /// The how-manieth push it was, from 0.
    pub push: usize,
    /// Bytes of the whole batch.
    pub length_bytes: u32,
    /// CRC-32C of all its bytes.
    pub crc32c: u32,
    /// Its header.
    pub header: BatchHeader,
}

impl WalObjectBuilder {
    /// An empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a batch behind those of its partition and returns the number of this push, from 0.
    ///
    /// `bytes` is the batch that `valid` was made from. An object of 4 GiB or more cannot be built: cut far earlier.
    pub fn push(&mut self, partition: TopicPartition, bytes: Bytes, valid: &ValidBatch) -> usize {
        assert_eq!(bytes.len(), valid.header.total_length_bytes(), "a validated batch has the length of its header");
        let length_bytes = u32::try_from(bytes.len()).expect("a batch's length field has 31 bits");
        let push = self.batches;
        self.batches += 1;
        self.data_bytes += bytes.len();
        assert!(u32::try_from(self.data_bytes).is_ok(), "an object is cut before it has 4 GiB");
        let batch = WalBatch { push, length_bytes, crc32c: valid.crc32c_whole, header: valid.header };
        self.partitions.entry(partition).or_default().push((batch, bytes));
        push
    }

    /// Bytes of all batches so far.
    pub fn data_bytes(&self) -> usize {
        self.data_bytes
    }

    /// Batches so far.
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// Partitions so far.
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.batches == 0
    }

    /// Lays out the object: the batches grouped by partition, then the footer. Copies every byte once.
    pub fn finish(self, id: ObjectId) -> WalObject {
        let footer_bytes = Footer::length_bytes(self.partitions.len());
        let mut bytes = Vec::with_capacity(self.data_bytes + footer_bytes);
        let mut runs = Vec::with_capacity(self.partitions.len());
        for (partition, batches) in self.partitions {
            let position_bytes = bytes.len() as u64;
            let mut run = WalRun {
                partition,
                position_bytes,
                length_bytes: 0,
                crc32c: 0,
                batches: Vec::with_capacity(batches.len()),
            };
            for (batch, data) in batches {
                run.crc32c = crc32c_combine(run.crc32c, batch.crc32c, u64::from(batch.length_bytes));
                run.length_bytes += batch.length_bytes;
                run.batches.push(batch);
                bytes.extend_from_slice(&data);
            }
            runs.push(run);
        }
        debug_assert_eq!(bytes.len(), self.data_bytes);
        footer(id, &runs).encode(&mut bytes);
        assert_eq!(bytes.len(), self.data_bytes + footer_bytes, "the footer has the length that was reserved");
        WalObject { id, bytes: bytes.into(), runs }
    }
}

impl WalObject {
    /// The same batches under another name, for a second upload. Copies the object.
    pub fn renamed(&self, id: ObjectId) -> Self {
        let data = self.bytes.len() - Footer::length_bytes(self.runs.len());
        let mut bytes = Vec::with_capacity(self.bytes.len());
        bytes.extend_from_slice(&self.bytes[..data]);
        footer(id, &self.runs).encode(&mut bytes);
        Self { id, bytes: bytes.into(), runs: self.runs.clone() }
    }
}

fn footer(object: ObjectId, runs: &[WalRun]) -> Footer {
    Footer { object, runs: runs.iter().map(WalRun::footer_run).collect() }
}

impl WalRun {
    fn footer_run(&self) -> FooterRun {
        let records = |batch: &WalBatch| u64::try_from(batch.header.record_count).unwrap_or(0);
        let timestamps = self.batches.iter().map(|batch| batch.header.max_timestamp);
        FooterRun {
            partition: self.partition,
            position_bytes: self.position_bytes,
            length_bytes: self.length_bytes,
            batches: u32::try_from(self.batches.len())
                .expect("every batch has bytes, of which there are less than 4 GiB"),
            records: self.batches.iter().map(records).sum(),
            max_timestamp_ms: timestamps.max().unwrap_or(i64::MIN),
            crc32c: self.crc32c,
        }
    }
}
