//! Forgets producers that are due, if they still are.

use std::{collections::BTreeSet, hash::Hash};

use eagre_metadata::rows::{Producer, ProducerKey, TopicProducer, TopicProducerKey};
use eagre_model::{ProducerId, TopicPartition};

use super::Group;
use crate::{
    expiry::{Cutoff, Fate, Forget, Forgotten, Keys},
    judge::{ProducerState, View, request::TopicProducerState},
    producers::Producers,
};

/// The state of a producer of either kind. Its default: nothing is known.
trait Remembered: Default {
    /// `None`: nothing is known of it. Else when it appended last, if that is known.
    fn last_append_ms(&self) -> Option<Option<i64>>;
}

impl Remembered for ProducerState {
    fn last_append_ms(&self) -> Option<Option<i64>> {
        self.epoch.map(|_| self.last_append_ms)
    }
}

impl Remembered for TopicProducerState {
    fn last_append_ms(&self) -> Option<Option<i64>> {
        self.epoch.map(|_| self.last_append_ms)
    }
}

/// By what is decided.
struct Due<'a> {
    cutoff: Cutoff,
    now_ms: i64,
    lives: &'a dyn Fn(TopicPartition) -> bool,
}

impl Due<'_> {
    /// Decides about each by the tentative view. What goes is unknown from then on, and stays in memory as such until the
    /// store shows it; what gets a time is written with the group.
    fn settle<K: Copy + Ord + Hash, S: Remembered>(
        &self,
        keys: Vec<(K, TopicPartition)>,
        held: &mut Producers<K, S>,
        written: &mut BTreeSet<K>,
        mut gone: impl FnMut(&K, Fate),
    ) -> Forgotten {
        let mut forgotten = Forgotten::default();
        for (key, partition) in keys {
            // One that has just appended says so with this group.
            let Some(last_append_ms) = held.entry(key).last_append_ms().filter(|_| !written.contains(&key)) else {
                continue;
            };
            let lives = (self.lives)(partition);
            let fate = if lives { self.cutoff.fate(last_append_ms, self.now_ms) } else { Fate::Free };
            match fate {
                Fate::Keep => continue,
                Fate::Date => forgotten.dated += 1,
                Fate::Expire => forgotten.expired += 1,
                Fate::Evict => forgotten.evicted += 1,
                Fate::Free => forgotten.freed += 1,
            }
            written.insert(key);
            if fate != Fate::Date {
                held.insert(key, S::default());
                gone(&key, fate);
            }
        }
        forgotten
    }
}

impl Group<'_> {
    /// Deletes the states of producers that are still due, and raises the mark of ids over each; not over those of deleted
    /// topics, where nobody appends any more.
    pub(super) fn forget(&mut self, forget: Forget) -> Forgotten {
        let now_ms = self.state.clock.now_ms(self.env);
        let View { tails, ids, producers, topic_producers } = &mut self.state.view;
        let lives = |partition: TopicPartition| tails.contains_key(&partition);
        let due = Due { cutoff: forget.cutoff, now_ms, lives: &lives };
        let changes = &mut self.sealed.changes;
        let mut raise = |fate, producer: ProducerId| {
            if fate != Fate::Free {
                ids.forget(producer);
            }
        };
        let written = &mut self.sealed.written;
        match forget.keys {
            Keys::Partitions(keys) => {
                let keys = keys.into_iter().map(|key: ProducerKey| (key, key.partition)).collect();
                due.settle(keys, producers, &mut written.producers, |key, fate| {
                    changes.delete::<Producer>(key);
                    raise(fate, key.producer);
                })
            }
            Keys::Topics(keys) => {
                let first = |key: TopicProducerKey| (key, TopicPartition { topic: key.topic, partition: 0 });
                due.settle(
                    keys.into_iter().map(first).collect(),
                    topic_producers,
                    &mut written.topic_producers,
                    |key, fate| {
                        changes.delete::<TopicProducer>(key);
                        raise(fate, key.producer);
                    },
                )
            }
        }
    }
}
