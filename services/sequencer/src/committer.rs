//! The committer: the one task that writes a shard's store.
//!
//! It takes all work that waits, judges it in order, writes one batch, flushes once, and then publishes, pushes and
//! answers, in that order. When a write or a flush fails, nothing is rolled back: the outcome of the group is unknown,
//! and the term ends.

use std::{collections::BTreeMap, sync::Arc};

use eagre_env::{Env, PlantedBug};
use eagre_metadata::{
    Changes, MetadataStore, ReadError, RowKind, WriteError,
    rows::{Object, Producer, ProducerKey, TopicProducer, TopicProducerKey},
};
use eagre_model::ObjectId;
use eagre_sequencer_api::{BatchOutcome, CommitReply, RefusalReason};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    group::{Answer, Group, Sealed, Work},
    health::Health,
    judge::{
        ProducerState, Rules, duplicates_only, producers_of,
        request::{TopicProducerState, topic_producers_of},
    },
    lease::authority::{Authority, Deposed},
    load::Loaded,
    published::Published,
    sweep::Sweep,
    telemetry,
};

/// So much work goes into one group at most.
const GROUP_MAX: usize = 256;
/// So many rows are looked up at a time.
const LOOKUPS_PARALLEL: usize = 16;

/// Why a committer has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitterEnd {
    /// It was told to stop; all work was finished.
    #[error("stopped")]
    Stopped,
    /// A rival holds a later claim.
    #[error("deposed")]
    Deposed,
    /// A bug ended it.
    #[error("the committer panicked")]
    Panicked,
    /// What was written last has an unknown outcome.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<Deposed> for CommitterEnd {
    fn from(_: Deposed) -> Self {
        Self::Deposed
    }
}

/// The only writer of a store.
pub struct Committer {
    /// Clock, randomness, fail points, planted bugs.
    pub env: Env,
    /// The bucket's.
    pub cluster_id: String,
    /// The rows.
    pub store: Arc<MetadataStore>,
    /// Over the claim.
    pub authority: Arc<Authority>,
    /// The durable view.
    pub published: Arc<Published>,
    /// The tentative view.
    pub state: Loaded,
    /// Told of every flush.
    pub health: Arc<Health>,
    /// Old commit records that may go.
    pub sweep: Sweep,
}

impl Committer {
    /// Works until the claim is lost, whatever it waits for then, or the store fails, or `stop` says so: then it takes no
    /// new work and finishes what waits.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Work>, stop: CancellationToken) -> CommitterEnd {
        let authority = self.authority.clone();
        let mut early = Vec::new();
        loop {
            let mut group = std::mem::take(&mut early);
            while group.is_empty() {
                tokio::select! {
                    biased;
                    () = authority.deposed() => return CommitterEnd::Deposed,
                    () = stop.cancelled(), if !queue.is_closed() => queue.close(),
                    taken = queue.recv_many(&mut group, GROUP_MAX) => {
                        if taken == 0 {
                            return CommitterEnd::Stopped;
                        }
                    }
                }
            }
            telemetry::group(group.len(), queue.len());
            let committed = authority.unless_deposed(self.commit(group, &mut queue, &mut early)).await;
            if let Err(end) = committed.unwrap_or_else(|deposed| Err(deposed.into())) {
                return end;
            }
        }
    }

    async fn commit(
        &mut self,
        works: Vec<Work>,
        queue: &mut mpsc::Receiver<Work>,
        early: &mut Vec<Work>,
    ) -> Result<(), CommitterEnd> {
        self.authority.warm();
        let records = self.look_up_records(&works).await?;
        self.load_producers(&works).await?;
        let mut group = Group::new(&self.env, &self.cluster_id, &mut self.state, records);
        for work in works {
            group.add(work);
        }
        let Sealed { mut changes, delta, mut answers } = group.seal();
        self.env.fail_point("commit.judged").await;
        if self.env.has_planted(PlantedBug::AckBeforeFlush) {
            answers.drain(..).for_each(Answer::give);
        }
        let is_early = self.env.has_planted(PlantedBug::WatermarkBeforeFlush);
        if is_early {
            self.published.publish(&delta);
        }
        if changes.is_empty() {
            self.authority.await_it().await?;
        } else {
            self.sweep.add_to(&mut changes);
            if let Err(end) = self.make_durable(changes, queue, early).await {
                self.report_failure(&end, answers);
                return Err(end);
            }
        }
        if !is_early {
            self.published.publish(&delta);
        }
        self.env.fail_point("answer.before").await;
        answers.into_iter().for_each(Answer::give);
        let view = &mut self.state.view;
        view.producers.shrink();
        view.topic_producers.shrink();
        telemetry::producers(view.producers.len() + view.topic_producers.len());
        self.sweep.step(&self.store).await?;
        Ok(())
    }

    async fn look_up_records(&self, works: &[Work]) -> Result<BTreeMap<ObjectId, Object>, ReadError> {
        let objects: Vec<ObjectId> = works
            .iter()
            .filter_map(|work| match work {
                Work::Commit { request, .. } => Some(request.object),
                _ => None,
            })
            .collect();
        let store = &self.store;
        let look_up = |object| async move { store.get::<Object>(&object).await.map(|row| (object, row)) };
        let found: Vec<(ObjectId, Option<Object>)> =
            stream::iter(objects).map(look_up).buffered(LOOKUPS_PARALLEL).try_collect().await?;
        Ok(found.into_iter().filter_map(|(object, record)| Some((object, record?))).collect())
    }

    async fn load_producers(&mut self, works: &[Work]) -> Result<(), ReadError> {
        let view = &mut self.state.view;
        let mut missing: Vec<ProducerKey> = Vec::new();
        let mut missing_in_topics: Vec<TopicProducerKey> = Vec::new();
        for work in works {
            if let Work::Commit { request, .. } = work {
                missing.extend(producers_of(request).filter(|key| !view.producers.touch(key)));
                missing_in_topics.extend(topic_producers_of(request).filter(|key| !view.topic_producers.touch(key)));
            }
        }
        if self.env.has_planted(PlantedBug::ProducerStateLost) {
            missing.clear();
            missing_in_topics.clear();
        }
        for (key, row) in look_up::<Producer>(&self.store, missing).await? {
            view.producers.insert(key, ProducerState::of_row(row));
        }
        for (key, row) in look_up::<TopicProducer>(&self.store, missing_in_topics).await? {
            view.topic_producers.insert(key, TopicProducerState::of_row(row));
        }
        Ok(())
    }

    /// Writes and flushes under authority. A flush that hangs is waited for.
    async fn make_durable(
        &mut self,
        changes: Changes,
        queue: &mut mpsc::Receiver<Work>,
        early: &mut Vec<Work>,
    ) -> Result<(), CommitterEnd> {
        self.authority.await_it().await?;
        self.health.flush_begins(&self.env);
        let begun = self.env.clock.monotonic();
        let written = async {
            self.store.write(changes).await?;
            // The write may have waited for room.
            self.authority.await_it().await?;
            self.env.fail_point("flush.before").await;
            self.store.flush().await?;
            self.env.fail_point("flush.after").await;
            Ok(())
        };
        let meanwhile = async {
            while self.env.has_planted(PlantedBug::DuplicateFromTentative) && early.len() < GROUP_MAX {
                let Some(work) = queue.recv().await else { break };
                early.extend(answer_early(&self.state, work));
            }
            std::future::pending().await
        };
        let end = tokio::select! {
            biased;
            end = written => end,
            end = meanwhile => end,
        };
        telemetry::flushed(self.env.clock.monotonic().saturating_sub(begun), end.is_ok());
        self.health.flush_ended();
        end
    }

    /// Nothing is reported: the streams end, which says "unknown". But for a planted bug.
    fn report_failure(&self, end: &CommitterEnd, answers: Vec<Answer>) {
        if !self.env.has_planted(PlantedBug::FencedIsFailure) || !matches!(end, CommitterEnd::Write(_)) {
            return;
        }
        for answer in answers {
            if let Answer::Commit(slot, CommitReply { object, result: Ok(mut judged) }, budget) = answer {
                judged.outcomes.fill(BatchOutcome::Refused(RefusalReason::OutOfOrderSequence { expected: 0 }));
                Answer::Commit(slot, CommitReply { object, result: Ok(judged) }, budget).give();
            }
        }
    }
}

/// The rows of these keys, each once.
async fn look_up<R: RowKind>(
    store: &MetadataStore,
    mut keys: Vec<R::Key>,
) -> Result<Vec<(R::Key, Option<R::Value>)>, ReadError>
where
    R::Key: Ord + Copy,
{
    keys.sort_unstable();
    keys.dedup();
    let get = |key| async move { store.get::<R>(&key).await.map(|row| (key, row)) };
    stream::iter(keys).map(get).buffered(LOOKUPS_PARALLEL).try_collect().await
}

/// The planted bug [`PlantedBug::DuplicateFromTentative`]: a duplicate of what is being flushed is answered at once.
fn answer_early(state: &Loaded, work: Work) -> Option<Work> {
    let Work::Commit { request, slot, budget } = work else { return Some(work) };
    match duplicates_only(&state.view, &request, Rules::default()) {
        Some(answer) => {
            Answer::Commit(slot, CommitReply { object: request.object, result: Ok(answer) }, budget).give();
            None
        }
        None => Some(Work::Commit { request, slot, budget }),
    }
}
