//! What the command came to.

use std::time::Duration;

use eagre_client::SendError;

use super::{acks::Tally, intake::Skipped};
use crate::{failure::Failure, place::Place};

/// All that is known at the end.
pub struct Summary {
    /// What the input is called.
    pub input: String,
    /// Taken.
    pub lines: u64,
    /// Of which no record was made.
    pub skipped: Skipped,
    /// What became of the others.
    pub tally: Tally,
    /// Where acknowledgements went.
    pub acks_to: Option<String>,
}

impl Summary {
    /// `None`: every line was acknowledged.
    pub fn failure(self, topic: &str, delivery_timeout: Duration) -> Option<Failure> {
        if let Some(error) = self.tally.write_error {
            let acks_to = self.acks_to.unwrap_or_default();
            let what = format!("cannot write to {acks_to}: {error}; records were sent up to line {}", self.lines);
            return Some(Failure::new(what).help("has the disk room? `eagre consume` shows what was appended"));
        }
        let missing = self.lines - self.tally.acked;
        if missing == 0 {
            return None;
        }
        let failed = self.tally.first_failure.map(|(line, error)| {
            let hint = advice(&error, topic, delivery_timeout);
            (line, error.to_string(), hint)
        });
        let left_out = left_out(&self.skipped);
        let skipped = self.skipped.first.into_iter().next();
        let skipped = skipped.map(|skipped| (skipped.line, skipped.why, skipped.hint.to_owned()));
        let (line, why, hint) = match (failed, skipped) {
            (Some(failed), Some(skipped)) if skipped.0 < failed.0 => skipped,
            (Some(first), _) | (None, Some(first)) => first,
            (None, None) => (0, "the producer ended".to_owned(), "this is a bug of eagre: please report it".to_owned()),
        };
        let unknown = if self.tally.has_unknown { " (some of them may have been appended)" } else { "" };
        let records = if self.lines == 1 { "record" } else { "records" };
        let (were, first) = if missing == 1 { ("was", "") } else { ("were", "the first ") };
        let what = format!(
            "{missing} of {} {records} {were} not acknowledged{unknown}, {first}at line {line}: {why}",
            self.lines
        );
        let place = (line > 0).then(|| Place::line_of(&self.input, line));
        let failure = Failure::new(what).at(place).help(hint);
        Some(left_out.into_iter().fold(failure, Failure::note))
    }
}

/// Names the first few lines that were left out and counts the others.
fn left_out(skipped: &Skipped) -> Option<String> {
    let mut lines = skipped.first.iter().map(|skipped| skipped.line.to_string()).collect::<Vec<_>>();
    let more = skipped.count - lines.len() as u64;
    if more > 0 {
        lines.push(format!("{more} more"));
    }
    let last = lines.pop()?;
    Some(match (lines.as_slice(), more) {
        ([], _) => format!("line {last} was left out"),
        (others, _) => format!("lines {} and {last} were left out", others.join(", ")),
    })
}

/// What to do about a record that was not acknowledged.
fn advice(error: &SendError, topic: &str, delivery_timeout: Duration) -> String {
    match error {
        SendError::UnknownTopic(_) | SendError::UnknownPartition { .. } => {
            format!("was the topic deleted meanwhile? see `eagre topic describe {topic}`")
        }
        SendError::Expired(_) | SendError::OutcomeUnknown(_) => {
            let timeout = humantime::format_duration(delivery_timeout);
            format!(
                "is the service running, and has its bucket room? --delivery-timeout ({timeout}) says how long to keep trying"
            )
        }
        SendError::TooLarge(_) | SendError::Refused(_) => {
            "mend it and begin again with its line: nothing after it was sent".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::intake::SkippedLine, *};
    use crate::report::{Level, rendered};

    fn told(lines: u64, acked: u64, skipped: &[u64], skipped_count: u64, failed: Option<(u64, SendError)>) -> String {
        let first = skipped.iter().map(|&line| SkippedLine { line, why: "it has no field".into(), hint: "mend it" });
        let summary = Summary {
            input: "stdin".into(),
            lines,
            skipped: Skipped { count: skipped_count, first: first.collect() },
            tally: Tally { acked, first_failure: failed, ..Tally::default() },
            acks_to: None,
        };
        rendered(Level::Error, &summary.failure("orders", Duration::from_secs(120)).unwrap(), false)
    }

    #[test]
    fn lines_that_were_left_out_are_named_and_counted() {
        let expected = "\
error: 1 of 2 records was not acknowledged, at line 2: it has no field
 --> stdin:2
  = note: line 2 was left out
  = help: mend it";
        assert_eq!(told(2, 1, &[2], 1, None), expected);
        let expected = "\
error: 9 of 20 records were not acknowledged, the first at line 2: it has no field
 --> stdin:2
  = note: lines 2, 3, 5, 7, 11 and 4 more were left out
  = help: mend it";
        assert_eq!(told(20, 11, &[2, 3, 5, 7, 11], 9, None), expected);
        assert!(told(3, 1, &[1, 3], 2, None).contains("lines 1 and 3 were left out"));
    }

    #[test]
    fn what_comes_first_is_told_first() {
        let expected = "\
error: 3 of 4 records were not acknowledged, the first at line 1: not delivered in time: cannot reach http://here
 --> stdin:1
  = note: line 3 was left out
  = help: is the service running, and has its bucket room? --delivery-timeout (2m) says how long to keep trying";
        let expired = SendError::Expired("cannot reach http://here".into());
        assert_eq!(told(4, 1, &[3], 1, Some((1, expired))), expected);
    }
}
