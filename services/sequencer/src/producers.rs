//! The states of producers that are held in memory: a bounded cache over rows of the store.

use std::hash::Hash;

use eagre_env::HashMap;
use eagre_metadata::rows::{ProducerKey, TopicProducerKey};

use crate::judge::{ProducerState, request::TopicProducerState};

/// Those that number their requests per topic.
pub type TopicProducers = Producers<TopicProducerKey, TopicProducerState>;

/// Two generations. What is used moves to the young one; when that is full it becomes the old one and the old one goes.
#[derive(Debug)]
pub struct Producers<K = ProducerKey, S = ProducerState> {
    young: HashMap<K, S>,
    old: HashMap<K, S>,
    generation_max: usize,
}

impl<K: Copy + Eq + Hash, S: Default> Producers<K, S> {
    /// Holds between `entries_max / 2` and `entries_max` producers, and for the time of a group all that it needs.
    pub fn new(entries_max: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), generation_max: (entries_max / 2).max(1) }
    }

    /// Whether the state is here; marks it as used, so that it stays until the next [`Self::shrink`].
    pub fn touch(&mut self, key: &K) -> bool {
        if self.young.contains_key(key) {
            return true;
        }
        match self.old.remove(key) {
            Some(state) => {
                self.young.insert(*key, state);
                true
            }
            None => false,
        }
    }

    /// Puts in what the store holds.
    pub fn insert(&mut self, key: K, state: S) {
        self.old.remove(&key);
        self.young.insert(key, state);
    }

    /// The state; one that was never put in is unknown.
    pub fn entry(&mut self, key: K) -> &mut S {
        let moved = self.old.remove(&key);
        self.young.entry(key).or_insert_with(|| moved.unwrap_or_default())
    }

    /// The state, if it is here.
    pub fn get(&self, key: &K) -> Option<&S> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Drops what was not used for long. Called between groups: within one, everything it touched must stay.
    pub fn shrink(&mut self) {
        if self.young.len() >= self.generation_max {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use eagre_model::{ProducerEpoch, ProducerId, TopicNumber, TopicPartition};

    use super::*;

    fn key(id: i64) -> ProducerKey {
        ProducerKey { partition: TopicPartition { topic: TopicNumber(1), partition: 0 }, producer: ProducerId(id) }
    }

    fn known(epoch: i16) -> ProducerState {
        ProducerState { epoch: Some(ProducerEpoch(epoch)), ..ProducerState::UNKNOWN }
    }

    #[test]
    fn the_number_is_bounded_and_what_is_used_stays() {
        let mut producers = Producers::new(20);
        producers.insert(key(-1), known(7));
        for id in 0..1_000 {
            assert!(producers.touch(&key(-1)), "it is used all the time");
            producers.insert(key(id), known(0));
            producers.shrink();
            assert!(producers.len() <= 20, "{}", producers.len());
        }
        assert!(!producers.touch(&key(0)));
        assert_eq!(producers.get(&key(-1)), Some(&known(7)));
    }

    #[test]
    fn a_state_that_was_put_in_replaces_an_older_one() {
        let mut producers = Producers::new(2);
        producers.insert(key(1), known(1));
        producers.shrink();
        producers.insert(key(1), known(2));
        assert_eq!((producers.len(), producers.get(&key(1))), (1, Some(&known(2))));
        assert_eq!(producers.entry(key(2)), &ProducerState::UNKNOWN);
    }
}
