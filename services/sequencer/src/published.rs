//! The durable view: what may leave the sequencer, and the subscriptions that it is pushed to.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eagre_env::HashMap;
use eagre_model::{Run, TopicNumber, TopicPartition, TopicRecord};
use eagre_sequencer_api::{PartitionBounds, Tail, TailUpdate, TailUpdates};
use tokio::sync::{mpsc, watch};

use crate::judge::TailState;

/// A subscriber that has so many updates waiting is cut off.
const UPDATES_WAITING_MAX: usize = 64;

/// Partitions and topics as they are in the bucket. Only the committer changes it, after a flush.
#[derive(Debug)]
pub struct Published {
    view: Mutex<Durable>,
    subscribers: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Durable {
    tails: HashMap<TopicPartition, TailState>,
    topics: BTreeMap<String, TopicRecord>,
    subscribers: Vec<Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    updates: mpsc::Sender<Arc<TailUpdate>>,
    next_number: u64,
}

/// What one flush has made durable.
#[derive(Debug, Default)]
pub struct Delta {
    /// Partitions whose log grew or that are new, with the runs added.
    pub tails: BTreeMap<TopicPartition, (TailState, Vec<Run>)>,
    /// New topics.
    pub created: Vec<TopicRecord>,
    /// Topics that are gone.
    pub deleted: Vec<TopicRecord>,
}

impl Delta {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        self.tails.is_empty() && self.created.is_empty() && self.deleted.is_empty()
    }
}

impl Published {
    /// The view as it was loaded.
    pub fn new(tails: HashMap<TopicPartition, TailState>, topics: BTreeMap<String, TopicRecord>) -> Self {
        let view = Mutex::new(Durable { tails, topics, subscribers: Vec::new() });
        Self { view, subscribers: watch::Sender::new(0) }
    }

    fn view(&self) -> MutexGuard<'_, Durable> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A partition's tail.
    pub fn tail(&self, partition: TopicPartition) -> Option<TailState> {
        self.view().tails.get(&partition).copied()
    }

    /// Every tail.
    pub fn tails(&self) -> HashMap<TopicPartition, TailState> {
        self.view().tails.clone()
    }

    /// Bounds in the order of the request.
    pub fn bounds(&self, partitions: &[TopicPartition]) -> Vec<Option<PartitionBounds>> {
        let view = self.view();
        let bounds = |tail: &TailState| PartitionBounds {
            log_start_offset: tail.log_start_offset,
            high_watermark: tail.next_offset,
            size_bytes: tail.size_bytes,
        };
        partitions.iter().map(|partition| view.tails.get(partition).map(bounds)).collect()
    }

    /// The live topic of a name.
    pub fn topic(&self, name: &str) -> Option<TopicRecord> {
        self.view().topics.get(name).cloned()
    }

    /// Up to `max` live topics after a name, by name.
    pub fn topics(&self, after: &str, max: usize) -> Vec<TopicRecord> {
        let view = self.view();
        let after = if after.is_empty() { Bound::Unbounded } else { Bound::Excluded(after) };
        view.topics.range::<str, _>((after, Bound::Unbounded)).take(max).map(|(_, topic)| topic.clone()).collect()
    }

    /// A snapshot and what comes after it, without a gap between them.
    pub fn subscribe(&self) -> TailUpdates {
        let (updates, receiver) = mpsc::channel(UPDATES_WAITING_MAX);
        let mut view = self.view();
        let mut tails: Vec<Tail> = view.tails.iter().map(|(partition, tail)| pushed(*partition, tail, &[])).collect();
        tails.sort_unstable_by_key(|tail| tail.partition);
        let snapshot = TailUpdate { number: 0, tails, deleted_topics: Vec::new() };
        if updates.try_send(Arc::new(snapshot)).is_ok() {
            view.subscribers.push(Subscriber { updates, next_number: 1 });
            self.subscribers.send_replace(view.subscribers.len());
        }
        receiver
    }

    /// Takes in what became durable and pushes it. Who cannot take it at once is cut off.
    pub fn publish(&self, delta: &Delta) {
        let mut view = self.view();
        for (partition, (tail, _)) in &delta.tails {
            view.tails.insert(*partition, *tail);
        }
        for topic in &delta.created {
            view.topics.insert(topic.name.clone(), topic.clone());
        }
        for topic in &delta.deleted {
            // A topic of the same name may have been created behind it in the same group.
            if view.topics.get(&topic.name).is_some_and(|live| live.number == topic.number) {
                view.topics.remove(&topic.name);
            }
            for partition in 0..topic.placement.partitions() {
                view.tails.remove(&TopicPartition { topic: topic.number, partition });
            }
        }
        push(&mut view.subscribers, delta);
        let left = view.subscribers.len();
        self.subscribers.send_if_modified(|count| std::mem::replace(count, left) != left);
    }

    /// Drops subscribers that went away and says how many are left.
    pub fn subscribers(&self) -> usize {
        let mut view = self.view();
        view.subscribers.retain(|subscriber| !subscriber.updates.is_closed());
        view.subscribers.len()
    }

    /// Ends every subscription.
    pub fn end_subscriptions(&self) {
        self.view().subscribers.clear();
        self.subscribers.send_replace(0);
    }

    /// Tells when the number of subscribers changes.
    pub fn watch_subscribers(&self) -> watch::Receiver<usize> {
        self.subscribers.subscribe()
    }
}

fn push(subscribers: &mut Vec<Subscriber>, delta: &Delta) {
    if subscribers.is_empty() || delta.is_empty() {
        return;
    }
    let gone: Vec<TopicNumber> = delta.deleted.iter().map(|topic| topic.number).collect();
    let lives = |partition: &TopicPartition| !gone.contains(&partition.topic);
    let tails = delta.tails.iter().filter(|(partition, _)| lives(partition));
    let tails = tails.map(|(partition, (tail, runs))| pushed(*partition, tail, runs)).collect();
    let mut update = Arc::new(TailUpdate { number: 0, tails, deleted_topics: gone });
    subscribers.retain_mut(|subscriber| {
        // Subscribers that joined together share one message.
        if update.number != subscriber.next_number {
            update = Arc::new(TailUpdate { number: subscriber.next_number, ..TailUpdate::clone(&update) });
        }
        subscriber.next_number += 1;
        subscriber.updates.try_send(update.clone()).is_ok()
    });
}

fn pushed(partition: TopicPartition, tail: &TailState, runs: &[Run]) -> Tail {
    Tail { partition, log_start_offset: tail.log_start_offset, high_watermark: tail.next_offset, runs: runs.to_vec() }
}
