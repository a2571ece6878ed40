//! Which commits a gateway will never ask for again: their records may go.
//!
//! The record of an object with live runs stays as long as these. Inline commits are many and small and leave no object,
//! so each of their records may go as soon as its gateway has the answer, which the gateway says with its later commits. They stand in a
//! ring of so many places that this frees the place of a later one. Where a gateway has more under way than that, the record stands where
//! those of objects do, and is deleted. A
//! commit that comes after that can only be an old copy of one that was answered: it is refused, never judged again. This
//! is known for the present term alone, and that is enough: streams end with their term, and so do the copies in them.

use std::collections::{BTreeMap, VecDeque};

use eagre_metadata::rows::INLINE_RECORDS;
use eagre_model::ObjectId;

/// Gateways that are remembered; more have no open stream.
const GATEWAYS_MAX: usize = 4_096;
/// Inline commits of one gateway that are not settled: more than it may have under way.
const UNSETTLED_MAX: usize = 1_024;

/// What gateways have said in this term.
#[derive(Debug, Default)]
pub struct Settled(BTreeMap<u64, Gateway>);

#[derive(Debug, Default)]
struct Gateway {
    below: u64,
    /// Its inline commits that have records outside of the ring, in the order in which they came.
    records: VecDeque<ObjectId>,
}

impl Settled {
    /// Takes note of what a commit says of those before it, and returns the records that may go.
    pub fn note(&mut self, incarnation: u64, below: u64) -> Vec<ObjectId> {
        let gateway = self.gateway(incarnation);
        gateway.below = gateway.below.max(below);
        let below = gateway.below;
        let (settled, open) = gateway.records.drain(..).partition(|object| object.number < below);
        gateway.records = open;
        Vec::from(settled)
    }

    /// Whether a commit is an old copy of one that was answered.
    pub fn is_settled(&self, object: ObjectId) -> bool {
        self.0.get(&object.incarnation).is_some_and(|gateway| object.number < gateway.below)
    }

    /// Whether the place of an inline commit's record in the ring is free: whichever record was there, its gateway has the answer.
    pub fn has_place(&self, object: ObjectId) -> bool {
        let below = self.0.get(&object.incarnation).map_or(0, |gateway| gateway.below);
        object.number < below.saturating_add(INLINE_RECORDS)
    }

    /// An inline commit has a record that is not in the ring. Beyond the bound records stay for good.
    pub fn add(&mut self, object: ObjectId) {
        let gateway = self.gateway(object.incarnation);
        if gateway.records.contains(&object) {
            return;
        }
        if gateway.records.len() >= UNSETTLED_MAX {
            gateway.records.pop_front();
        }
        gateway.records.push_back(object);
    }

    fn gateway(&mut self, incarnation: u64) -> &mut Gateway {
        if self.0.len() >= GATEWAYS_MAX && !self.0.contains_key(&incarnation) {
            // The oldest incarnation is the likeliest to be gone.
            self.0.pop_first();
        }
        self.0.entry(incarnation).or_default()
    }
}

#[cfg(test)]
mod tests {
    use eagre_model::UploadEpoch;

    use super::*;

    fn object(incarnation: u64, number: u64) -> ObjectId {
        ObjectId { epoch: UploadEpoch(1), incarnation, number }
    }

    #[test]
    fn records_go_when_their_gateway_says_so() {
        let mut settled = Settled::default();
        for number in [3, 5, 7] {
            assert!(!settled.is_settled(object(1, number)));
            settled.add(object(1, number));
        }
        settled.add(object(2, 3));
        assert_eq!(settled.note(1, 7), [object(1, 3), object(1, 5)]);
        assert_eq!(settled.note(1, 7), []);
        assert_eq!(settled.note(1, 4), [], "a request that was made before");
        assert!(settled.is_settled(object(1, 6)) && !settled.is_settled(object(1, 7)));
        assert!(!settled.is_settled(object(2, 0)), "of another gateway");
        assert_eq!(settled.note(1, 9), [object(1, 7)]);
    }

    #[test]
    fn a_place_is_free_when_nothing_can_stand_there_any_more() {
        let mut settled = Settled::default();
        assert!(settled.has_place(object(1, INLINE_RECORDS - 1)) && !settled.has_place(object(1, INLINE_RECORDS)));
        settled.note(1, 5);
        assert!(settled.has_place(object(1, INLINE_RECORDS + 4)) && !settled.has_place(object(1, INLINE_RECORDS + 5)));
        assert!(!settled.has_place(object(2, INLINE_RECORDS + 4)), "of another gateway");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut settled = Settled::default();
        for number in 0..2 * UNSETTLED_MAX as u64 {
            settled.add(object(0, number));
        }
        assert_eq!(settled.note(0, u64::MAX).len(), UNSETTLED_MAX);
        for incarnation in 0..2 * GATEWAYS_MAX as u64 {
            settled.note(incarnation, 1);
        }
        assert_eq!(settled.0.len(), GATEWAYS_MAX);
    }
}
