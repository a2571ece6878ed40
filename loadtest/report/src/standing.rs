//! What a run came to, in the words and classes that every page uses.

use crate::{
    format::counted,
    result::{Outcome, RunResult},
};

/// The verdict, read so that nothing worse in the result stays hidden behind it.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Never better than what the findings and bounds say.
    pub outcome: Outcome,
    /// It did not run to its end, whatever else it came to.
    pub partial: bool,
    /// Kinds that were looked for.
    pub kinds: usize,
    /// Kinds that were found.
    pub kinds_found: usize,
}

impl Standing {
    /// Of a run.
    pub fn of(result: &RunResult) -> Self {
        let findings = &result.checks.findings;
        let kinds_found = findings.iter().filter(|finding| finding.count > 0).count();
        let bound_broken = result.bounds.iter().any(|bound| !bound.held);
        let outcome = match result.verdict.outcome {
            _ if kinds_found > 0 => Outcome::Incorrect,
            Outcome::Passed if bound_broken => Outcome::BoundBroken,
            stated => stated,
        };
        Self {
            outcome,
            partial: result.verdict.outcome == Outcome::Partial
                || result.events.iter().any(|event| event.kind == "interrupt"),
            kinds: findings.len(),
            kinds_found,
        }
    }

    /// A word or two.
    pub fn word(self) -> &'static str {
        match self.outcome {
            Outcome::Passed => "Passed",
            Outcome::BoundBroken => "Bound broken",
            Outcome::Incorrect => "Incorrect",
            Outcome::Partial => "Partial",
        }
    }

    /// [`Self::word`], and that the run was interrupted where that is not the word itself.
    pub fn words(self) -> String {
        let also = if self.partial && self.outcome != Outcome::Partial { ", partial run" } else { "" };
        format!("{}{also}", self.word())
    }

    /// The class of the page and of whatever shows the verdict.
    pub fn class(self) -> &'static str {
        match self.outcome {
            Outcome::Passed => "passed",
            Outcome::BoundBroken => "broken",
            Outcome::Incorrect => "incorrect",
            Outcome::Partial => "partial",
        }
    }

    /// A run that lost records or was cut short is no rival of one that did its work.
    pub fn can_be_ranked(self) -> bool {
        !self.partial && matches!(self.outcome, Outcome::Passed | Outcome::BoundBroken)
    }

    /// What the checks found, in one sentence.
    pub fn checked(self, result: &RunResult) -> String {
        let records = counted(result.checks.acked, "acknowledged record", "acknowledged records");
        if self.kinds == 0 {
            return format!("Nothing was checked in {records}.");
        }
        if result.checks.read == 0 && self.kinds_found == 0 {
            return format!("Nobody read the {records}: only what was said of them was judged.");
        }
        let kinds = counted(self.kinds as u64, "kind of error", "kinds of error");
        if self.kinds_found == 0 {
            return format!("{kinds} looked for in {records}, none found.");
        }
        let found = result.checks.findings.iter().filter(|finding| finding.count > 0);
        let found = found.map(|finding| format!("{} {}", crate::format::count(finding.count), words_of(&finding.kind)));
        format!("{kinds} looked for in {records}, found: {}.", found.collect::<Vec<_>>().join(", "))
    }
}

/// A kind of finding or event as words.
pub fn words_of(kind: &str) -> String {
    kind.replace('_', " ")
}
