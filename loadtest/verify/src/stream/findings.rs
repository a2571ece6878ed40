//! Collects what is found.

use super::{Kind, Place, Verdict};

/// Sentences about what was not checked, per partition.
const UNCHECKED_MAX: usize = 100;

/// A verdict that grows.
#[derive(Debug)]
pub(super) struct Findings {
    pub place: Place,
    pub examples_max: usize,
    pub verdict: Verdict,
}

impl Findings {
    pub fn new(place: Place, examples_max: usize) -> Self {
        Self { place, examples_max, verdict: Verdict::default() }
    }

    /// Counts a finding; the sentence is made only where it is kept.
    #[cold]
    pub fn note(&mut self, kind: Kind, count: u64, sentence: impl FnOnce() -> String) {
        if count == 0 {
            return;
        }
        let found = self.verdict.findings.entry(kind).or_default();
        found.count += count;
        if found.examples.len() < self.examples_max {
            found.examples.push(format!("{}: {}", self.place, sentence()));
        }
    }

    /// Says once that something is not checked.
    #[cold]
    pub fn unchecked(&mut self, sentence: &str) {
        let sentence = format!("{}: {sentence}", self.place);
        if self.verdict.unchecked.len() < UNCHECKED_MAX && !self.verdict.unchecked.contains(&sentence) {
            self.verdict.unchecked.push(sentence);
        }
    }

    pub fn heap_bytes(&self) -> usize {
        let examples = self.verdict.findings.values().flat_map(|found| &found.examples);
        let unchecked = self.verdict.unchecked.iter();
        examples.chain(unchecked).map(|sentence| size_of::<String>() + sentence.capacity()).sum()
    }
}

/// `record 7`, or `records 7 to 9`.
pub(super) fn records(from: u64, to: u64) -> String {
    if to - from == 1 { format!("record {from}") } else { format!("records {from} to {}", to - 1) }
}

/// `offset 7`, or `offsets 7 to 9`.
pub(super) fn offsets(from: i64, to: i64) -> String {
    if to - from == 1 { format!("offset {from}") } else { format!("offsets {from} to {}", to - 1) }
}

/// `12.345 s`.
pub(super) fn seconds(at_ns: u64) -> String {
    format!("{}.{:03} s", at_ns / 1_000_000_000, at_ns % 1_000_000_000 / 1_000_000)
}
