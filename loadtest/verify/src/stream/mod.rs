//! Judges a log while it is written and read, in bounded memory, for as long as one likes.
//!
//! The caller tells a [`PartitionJudge`] what became of every record sent and what its readers got. Each record names
//! its producer and its place in that producer's order; a producer's records in one partition are a *lane*, and its
//! sequences count from 0 without gaps.
//!
//! | question | answered by |
//! |---|---|
//! | is every acknowledged record there, once, in order? | intervals of sequences per lane: acked, failed, unknown, and seen by each reader. A lane in good order is one interval |
//! | is it where its ack said? | acks wait for the first reader that gets the record, and reads for their acks. Those that wait too long are compared in sums instead |
//! | did all readers get the same? | a sum per block of 65,536 offsets, which a reading a week later is compared with as well |

mod blocks;
mod compare;
mod findings;
mod finish;
mod folded;
mod input;
mod intervals;
mod judge;
mod lane;
mod leave;
mod outcomes;
mod reader;
mod record;
mod replay;
mod sight;
mod verdict;
mod waiting;

#[cfg(test)]
mod tests;

pub use input::{Place, ReaderId, Record, Settings, Start};
pub use judge::PartitionJudge;
pub use record::{LaneRecord, PartitionRecord, RecordError};
pub use replay::replay;
pub use verdict::{Counts, Found, Kind, Verdict};
