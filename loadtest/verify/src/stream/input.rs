//! What the caller tells a judge.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bounds and rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Stretches of acks and of reads that wait for each other, per partition. Beyond it the oldest are compared in a
    /// sum.
    pub pending_max: usize,
    /// Examples kept of each kind of finding.
    pub examples_max: usize,
    /// Offsets may have gaps, as those of a transactional log do. Records may not: one that compaction has taken away
    /// is lost.
    pub gaps: bool,
}

/// Which log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Its topic.
    pub topic: String,
    /// From 0.
    pub partition: u32,
}

/// A reader of one judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReaderId(pub(super) usize);

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At offset 0. Where the log begins later, [`super::PartitionJudge::reposition`] says so.
    Earliest,
    /// Wherever it is let in; only what follows is judged.
    Anywhere,
}

/// What a reader found at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// A record of this run, whole.
    Sound {
        /// Its lane.
        producer: u32,
        /// Its place there, from 0.
        sequence: u64,
    },
    /// Bytes that cannot be what was sent; how that shows, in a few words.
    Corrupt(&'static str),
    /// A sound stamp of another run.
    Foreign,
}

impl Default for Settings {
    fn default() -> Self {
        Self { pending_max: 65_536, examples_max: 10, gaps: false }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}
