//! Whether a commit request makes sense.

use crate::CommitRequest;

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
        Ok(())
    }
}
