//! Which commits are new for sure: a look at the store for the record of each would cost a commit its reads.
//!
//! A gateway numbers its objects, so what it commits for the first time lies above all that it has committed, and only what comes again
//! does not. What it had committed before this term is found out once.

use std::collections::BTreeMap;

use eagre_metadata::{
    MetadataStore, ReadError,
    rows::{InlinePlace, InlineRecord, Object, ObjectStream},
};
use eagre_model::ObjectId;

/// Streams that are remembered; of one that is forgotten the store is asked again.
const STREAMS_MAX: usize = 4_096;
/// A gateway has fewer commits under way. Where there are more records, all are looked up.
const RECORDS_MAX: usize = 256;

/// The highest number of each stream that was committed, or may have been.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<ObjectStream, u64>);

impl Seen {
    /// Whether it is known what a stream committed before this term.
    pub fn knows(&self, stream: &ObjectStream) -> bool {
        self.0.contains_key(stream)
    }

    /// Takes note of what a stream had committed before.
    pub fn begin(&mut self, stream: ObjectStream, highest: u64) {
        if self.0.len() >= STREAMS_MAX {
            // The oldest gateway is the likeliest to be gone.
            self.0.pop_first();
        }
        self.0.insert(stream, highest);
    }

    /// Whether a commit may have a record; takes note that it has one from now on.
    pub fn may_have_record(&mut self, object: ObjectId) -> bool {
        match self.0.get_mut(&ObjectStream::of(object)) {
            Some(highest) if object.number > *highest => {
                *highest = object.number;
                false
            }
            _ => true,
        }
    }
}

/// The highest number of a stream, from this object's on, that has a record. This one's if none has.
pub async fn highest_recorded(store: &MetadataStore, from: ObjectId) -> Result<u64, ReadError> {
    let stream = ObjectStream::of(from);
    let records = store.scan::<Object>(from..=stream.object(u64::MAX), RECORDS_MAX).await?;
    if records.len() >= RECORDS_MAX {
        return Ok(u64::MAX);
    }
    let ring = InlinePlace { stream, place: 0 }..=InlinePlace { stream, place: u8::MAX };
    let inline = store.scan::<InlineRecord>(ring, RECORDS_MAX).await?;
    let numbers = records.iter().map(|(object, _)| object.number).chain(inline.iter().map(|(_, row)| row.number));
    Ok(numbers.max().unwrap_or(0).max(from.number))
}

#[cfg(test)]
mod tests {
    use eagre_model::UploadEpoch;

    use super::*;

    #[test]
    fn only_what_lies_above_all_that_came_is_new() {
        let stream = |incarnation| ObjectStream { epoch: UploadEpoch(1), incarnation };
        let mut seen = Seen::default();
        assert!(!seen.knows(&stream(1)) && seen.may_have_record(stream(1).object(9)));
        seen.begin(stream(1), 5);
        assert!(seen.knows(&stream(1)) && !seen.knows(&stream(2)));
        assert!(seen.may_have_record(stream(1).object(4)) && seen.may_have_record(stream(1).object(5)));
        assert!(!seen.may_have_record(stream(1).object(7)), "above what was committed before");
        assert!(seen.may_have_record(stream(1).object(7)) && seen.may_have_record(stream(1).object(6)));
        assert!(!seen.may_have_record(stream(1).object(8)));
        seen.begin(stream(2), u64::MAX);
        assert!(seen.may_have_record(stream(2).object(1)), "too many to say");
        for incarnation in 0..2 * STREAMS_MAX as u64 {
            seen.begin(stream(incarnation), 0);
        }
        assert_eq!(seen.0.len(), STREAMS_MAX);
    }
}
