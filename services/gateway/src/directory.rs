//! Which topic has which number: remembered, and forgotten as soon as it is known to be wrong.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eagre_env::HashMap;
use eagre_model::{TopicNumber, TopicRecord};
use eagre_sequencer_api::{Sequencer, TopicError};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};

/// How many deleted topics are remembered, so that an answer that was on its way does not bring one back.
const DELETED_REMEMBERED: usize = 10_000;

type Lookup = Shared<BoxFuture<'static, Result<Arc<TopicRecord>, TopicError>>>;

/// The topics that this gateway has looked up. A name that does not exist is not remembered.
pub(crate) struct TopicDirectory {
    sequencer: Arc<dyn Sequencer>,
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: HashMap<String, Known>,
    names: HashMap<TopicNumber, String>,
    /// In the order in which they were remembered; the oldest makes room.
    order: VecDeque<(String, u64)>,
    remembered: u64,
    pending: HashMap<String, Lookup>,
    deleted: BTreeSet<TopicNumber>,
}

struct Known {
    record: Arc<TopicRecord>,
    /// Which entry of the order stands for it.
    place: u64,
}

impl TopicDirectory {
    pub fn new(sequencer: Arc<dyn Sequencer>, capacity: usize) -> Self {
        Self { sequencer, capacity, state: Mutex::default() }
    }

    /// What is remembered of a topic.
    pub fn known(&self, name: &str) -> Option<Arc<TopicRecord>> {
        self.state().known.get(name).map(|known| known.record.clone())
    }

    /// The record of a live topic. Everybody who waits for one name shares one call.
    pub async fn topic(&self, name: &str) -> Result<Arc<TopicRecord>, TopicError> {
        if let Some(known) = self.known(name) {
            return Ok(known);
        }
        loop {
            let (lookup, joined) = self.lookup(name);
            let found = lookup.clone().await;
            self.finish(name, &lookup, &found);
            // A call that began before ours may have missed a topic that has been created since.
            if !(joined && matches!(found, Err(TopicError::UnknownTopic))) {
                return found;
            }
        }
    }

    /// Forgets a topic, because it is gone or may be another one by now.
    pub fn forget(&self, number: TopicNumber) {
        let mut state = self.state();
        if let Some(name) = state.names.remove(&number) {
            state.known.remove(&name);
        }
    }

    /// Forgets topics that were deleted, also those whose record is on its way.
    pub fn forget_deleted(&self, numbers: &[TopicNumber]) {
        for &number in numbers {
            self.forget(number);
            let mut state = self.state();
            state.deleted.insert(number);
            // Numbers grow: the smallest is the oldest topic.
            while state.deleted.len() > DELETED_REMEMBERED {
                state.deleted.pop_first();
            }
        }
    }

    /// Remembers a topic that is known to live.
    pub fn remember(&self, record: Arc<TopicRecord>) {
        let state = &mut *self.state();
        if state.deleted.contains(&record.number) {
            return;
        }
        let (name, number, place) = (record.name.clone(), record.number, state.remembered);
        state.remembered += 1;
        if let Some(older) = state.known.insert(name.clone(), Known { record, place }) {
            state.names.remove(&older.record.number);
        }
        state.names.insert(number, name.clone());
        state.order.push_back((name, place));
        while state.order.len() > self.capacity {
            let Some((name, place)) = state.order.pop_front() else { break };
            if state.known.get(&name).is_some_and(|known| known.place == place)
                && let Some(known) = state.known.remove(&name)
            {
                state.names.remove(&known.record.number);
            }
        }
    }

    /// The call for this name, and whether somebody else had begun it.
    fn lookup(&self, name: &str) -> (Lookup, bool) {
        let mut state = self.state();
        if let Some(pending) = state.pending.get(name) {
            return (pending.clone(), true);
        }
        let (sequencer, wanted) = (self.sequencer.clone(), name.to_owned());
        let lookup = async move { sequencer.topic(&wanted).await.map(Arc::new) }.boxed().shared();
        state.pending.insert(name.to_owned(), lookup.clone());
        (lookup, false)
    }

    fn finish(&self, name: &str, lookup: &Lookup, found: &Result<Arc<TopicRecord>, TopicError>) {
        let ours = {
            let mut state = self.state();
            let ours = state.pending.get(name).is_some_and(|pending| pending.ptr_eq(lookup));
            if ours {
                state.pending.remove(name);
            }
            ours
        };
        if let (true, Ok(record)) = (ours, found) {
            self.remember(record.clone());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
