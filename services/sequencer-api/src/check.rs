//! Whether a commit request makes sense.

use std::collections::BTreeMap;

use bytes::Bytes;
use eagre_model::batch::crc32c;

use crate::{CommitBatch, CommitRequest, CommitRun, INLINE_BYTES_MAX, PartOf, ProducerSequence};

/// What is wrong with a request: a bug of whoever made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// The object belongs to another gateway than the stream.
    #[error("the object is of another incarnation than the stream")]
    ForeignObject,
    /// It holds no run, a run no batch, or a batch no record or byte.
    #[error("something in it is empty")]
    Empty,
    /// The bytes of a run lie outside of the object.
    #[error("a run lies outside of the object")]
    OutsideOfObject,
    /// A run or an object is longer than can be indexed.
    #[error("the object is too long")]
    TooLong,
    /// A producer id, epoch or sequence is below 0.
    #[error("a producer's number is negative")]
    NegativeNumber,
    /// The inline bytes are too many, or not those of the runs one behind the other.
    #[error("the inline bytes are not those of its runs")]
    InlineLength,
    /// The inline bytes of a batch have another CRC-32C than is said of them.
    #[error("the inline bytes of a batch are damaged")]
    InlineCorrupt,
    /// A request that is numbered per topic is not whole, or its parts contradict each other.
    #[error("a numbered request is torn")]
    TornRequest,
}

/// What is said of a numbered request, and how many of its records were seen.
struct Seen {
    topic: u64,
    producer: ProducerSequence,
    part_of: PartOf,
    records: u64,
    last_partition: u32,
}

impl CommitRequest {
    /// Checks everything that the sequencer relies on; it does so with every request, wherever it comes from.
    pub fn check(&self, incarnation: u64) -> Result<(), RequestFault> {
        if self.object.incarnation != incarnation {
            return Err(RequestFault::ForeignObject);
        }
        if self.object_length_bytes > u64::from(u32::MAX) {
            return Err(RequestFault::TooLong);
        }
        if self.runs.is_empty() || self.runs.iter().any(|run| run.batches.is_empty()) {
            return Err(RequestFault::Empty);
        }
        for run in &self.runs {
            let mut end = run.position_bytes;
            for batch in &run.batches {
                if batch.length_bytes == 0 || batch.record_count == 0 {
                    return Err(RequestFault::Empty);
                }
                if i32::try_from(batch.record_count).is_err() {
                    return Err(RequestFault::TooLong);
                }
                end = end.checked_add(u64::from(batch.length_bytes)).ok_or(RequestFault::OutsideOfObject)?;
                if let Some(producer) = batch.producer
                    && (producer.id.0 < 0 || producer.epoch.0 < 0 || producer.first_sequence < 0)
                {
                    return Err(RequestFault::NegativeNumber);
                }
            }
            if end > self.object_length_bytes {
                return Err(RequestFault::OutsideOfObject);
            }
        }
        self.check_parts()?;
        self.inline.as_ref().map_or(Ok(()), |inline| self.check_inline(inline))
    }

    /// Inline bytes are the batches without a gap, each with its CRC: what is stored of them is what a reader will check.
    fn check_inline(&self, inline: &Bytes) -> Result<(), RequestFault> {
        if inline.len() > INLINE_BYTES_MAX || inline.len() as u64 != self.object_length_bytes {
            return Err(RequestFault::InlineLength);
        }
        let mut rest = &inline[..];
        for run in &self.runs {
            if run.position_bytes != (inline.len() - rest.len()) as u64 {
                return Err(RequestFault::InlineLength);
            }
            for batch in &run.batches {
                let length = usize::try_from(batch.length_bytes).map_err(|_| RequestFault::InlineLength)?;
                let (bytes, behind) = rest.split_at_checked(length).ok_or(RequestFault::InlineLength)?;
                if crc32c(bytes) != batch.crc32c {
                    return Err(RequestFault::InlineCorrupt);
                }
                rest = behind;
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(RequestFault::InlineLength) }
    }

    /// Every numbered request is here as a whole, in partitions of one topic in ascending order.
    fn check_parts(&self) -> Result<(), RequestFault> {
        let mut requests: BTreeMap<u32, Seen> = BTreeMap::new();
        for run in &self.runs {
            for (batch, part_of) in run.batches.iter().filter_map(|batch| Some((batch, batch.part?))) {
                see_part(&mut requests, run, batch, part_of).ok_or(RequestFault::TornRequest)?;
            }
        }
        let is_whole = |seen: &Seen| seen.records == u64::from(seen.part_of.records);
        if requests.values().all(is_whole) { Ok(()) } else { Err(RequestFault::TornRequest) }
    }
}

/// `None`: it contradicts a part before it.
fn see_part(requests: &mut BTreeMap<u32, Seen>, run: &CommitRun, batch: &CommitBatch, part_of: PartOf) -> Option<()> {
    let (topic, partition) = (run.partition.topic.0, run.partition.partition);
    let (producer, records) = (batch.producer?, u64::from(batch.record_count));
    match requests.get_mut(&part_of.number) {
        None => {
            let seen = Seen { topic, producer, part_of, records, last_partition: partition };
            requests.insert(part_of.number, seen);
        }
        Some(seen) => {
            let follows = seen.topic == topic && seen.last_partition < partition;
            if !follows || seen.producer != producer || seen.part_of != part_of {
                return None;
            }
            seen.records += records;
            seen.last_partition = partition;
        }
    }
    Some(())
}
