//! Which producer ids there are, and which of them may begin to write.
//!
//! Ids are given out in ascending order. An id that was never given out is nobody's. And of an id below a mark the state
//! may have been forgotten, here or elsewhere: where nothing is known of it, a batch that looks like its first one may be
//! one that was appended long ago and comes again. So such an id never begins anew; a new one can. Both numbers are
//! durable before anything rests on them: the first before an id is given away, the second together with the deletion
//! of the states that it covers.

use eagre_model::ProducerId;
use eagre_sequencer_api::RefusalReason;

use super::Rules;

/// The lowest id that is ever given out: what a client leaves out of a message is 0.
pub const FIRST_PRODUCER_ID: u64 = 1;

/// The tentative view of producer ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIds {
    /// The lowest id that was not given out.
    pub unissued_from: u64,
    /// The state of lower ids may have been forgotten; that of others never was.
    pub forgotten_below: u64,
}

impl ProducerIds {
    /// Why a producer may not append where it is known or not; `None`: its sequence decides.
    pub(super) fn objection(self, id: ProducerId, is_known: bool, rules: Rules) -> Option<RefusalReason> {
        // Negative ones were refused before.
        let id = u64::try_from(id.0).unwrap_or(u64::MAX);
        let is_issued = (FIRST_PRODUCER_ID..self.unissued_from).contains(&id);
        if !is_issued && !rules.unissued_id_accepted {
            return Some(RefusalReason::UnissuedProducerId);
        }
        let is_forgotten = !is_known && id < self.forgotten_below && !rules.forgotten_producer_begins;
        is_forgotten.then_some(RefusalReason::UnknownProducerId)
    }

    /// The state of a producer is about to be forgotten.
    pub fn forget(&mut self, id: ProducerId) {
        self.forgotten_below = self.forgotten_below.max(u64::try_from(id.0).unwrap_or(0).saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: ProducerIds = ProducerIds { unissued_from: 20, forgotten_below: 10 };

    fn objection(id: i64, is_known: bool) -> Option<RefusalReason> {
        IDS.objection(ProducerId(id), is_known, Rules::default())
    }

    #[test]
    fn an_id_that_nobody_was_given_is_refused_whatever_is_known() {
        for id in [0, 20, 21, i64::MAX, -1] {
            for is_known in [false, true] {
                assert_eq!(objection(id, is_known), Some(RefusalReason::UnissuedProducerId), "{id}");
            }
        }
        assert_eq!((objection(1, true), objection(19, false)), (None, None));
    }

    #[test]
    fn an_id_below_the_mark_goes_on_where_it_is_known_and_begins_nowhere() {
        for id in [1, 9] {
            assert_eq!((objection(id, true), objection(id, false)), (None, Some(RefusalReason::UnknownProducerId)));
        }
        assert_eq!(objection(10, false), None);
    }

    #[test]
    fn the_mark_only_rises() {
        let mut ids = IDS;
        ids.forget(ProducerId(3));
        assert_eq!(ids, IDS);
        ids.forget(ProducerId(12));
        assert_eq!(ids.forgotten_below, 13);
    }
}
