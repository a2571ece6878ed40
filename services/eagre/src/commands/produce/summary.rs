//! What the command came to.

use std::time::Duration;

use eagre_client::SendError;

use super::{acks::Tally, intake::Skipped};
use crate::failure::Failure;

/// All that is known at the end.
pub struct Summary {
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
            return Some(Failure::new(format!(
                "cannot write to {acks_to}: {error}; records were sent up to line {}",
                self.lines
            )));
        }
        let missing = self.lines - self.tally.acked;
        if missing == 0 {
            return None;
        }
        let failed = self.tally.first_failure.map(|(line, error)| {
            let hint = advice(&error, topic, delivery_timeout);
            (line, error.to_string(), hint)
        });
        let skipped = self.skipped.first.map(|skipped| (skipped.line, skipped.why, skipped.hint.to_owned()));
        let (line, why, hint) = match (failed, skipped) {
            (Some(failed), Some(skipped)) if skipped.0 < failed.0 => skipped,
            (Some(first), _) | (None, Some(first)) => first,
            (None, None) => (0, "the producer ended".to_owned(), "this is a bug of eagre: please report it".to_owned()),
        };
        let unknown = if self.tally.has_unknown { " (some of them may have been appended)" } else { "" };
        let what = format!(
            "{missing} of {} records were not acknowledged{unknown}, the first at line {line}: {why}",
            self.lines
        );
        Some(Failure::new(what).hint(hint))
    }
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
        SendError::TooLarge(_) | SendError::Refused(_) => "nothing after it was sent".to_owned(),
    }
}
