//! What the sequencer pushes: where each partition ends, and the runs that came last.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eagre_env::{Env, HashMap};
use eagre_model::{Run, TopicNumber, TopicPartition};
use eagre_sequencer_api::{PartitionBounds, Sequencer, Tail, TailUpdate};
use tokio::{sync::watch, time::sleep};

use crate::directory::TopicDirectory;

const SUBSCRIBE_PAUSE_MIN: Duration = Duration::from_millis(20);
const SUBSCRIBE_PAUSE_MAX: Duration = Duration::from_millis(1_000);

/// The end of a partition as this gateway knows it. Never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TailView {
    pub log_start_offset: i64,
    pub high_watermark: i64,
    /// The partition seems to be gone; ask for its bounds.
    pub doubtful: bool,
}

/// The tails of all partitions. What it says is a hint that lags behind: statements about the end of a log come from
/// [`Bounds`](super::bounds::Bounds).
pub(crate) struct Tails {
    runs_max: usize,
    state: Mutex<State>,
    /// The number of the last update of the present subscription; `None`: there is none.
    subscribed: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    partitions: HashMap<TopicPartition, Partition>,
    /// The partition of each run that is remembered, oldest first.
    remembered: VecDeque<TopicPartition>,
    /// How often something was doubted.
    doubts: u64,
}

/// When a question was asked: its answer settles the doubts that were there then, and none that came since.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskedAt(u64);

#[derive(Default)]
struct Partition {
    view: TailView,
    /// Which doubt was the last one here.
    doubted: u64,
    /// Without a gap, in offset order.
    recent: VecDeque<Run>,
    watchers: Option<watch::Sender<TailView>>,
}

impl Partition {
    /// The entry of a partition of which nothing is known: it may be gone.
    fn doubtful(doubted: u64) -> Self {
        let view = TailView { doubtful: true, ..TailView::default() };
        Self { view, doubted, ..Self::default() }
    }

    fn raise(&mut self, log_start_offset: i64, high_watermark: i64, doubtful: bool) {
        self.view = TailView {
            log_start_offset: self.view.log_start_offset.max(log_start_offset),
            high_watermark: self.view.high_watermark.max(high_watermark),
            doubtful,
        };
        self.tell();
    }

    fn tell(&mut self) {
        let view = self.view;
        if let Some(watchers) = &self.watchers {
            watchers.send_if_modified(|seen| std::mem::replace(seen, view) != view);
            if watchers.receiver_count() == 0 {
                self.watchers = None;
            }
        }
    }
}

impl Tails {
    pub fn new(runs_max: usize) -> Self {
        Self { runs_max, state: Mutex::default(), subscribed: watch::channel(false).0 }
    }

    /// Whether the sequencer's pushes come in at present.
    pub fn subscribed(&self) -> watch::Receiver<bool> {
        self.subscribed.subscribe()
    }

    /// Follows the end of a partition. One of which nothing is known may have been deleted since its bounds were asked
    /// for, so it begins doubtful.
    pub fn watch(&self, partition: TopicPartition) -> watch::Receiver<TailView> {
        let state = &mut *self.state();
        let doubts = state.doubts;
        let entry = state.partitions.entry(partition).or_insert_with(|| Partition::doubtful(doubts));
        let view = entry.view;
        entry.watchers.get_or_insert_with(|| watch::channel(view).0).subscribe()
    }

    /// To be taken before bounds are asked for.
    pub fn ask(&self) -> AskedAt {
        AskedAt(self.state().doubts)
    }

    /// Takes note of bounds that the sequencer stated, and returns what this gateway shows of them. A doubt that came
    /// while the answer was on its way stays.
    pub fn observe(&self, partition: TopicPartition, bounds: &PartitionBounds, asked: AskedAt) -> TailView {
        let state = &mut *self.state();
        let doubts = state.doubts;
        let entry = state.partitions.entry(partition).or_insert_with(|| Partition::doubtful(doubts));
        let doubtful = entry.view.doubtful && entry.doubted > asked.0;
        entry.raise(bounds.log_start_offset, bounds.high_watermark, doubtful);
        entry.view
    }

    /// Takes note of an end that was seen otherwise than in bounds; it says nothing about whether the partition still is.
    pub fn show(&self, partition: TopicPartition, high_watermark: i64) -> TailView {
        let state = &mut *self.state();
        let doubts = state.doubts;
        let entry = state.partitions.entry(partition).or_insert_with(|| Partition::doubtful(doubts));
        entry.raise(0, high_watermark, entry.view.doubtful);
        entry.view
    }

    /// The runs from the one that covers `offset` on, if they are remembered.
    pub fn recent(&self, partition: TopicPartition, offset: i64, max: usize) -> Vec<Run> {
        let state = self.state();
        let Some(entry) = state.partitions.get(&partition) else { return Vec::new() };
        if entry.recent.front().is_none_or(|first| first.base_offset > offset) {
            return Vec::new();
        }
        let from = entry.recent.partition_point(|run| run.last_offset < offset);
        entry.recent.range(from..).take(max).copied().collect()
    }

    /// Keeps a subscription for ever.
    pub async fn follow(self: Arc<Self>, env: Env, sequencer: Arc<dyn Sequencer>, directory: Arc<TopicDirectory>) {
        let mut pause = SUBSCRIBE_PAUSE_MIN;
        loop {
            match sequencer.subscribe().await {
                Ok(mut updates) => {
                    let mut expected = 0;
                    while let Some(update) = updates.recv().await {
                        if update.number != expected {
                            tracing::warn!(expected, got = update.number, "a gap in the pushed tails");
                            break;
                        }
                        expected += 1;
                        pause = SUBSCRIBE_PAUSE_MIN;
                        directory.forget_deleted(&update.deleted_topics);
                        self.apply(&update);
                        self.subscribed.send_if_modified(|seen| !std::mem::replace(seen, true));
                    }
                    tracing::debug!(updates = expected, "subscription ended, subscribing anew");
                }
                Err(error) => crate::note_retry(pause, &error, "cannot subscribe, trying again"),
            }
            self.subscribed.send_if_modified(|seen| std::mem::replace(seen, false));
            sleep(crate::jittered(&env, pause)).await;
            pause = (pause * 2).min(SUBSCRIBE_PAUSE_MAX);
        }
    }

    fn apply(&self, update: &TailUpdate) {
        let state = &mut *self.state();
        for tail in &update.tails {
            state.apply(tail, self.runs_max);
        }
        if update.number == 0 {
            state.doubt_absent(&update.tails);
        }
        for &topic in &update.deleted_topics {
            state.delete(topic);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apply(&mut self, tail: &Tail, runs_max: usize) {
        let entry = self.partitions.entry(tail.partition).or_default();
        for run in &tail.runs {
            if entry.recent.back().is_some_and(|last| last.next_offset() != run.base_offset) {
                entry.recent.clear();
            }
            entry.recent.push_back(*run);
            self.remembered.push_back(tail.partition);
        }
        // After the runs: whoever is woken finds them.
        entry.raise(tail.log_start_offset, tail.high_watermark, false);
        while self.remembered.len() > runs_max {
            let Some(oldest) = self.remembered.pop_front() else { break };
            if let Some(entry) = self.partitions.get_mut(&oldest) {
                entry.recent.pop_front();
            }
        }
    }

    /// A snapshot names every partition. One that is missing was deleted, or made after the snapshot: its readers ask.
    fn doubt_absent(&mut self, tails: &[Tail]) {
        let named: BTreeSet<TopicPartition> = tails.iter().map(|tail| tail.partition).collect();
        self.doubt(|partition| !named.contains(partition));
    }

    fn delete(&mut self, topic: TopicNumber) {
        self.doubt(|partition| partition.topic == topic);
    }

    fn doubt(&mut self, is_doubtful: impl Fn(&TopicPartition) -> bool) {
        self.doubts += 1;
        self.partitions.retain(|partition, entry| {
            if !is_doubtful(partition) {
                return true;
            }
            entry.recent.clear();
            entry.view.doubtful = true;
            entry.doubted = self.doubts;
            entry.tell();
            // While somebody watches, the entry must stay theirs.
            entry.watchers.is_some()
        });
    }
}

#[cfg(test)]
mod tests {
    use eagre_model::{ObjectId, RunKind, UploadEpoch};

    use super::*;

    const P: TopicPartition = TopicPartition { topic: TopicNumber(1), partition: 0 };

    fn run(base_offset: i64, last_offset: i64) -> Run {
        Run {
            kind: RunKind::Wal,
            base_offset,
            last_offset,
            object: ObjectId { epoch: UploadEpoch(0), incarnation: 1, number: base_offset.unsigned_abs() },
            position_bytes: 0,
            length_bytes: 1,
            batches: 1,
            crc32c: 0,
            prefix_max_timestamp_ms: 0,
        }
    }

    fn tail(high_watermark: i64, runs: &[Run]) -> Tail {
        Tail { partition: P, log_start_offset: 0, high_watermark, runs: runs.to_vec() }
    }

    fn update(number: u64, tails: Vec<Tail>) -> TailUpdate {
        TailUpdate { number, tails, deleted_topics: Vec::new() }
    }

    fn bases(tails: &Tails, offset: i64) -> Vec<i64> {
        tails.recent(P, offset, 100).iter().map(|run| run.base_offset).collect()
    }

    #[test]
    fn what_was_shown_is_never_lowered() {
        let tails = Tails::new(100);
        let watch = tails.watch(P);
        let end = || watch.borrow().high_watermark;
        tails.apply(&update(0, vec![tail(5, &[])]));
        assert_eq!(end(), 5);
        let stated = PartitionBounds { log_start_offset: 0, high_watermark: 9, size_bytes: 0 };
        assert_eq!(tails.observe(P, &stated, tails.ask()).high_watermark, 9);
        tails.apply(&update(1, vec![tail(7, &[run(5, 6)])]));
        assert_eq!(end(), 9, "a push that lags");
        tails.apply(&update(0, vec![tail(3, &[])]));
        assert_eq!(end(), 9, "a snapshot of an old sequencer");
        let stated = PartitionBounds { log_start_offset: 0, high_watermark: 4, size_bytes: 0 };
        assert_eq!(tails.observe(P, &stated, tails.ask()).high_watermark, 9);
    }

    #[test]
    fn recent_runs_have_no_gap() {
        let tails = Tails::new(100);
        tails.apply(&update(0, vec![tail(5, &[])]));
        assert!(bases(&tails, 4).is_empty());
        tails.apply(&update(1, vec![tail(8, &[run(5, 6), run(7, 7)])]));
        assert_eq!(bases(&tails, 5), [5, 7]);
        assert_eq!(bases(&tails, 6), [5, 7]);
        assert_eq!(bases(&tails, 7), [7]);
        assert!(bases(&tails, 8).is_empty());
        assert!(bases(&tails, 4).is_empty(), "older ones are in the index");
        // A new subscription missed 8 and 9.
        tails.apply(&update(0, vec![tail(10, &[])]));
        tails.apply(&update(1, vec![tail(12, &[run(10, 11)])]));
        assert!(bases(&tails, 7).is_empty());
        assert_eq!(bases(&tails, 11), [10]);
    }

    #[test]
    fn recent_runs_are_bounded() {
        let tails = Tails::new(3);
        for number in 0..10 {
            tails.apply(&update(1, vec![tail(number + 1, &[run(number, number)])]));
        }
        assert_eq!(bases(&tails, 7), [7, 8, 9]);
        assert!(bases(&tails, 6).is_empty());
    }

    #[test]
    fn partitions_that_vanish_are_doubted_until_the_sequencer_states_bounds() {
        let tails = Tails::new(100);
        tails.apply(&update(0, vec![tail(5, &[])]));
        let watch = tails.watch(P);
        let deleted = TailUpdate { number: 1, tails: Vec::new(), deleted_topics: vec![P.topic] };
        tails.apply(&deleted);
        assert!(watch.borrow().doubtful);
        let stated = PartitionBounds { log_start_offset: 0, high_watermark: 6, size_bytes: 0 };
        tails.observe(P, &stated, tails.ask());
        assert_eq!(*watch.borrow(), TailView { log_start_offset: 0, high_watermark: 6, doubtful: false });
        tails.apply(&update(0, Vec::new()));
        assert!(watch.borrow().doubtful);
        drop(watch);
        tails.apply(&update(0, Vec::new()));
        assert!(tails.state().partitions.is_empty(), "nobody watches what is gone");
    }

    #[test]
    fn a_partition_of_which_nothing_is_known_is_doubted_once() {
        let tails = Tails::new(100);
        let watch = tails.watch(P);
        assert!(watch.borrow().doubtful);
        let stated = PartitionBounds { log_start_offset: 0, high_watermark: 0, size_bytes: 0 };
        tails.observe(P, &stated, tails.ask());
        assert!(!watch.borrow().doubtful);
        assert!(!tails.watch(P).borrow().doubtful);
    }

    #[test]
    fn bounds_that_were_asked_for_before_a_deletion_do_not_hide_it() {
        let deleted = TailUpdate { number: 1, tails: Vec::new(), deleted_topics: vec![P.topic] };
        for vanishes in [deleted, update(0, Vec::new())] {
            for watched in [false, true] {
                let tails = Tails::new(100);
                tails.apply(&update(0, vec![tail(5, &[])]));
                let early = watched.then(|| tails.watch(P));
                let asked = tails.ask();
                tails.apply(&vanishes);
                let stated = PartitionBounds { log_start_offset: 0, high_watermark: 6, size_bytes: 0 };
                assert_eq!(tails.observe(P, &stated, asked).high_watermark, 6);
                assert!(tails.watch(P).borrow().doubtful);
                assert!(early.is_none_or(|watch| watch.borrow().doubtful));
                assert!(tails.show(P, 7).doubtful, "a row of the index proves nothing");
                assert!(!tails.observe(P, &stated, tails.ask()).doubtful, "asked anew");
            }
        }
    }
}
