//! The object that says that a bucket has passed its races, so that they are run once and not at each start.
//!
//! The number in `format` is never given another meaning. Every later version reads `format` and `verdict` of every record,
//! whatever else it holds.

use eagre_env::Env;
use serde::{Deserialize, Serialize};

use super::{Outcome, Plan, Report, UPDATE_RACES, WRITERS};

/// Key of the record, beside the marker.
pub const RECORD_KEY: &str = "eagre-check.json";

/// Longer records are not read.
pub(crate) const RECORD_BYTES_MAX: u64 = 64 * 1024;

const FORMAT: u32 = 1;

/// The only verdict that is kept: a store that failed is asked again at the next start, after it was mended.
const RIGHT: &str = "right";

/// What the races of a bucket came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    verdict: String,
    /// Version of the program that ran them.
    #[serde(default)]
    checked_by: String,
    /// When, in milliseconds since the Unix epoch.
    #[serde(default)]
    checked_at_ms: i64,
    /// Keys that were raced for.
    #[serde(default)]
    create_races: usize,
    /// Writers that raced for each.
    #[serde(default)]
    writers: usize,
    /// Whether a conditional overwrite had one winner each time.
    #[serde(default)]
    has_conditional_overwrite: bool,
}

impl Record {
    /// Of races without a fatal finding.
    pub(crate) fn new(env: &Env, plan: &Plan, report: &Report) -> Self {
        Self {
            format: FORMAT,
            verdict: RIGHT.into(),
            checked_by: env!("CARGO_PKG_VERSION").into(),
            checked_at_ms: env.clock.unix_ms(),
            create_races: plan.create_races,
            writers: WRITERS,
            has_conditional_overwrite: report.outcome(UPDATE_RACES) == Some(&Outcome::Right),
        }
    }

    /// The bytes to store: one line of JSON.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("numbers and strings are always JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Reads stored bytes; `None`: they are no record of races that were passed, so they are run again.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        (record.format >= FORMAT && record.verdict == RIGHT).then_some(record)
    }

    /// Whether the bucket replaces an object only when it is still the one that was read.
    pub fn has_conditional_overwrite(&self) -> bool {
        self.has_conditional_overwrite
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &[u8] = br#"{"format":1,"verdict":"right","checked_by":"0.1.0","checked_at_ms":1790000000000,"create_races":64,"writers":8,"has_conditional_overwrite":true}
"#;

    #[test]
    fn golden_both_ways() {
        let record = Record {
            format: 1,
            verdict: "right".into(),
            checked_by: "0.1.0".into(),
            checked_at_ms: 1_790_000_000_000,
            create_races: 64,
            writers: 8,
            has_conditional_overwrite: true,
        };
        assert_eq!(record.encode(), GOLDEN);
        assert_eq!(Record::decode(GOLDEN), Some(record));
    }

    #[test]
    fn a_later_format_counts_by_its_verdict() {
        let later = br#"{"format":7,"verdict":"right","shape":{"unheard":"of"}}"#;
        assert!(!Record::decode(later).unwrap().has_conditional_overwrite());
        assert_eq!(Record::decode(br#"{"format":7,"verdict":"wrong"}"#), None);
    }

    #[test]
    fn nothing_else_counts() {
        for length in 0..GOLDEN.len() - 2 {
            assert_eq!(Record::decode(&GOLDEN[..length]), None, "{length}");
        }
        for bytes in [&b"null"[..], b"{}", b"[]", b"\xff", br#"{"format":0,"verdict":"right"}"#, br#"{"format":1}"#] {
            assert_eq!(Record::decode(bytes), None);
        }
    }
}
