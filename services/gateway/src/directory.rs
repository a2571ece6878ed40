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
    future::{BoxFuture, Shared, WeakShared},
};

/// How many deleted topics are remembered, so that an answer that was on its way does not bring one back.
const DELETED_REMEMBERED: usize = 10_000;

type Call = BoxFuture<'static, Result<Arc<TopicRecord>, TopicError>>;
type Lookup = Shared<Call>;

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
    /// Calls that somebody waits for. Each belongs to those who do, and goes with the last of them.
    pending: HashMap<String, WeakShared<Call>>,
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

    /// Asks for the record of a live topic. Everybody who waits for one name shares one call.
    pub async fn lookup(&self, name: &str) -> Result<Arc<TopicRecord>, TopicError> {
        loop {
            // Before the call, so that it is dropped after it.
            let _waiting = Waiting { directory: self, name };
            let (lookup, joined) = self.call(name);
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
    fn call(&self, name: &str) -> (Lookup, bool) {
        let mut state = self.state();
        if let Some(pending) = state.pending.get(name).and_then(WeakShared::upgrade) {
            return (pending, true);
        }
        let (sequencer, wanted) = (self.sequencer.clone(), name.to_owned());
        let lookup = async move { sequencer.topic(&wanted).await.map(Arc::new) }.boxed().shared();
        if let Some(weak) = lookup.downgrade() {
            state.pending.insert(name.to_owned(), weak);
        }
        (lookup, false)
    }

    fn finish(&self, name: &str, lookup: &Lookup, found: &Result<Arc<TopicRecord>, TopicError>) {
        let ours = {
            let mut state = self.state();
            let pending = state.pending.get(name).and_then(WeakShared::upgrade);
            let ours = pending.is_some_and(|pending| pending.ptr_eq(lookup));
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

/// Somebody who waits for a call. The last one who goes away before the answer takes the call along.
struct Waiting<'a> {
    directory: &'a TopicDirectory,
    name: &'a str,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.directory.state();
        if state.pending.get(self.name).is_some_and(|pending| pending.upgrade().is_none()) {
            state.pending.remove(self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use eagre_model::{Placement, ProducerId, Run, TopicConfig, TopicPartition};
    use eagre_sequencer_api::{CommitStream, CreateTopicError, Joined, PartitionBounds, SequencerError, TailUpdates};
    use tokio::sync::{Semaphore, watch};

    use super::*;

    fn record(name: &str, number: u64) -> TopicRecord {
        TopicRecord {
            number: TopicNumber(number),
            name: name.to_owned(),
            id: 0,
            created_at_ms: 0,
            placement: Placement::Fixed { partitions: 1 },
            partition_map_version: 0,
            config: TopicConfig::default(),
        }
    }

    /// Answers a lookup with what it knew when the lookup came, once it is let go.
    struct Lookups {
        present: watch::Sender<Option<TopicRecord>>,
        go: Semaphore,
        calls: watch::Sender<usize>,
    }

    impl Lookups {
        fn directory(present: Option<TopicRecord>) -> (Arc<Self>, Arc<TopicDirectory>) {
            let go = Semaphore::new(0);
            let lookups = Arc::new(Self { present: watch::channel(present).0, go, calls: watch::channel(0).0 });
            (lookups.clone(), Arc::new(TopicDirectory::new(lookups, 2)))
        }

        async fn called(&self, times: usize) {
            self.calls.subscribe().wait_for(|calls| *calls == times).await.unwrap();
        }
    }

    #[async_trait]
    impl Sequencer for Lookups {
        async fn topic(&self, _name: &str) -> Result<TopicRecord, TopicError> {
            let present = self.present.borrow().clone();
            self.calls.send_modify(|calls| *calls += 1);
            self.go.acquire().await.unwrap().forget();
            present.ok_or(TopicError::UnknownTopic)
        }
        async fn join(&self) -> Result<Joined, SequencerError> {
            unreachable!()
        }
        async fn open_commits(&self, _: u64) -> Result<CommitStream, SequencerError> {
            unreachable!()
        }
        async fn subscribe(&self) -> Result<TailUpdates, SequencerError> {
            unreachable!()
        }
        async fn bounds(&self, _: &[TopicPartition]) -> Result<Vec<Option<PartitionBounds>>, SequencerError> {
            unreachable!()
        }
        async fn read_index(&self, _: TopicPartition, _: i64, _: usize) -> Result<Vec<Run>, SequencerError> {
            unreachable!()
        }
        async fn read_inline(&self, _: TopicPartition, _: &[i64]) -> Result<Vec<Option<Bytes>>, SequencerError> {
            unreachable!()
        }
        async fn find_by_time(&self, _: TopicPartition, _: i64) -> Result<Option<Run>, SequencerError> {
            unreachable!()
        }
        async fn create_topic_with(
            &self,
            _: &str,
            _: Option<u32>,
            _: TopicConfig,
        ) -> Result<TopicRecord, CreateTopicError> {
            unreachable!()
        }
        async fn delete_topic(&self, _: &str) -> Result<(), TopicError> {
            unreachable!()
        }
        async fn topics(&self, _: &str, _: usize) -> Result<Vec<TopicRecord>, SequencerError> {
            unreachable!()
        }
        async fn init_producer(&self) -> Result<ProducerId, SequencerError> {
            unreachable!()
        }
    }

    fn ask(directory: &Arc<TopicDirectory>) -> tokio::task::JoinHandle<Result<Arc<TopicRecord>, TopicError>> {
        let directory = directory.clone();
        tokio::spawn(async move { directory.lookup("t").await })
    }

    #[tokio::test]
    async fn lookups_of_one_name_share_a_call() {
        let (lookups, directory) = Lookups::directory(Some(record("t", 1)));
        let asked = [ask(&directory), ask(&directory), ask(&directory)];
        lookups.called(1).await;
        lookups.go.add_permits(1);
        for answer in asked {
            assert_eq!(answer.await.unwrap().unwrap().number, TopicNumber(1));
        }
        assert_eq!(*lookups.calls.borrow(), 1);
        assert!(directory.known("t").is_some());
    }

    #[tokio::test]
    async fn a_topic_made_during_a_lookup_is_not_missed_by_those_who_come_after() {
        let (lookups, directory) = Lookups::directory(None);
        let early = ask(&directory);
        lookups.called(1).await;
        lookups.present.send_replace(Some(record("t", 1)));
        let late = ask(&directory);
        tokio::task::yield_now().await;
        lookups.go.add_permits(1);
        assert_eq!(early.await.unwrap(), Err(TopicError::UnknownTopic));
        lookups.called(2).await;
        lookups.go.add_permits(1);
        assert!(late.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_topic_deleted_during_a_lookup_is_not_remembered() {
        let (lookups, directory) = Lookups::directory(Some(record("t", 1)));
        let asked = ask(&directory);
        lookups.called(1).await;
        directory.forget_deleted(&[TopicNumber(1)]);
        lookups.go.add_permits(1);
        asked.await.unwrap().unwrap();
        assert!(directory.known("t").is_none());
    }

    #[tokio::test]
    async fn a_lookup_that_nobody_waits_for_is_dropped() {
        let (lookups, directory) = Lookups::directory(Some(record("t", 1)));
        let asked = [ask(&directory), ask(&directory)];
        lookups.called(1).await;
        tokio::task::yield_now().await;
        let [first, second] = asked;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(directory.state().pending.len(), 1, "somebody waits");
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        assert!(directory.state().pending.is_empty());
        let asked = ask(&directory);
        lookups.called(2).await;
        lookups.go.add_permits(1);
        assert!(asked.await.unwrap().is_ok());
        assert!(directory.state().pending.is_empty());
    }

    #[test]
    fn the_oldest_make_room() {
        let (_, directory) = Lookups::directory(None);
        for (name, number) in [("a", 1), ("b", 2), ("a", 1), ("c", 3)] {
            directory.remember(Arc::new(record(name, number)));
        }
        let known = ["a", "b", "c"].map(|name| directory.known(name).is_some());
        assert_eq!(known, [true, false, true]);
        directory.forget(TopicNumber(1));
        assert!(directory.known("a").is_none());
        directory.forget(TopicNumber(2));
        let state = directory.state();
        assert_eq!((state.known.len(), state.names.len()), (1, 1));
    }
}
