//! Where a number stands in its producer's order: the same rule for batches of a partition and requests of a topic.

use eagre_model::{ProducerEpoch, batch::advance_sequence};
use eagre_sequencer_api::{ProducerSequence, RefusalReason};

use super::{ProducerIds, Rules};

/// Half of the sequence space: what is less than this ahead lies ahead, all else behind.
const HALF_OF_SEQUENCES: u32 = 1 << 30;
const LAST_SEQUENCE: u32 = i32::MAX as u32;

/// Something that was appended under a producer's numbers.
pub(super) trait Numbered {
    /// Sequences of its first and its last record.
    fn sequences(&self) -> (i32, i32);
}

/// What a number says about what carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is the one that follows.
    Next,
    /// It was appended before; its place in the window.
    Known(usize),
    /// It may not be appended.
    Refused(RefusalReason),
}

/// Holds a number against the newest epoch that has appended and the window of that epoch, oldest first; where nothing is
/// known of the producer, against what may be known of it.
pub(super) fn standing<T: Numbered>(
    current: Option<ProducerEpoch>,
    window: &[T],
    sequence: ProducerSequence,
    last_sequence: i32,
    ids: ProducerIds,
    rules: Rules,
) -> Standing {
    if let Some(reason) = ids.objection(sequence.id, current.is_some(), rules) {
        return Standing::Refused(reason);
    }
    let first_sequence = sequence.first_sequence;
    if let Some(current) = current.filter(|current| sequence.epoch < *current) {
        let fenced = Standing::Refused(RefusalReason::ProducerFenced { current });
        return if rules.old_epoch_accepted { Standing::Next } else { fenced };
    }
    if current != Some(sequence.epoch) {
        let begins = first_sequence == 0 || (current.is_none() && rules.unknown_producer_continues);
        let out_of_order = Standing::Refused(RefusalReason::OutOfOrderSequence { expected: 0 });
        return if begins { Standing::Next } else { out_of_order };
    }
    if let Some(place) = window.iter().rposition(|known| known.sequences() == (first_sequence, last_sequence)) {
        return Standing::Known(place);
    }
    let expected = window.last().map_or(0, |last| advance_sequence(last.sequences().1, 1));
    if first_sequence == expected {
        return Standing::Next;
    }
    let before_the_window = window.first().is_some_and(|oldest| lies_ahead(first_sequence, oldest.sequences().0));
    if before_the_window && !lies_ahead(expected, first_sequence) {
        return Standing::Refused(RefusalReason::SequenceTooOld);
    }
    Standing::Refused(RefusalReason::OutOfOrderSequence { expected })
}

/// Whether `to` comes after `from`, counting modulo 2^31.
fn lies_ahead(from: i32, to: i32) -> bool {
    let distance = to.wrapping_sub(from).cast_unsigned() & LAST_SEQUENCE;
    (1..HALF_OF_SEQUENCES).contains(&distance)
}
