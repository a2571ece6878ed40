//! What a judge found.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// Examples of a kind that verdicts keep when they are merged.
const EXAMPLES_KEPT: usize = 10;
/// Sentences about what was not checked that verdicts keep when they are merged.
const UNCHECKED_KEPT: usize = 1_000;

/// What can be wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Acknowledged, and no reader found it.
    Lost,
    /// One record stands at two offsets, or was acknowledged at two.
    Duplicated,
    /// A reader got a producer's record after a later one of the same producer.
    Reordered,
    /// A record stands at another offset than its ack said.
    WrongOffset,
    /// Offsets that no record has.
    Gap,
    /// A reader got an offset at or below the one before without having asked for it.
    WentBack,
    /// Bytes that nobody sent.
    Corrupted,
    /// A record of another run.
    Foreign,
    /// A reader got a record whose append had definitely failed.
    VisibleThoughFailed,
    /// One reader was not given a record that the log has.
    Skipped,
    /// Two readers got different records at the same offsets.
    ReadersDisagree,
    /// A record with a sound stamp that its producer never sent.
    NeverSent,
}

/// One kind of finding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Records, once for each reader that came upon them; for [`Kind::Gap`] offsets, for [`Kind::ReadersDisagree`]
    /// blocks of offsets, for a [`Kind::WrongOffset`] that shows in a sum the sums.
    pub count: u64,
    /// The first few, a sentence each.
    pub examples: Vec<String>,
}

/// What was looked at, in records where nothing else is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Acknowledged.
    pub acked: u64,
    /// Read, by all readers together.
    pub read: u64,
    /// Definitely not appended.
    pub failed: u64,
    /// Of unknown outcome, and seen by a reader.
    pub unknown_visible: u64,
    /// Of unknown outcome, and not seen.
    pub unknown_absent: u64,
    /// Acks whose offset was compared with the reader's one by one.
    pub offsets_compared: u64,
    /// Acks whose offset was compared with the reader's in a sum.
    pub offsets_by_digest: u64,
    /// Blocks of 65,536 offsets, or beginnings of such, of which two readings were compared.
    pub blocks_compared: u64,
}

/// What a judge found, of one partition or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What is wrong. Empty: nothing.
    pub findings: BTreeMap<Kind, Found>,
    /// What was looked at.
    pub counts: Counts,
    /// What could not be checked, a sentence each.
    pub unchecked: Vec<String>,
}

impl Kind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 12] = [
        Self::Lost,
        Self::Duplicated,
        Self::Reordered,
        Self::WrongOffset,
        Self::Gap,
        Self::WentBack,
        Self::Corrupted,
        Self::Foreign,
        Self::VisibleThoughFailed,
        Self::Skipped,
        Self::ReadersDisagree,
        Self::NeverSent,
    ];

    /// As it is called in files: snake case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::Reordered => "reordered",
            Self::WrongOffset => "wrong_offset",
            Self::Gap => "gap",
            Self::WentBack => "went_back",
            Self::Corrupted => "corrupted",
            Self::Foreign => "foreign",
            Self::VisibleThoughFailed => "visible_though_failed",
            Self::Skipped => "skipped",
            Self::ReadersDisagree => "readers_disagree",
            Self::NeverSent => "never_sent",
        }
    }

    /// What it means, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Lost => "acknowledged, and no reader found it",
            Self::Duplicated => "one record at two offsets",
            Self::Reordered => "after a later record of the same producer",
            Self::WrongOffset => "at another offset than its ack said",
            Self::Gap => "offsets without a record",
            Self::WentBack => "a reader got an offset again without asking",
            Self::Corrupted => "bytes that nobody sent",
            Self::Foreign => "a record of another run",
            Self::VisibleThoughFailed => "read though its append had definitely failed",
            Self::Skipped => "in the log, but not given to one of the readers",
            Self::ReadersDisagree => "readers got different records at the same offsets",
            Self::NeverSent => "its producer never sent it",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Verdict {
    /// Whether nothing was found. What is in [`Verdict::unchecked`] does not count.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds another partition's. Of each kind as many examples are kept as the one with more of them has, and at least
    /// ten.
    pub fn merge(&mut self, other: Self) {
        for (kind, theirs) in other.findings {
            let ours = self.findings.entry(kind).or_default();
            let kept = ours.examples.len().max(theirs.examples.len()).max(EXAMPLES_KEPT);
            ours.count += theirs.count;
            ours.examples.extend(theirs.examples);
            ours.examples.truncate(kept);
        }
        self.counts.add(&other.counts);
        self.unchecked.extend(other.unchecked);
        self.unchecked.truncate(UNCHECKED_KEPT);
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.acked += other.acked;
        self.read += other.read;
        self.failed += other.failed;
        self.unknown_visible += other.unknown_visible;
        self.unknown_absent += other.unknown_absent;
        self.offsets_compared += other.offsets_compared;
        self.offsets_by_digest += other.offsets_by_digest;
        self.blocks_compared += other.blocks_compared;
    }
}
