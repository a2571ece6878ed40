//! The first half: from waiting work to a flush under way.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::Poll,
};

use eagre_env::PlantedBug;
use eagre_metadata::{
    Changes, MetadataStore, ReadError, RowKind,
    rows::{InlinePlace, InlineRecord, Object, ObjectStream, Producer, ProducerKey, TopicProducer, TopicProducerKey},
};
use eagre_model::ObjectId;
use eagre_sequencer_api::CommitReply;
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, poll, stream};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use super::{Committer, CommitterEnd};
use crate::{
    expiry::Keys,
    group::{Answer, Group, Sealed, Work, Written},
    judge::{
        ProducerState, Rules, duplicates_only, producers_of,
        request::{TopicProducerState, topic_producers_of},
    },
    published::Delta,
    seen::{Seen, highest_recorded},
    spill::PendingObject,
    telemetry,
};

/// So much work goes into one group at most.
const GROUP_MAX: usize = 256;
/// So many inline bytes go into one group at most, if it has more than one commit. The store begins to flush a write of 8 MiB
/// by itself, before the claim was looked at once more; that is safe, since the log is fenced, and it makes a flight of two
/// objects.
const GROUP_INLINE_BYTES_MAX: usize = 4 << 20;
/// Of so many streams that are new to the term the records are looked at together.
const STREAMS_PARALLEL: usize = 16;

/// A group whose rows are written and on their way to the bucket.
pub(super) struct Flight {
    /// What to publish when it lands; `None`: a planted bug did it already.
    pub(super) delta: Option<Delta>,
    /// What is durable then, inline.
    pub(super) inline: Vec<PendingObject>,
    /// What to answer then, in order.
    pub(super) answers: Vec<Answer>,
    /// Ends when the rows are durable; `None`: there are none, but what the answers rest on may be in the air.
    pub(super) flush: Option<BoxFuture<'static, Result<(), CommitterEnd>>>,
    /// Its place in the air.
    pub(super) room: OwnedSemaphorePermit,
    /// Of its commits.
    pub(super) spans: Vec<Span>,
}

/// Judges and begins to write.
pub(super) struct Takeoff {
    committer: Committer,
    /// One permit a flight that may be in the air.
    room: Arc<Semaphore>,
    flights_max: usize,
    last: Option<Instant>,
    /// Of the flights that may still be in the air, the oldest first: the store does not show their rows yet.
    airborne: VecDeque<Written>,
    seen: Seen,
    early: Vec<Work>,
}

impl Takeoff {
    pub(super) fn new(committer: Committer, room: Arc<Semaphore>, flights_max: usize) -> Self {
        Self {
            committer,
            room,
            flights_max,
            last: None,
            airborne: VecDeque::new(),
            seen: Seen::default(),
            early: Vec::new(),
        }
    }

    /// Until the queue is closed and empty.
    pub(super) async fn run(
        mut self,
        mut queue: mpsc::Receiver<Work>,
        stop: CancellationToken,
        begun: mpsc::Sender<Flight>,
    ) -> Result<(), CommitterEnd> {
        loop {
            let room = self.find_room(&mut queue).await;
            let mut group = std::mem::take(&mut self.early);
            while group.is_empty() {
                tokio::select! {
                    biased;
                    () = stop.cancelled(), if !queue.is_closed() => queue.close(),
                    taken = queue.recv_many(&mut group, GROUP_MAX) => {
                        if taken == 0 {
                            return Ok(());
                        }
                    }
                }
            }
            self.early = group.split_off(fitting(&group));
            telemetry::group(group.len(), queue.len());
            let authority = self.committer.authority.clone();
            let flight = authority.unless_deposed(self.take_off(group, room)).await??;
            if begun.send(flight).await.is_err() {
                // The other half has failed, and says why.
                return std::future::pending().await;
            }
        }
    }

    /// Waits until there may be one more flight: there is room, and the last one began long enough ago or nothing is in the
    /// air. Work collects meanwhile.
    async fn find_room(&mut self, queue: &mut mpsc::Receiver<Work>) -> OwnedSemaphorePermit {
        let answers_early = self.committer.env.has_planted(PlantedBug::DuplicateFromTentative);
        let room = loop {
            tokio::select! {
                biased;
                room = self.room.clone().acquire_owned() => break room.expect("nobody closes it"),
                Some(work) = queue.recv(), if answers_early && self.early.len() < GROUP_MAX => {
                    self.early.extend(answer_early(&self.committer, work));
                }
            }
        };
        let Some(last) = self.last else { return room };
        let others = u32::try_from(self.flights_max - 1).unwrap_or(u32::MAX);
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(last + self.committer.store.flush_interval_min()) => {}
            _all_landed = self.room.acquire_many(others) => {}
        }
        room
    }

    async fn take_off(&mut self, works: Vec<Work>, room: OwnedSemaphorePermit) -> Result<Flight, CommitterEnd> {
        self.committer.authority.warm();
        // What took off so long ago has landed: there would be no room otherwise.
        while self.airborne.len() >= self.flights_max {
            self.airborne.pop_front();
        }
        let spans: Vec<Span> = works.iter().filter_map(Work::traceparent).map(eagre_trace::sequence).collect();
        let records = self.look_up_records(&works).await?;
        self.load_producers(&works).await?;
        let committer = &mut self.committer;
        let mut group = Group::new(&committer.env, &committer.cluster_id, &mut committer.state, records);
        for work in works {
            group.add(work);
        }
        let Sealed { changes, delta, inline, mut answers, written, new_producers } = group.seal();
        committer.growth.add(new_producers);
        committer.env.fail_point("commit.judged").await;
        if committer.env.has_planted(PlantedBug::AckBeforeFlush) {
            answers.drain(..).for_each(Answer::give);
        }
        let is_early = committer.env.has_planted(PlantedBug::WatermarkBeforeFlush)
            || (committer.env.has_planted(PlantedBug::InlineServedTentative) && !inline.is_empty());
        if is_early {
            committer.published.publish(&delta);
        }
        let delta = (!is_early).then_some(delta);
        self.airborne.push_back(written);
        let flush = if changes.is_empty() {
            None
        } else {
            let span = eagre_trace::flush(&spans);
            Some(self.begin_flush(changes, span.clone()).instrument(span).await?)
        };
        self.shrink_producers();
        Ok(Flight { delta, inline, answers, flush, room, spans })
    }

    /// Commit records of the objects: those that are in the air before those that the store shows. What is new for sure is not
    /// looked up.
    async fn look_up_records(&mut self, works: &[Work]) -> Result<BTreeMap<ObjectId, Object>, ReadError> {
        let objects = works.iter().filter_map(|work| match work {
            Work::Commit { request, .. } => Some(request.object),
            _ => None,
        });
        let objects: Vec<ObjectId> = objects.collect();
        self.meet(&objects).await?;
        let (mut records, mut missing) = (BTreeMap::new(), Vec::new());
        for object in objects {
            // Each is to be noted, also those in the air.
            let may_have_record = self.seen.may_have_record(object);
            match self.airborne.iter().find_map(|written| written.records.get(&object)) {
                Some(record) => drop(records.insert(object, record.clone())),
                None if may_have_record => missing.push(object),
                None => {}
            }
        }
        records.extend(stored_records(&self.committer.store, missing).await?);
        Ok(records)
    }

    /// Finds out what streams that are new to this term have committed before.
    async fn meet(&mut self, objects: &[ObjectId]) -> Result<(), ReadError> {
        let mut firsts = BTreeMap::<ObjectStream, ObjectId>::new();
        for object in objects {
            let stream = ObjectStream::of(*object);
            if !self.seen.knows(&stream) {
                let first = firsts.entry(stream).or_insert(*object);
                *first = (*first).min(*object);
            }
        }
        if self.committer.env.has_planted(PlantedBug::ResentTakenForNew) {
            firsts.keys().for_each(|stream| self.seen.begin(*stream, 0));
            return Ok(());
        }
        let store = &self.committer.store;
        let look = |(stream, first)| async move { highest_recorded(store, first).await.map(|found| (stream, found)) };
        let found: Vec<(ObjectStream, u64)> =
            stream::iter(firsts).map(look).buffered(STREAMS_PARALLEL).try_collect().await?;
        for (stream, recorded) in found {
            let of_stream = stream.object(0)..=stream.object(u64::MAX);
            let airborne =
                self.airborne.iter().filter_map(|written| written.records.range(of_stream.clone()).next_back());
            let highest = airborne.map(|(object, _)| object.number).fold(recorded, u64::max);
            self.seen.begin(stream, highest);
        }
        Ok(())
    }

    async fn load_producers(&mut self, works: &[Work]) -> Result<(), ReadError> {
        let committer = &mut self.committer;
        let view = &mut committer.state.view;
        let mut missing: Vec<ProducerKey> = Vec::new();
        let mut missing_in_topics: Vec<TopicProducerKey> = Vec::new();
        for work in works {
            match work {
                Work::Commit { request, .. } => {
                    missing.extend(producers_of(request).filter(|key| !view.producers.touch(key)));
                    let in_topics = topic_producers_of(request);
                    missing_in_topics.extend(in_topics.filter(|key| !view.topic_producers.touch(key)));
                }
                Work::Forget { forget, .. } => match &forget.keys {
                    Keys::Partitions(keys) => {
                        missing.extend(keys.iter().filter(|key| !view.producers.touch(key)));
                    }
                    Keys::Topics(keys) => {
                        missing_in_topics.extend(keys.iter().filter(|key| !view.topic_producers.touch(key)));
                    }
                },
                _ => {}
            }
        }
        if committer.env.has_planted(PlantedBug::ProducerStateLost) {
            missing.clear();
            missing_in_topics.clear();
        }
        for (key, row) in look_up::<Producer>(&committer.store, missing).await? {
            view.producers.insert(key, ProducerState::of_row(row));
        }
        for (key, row) in look_up::<TopicProducer>(&committer.store, missing_in_topics).await? {
            view.topic_producers.insert(key, TopicProducerState::of_row(row));
        }
        Ok(())
    }

    /// Writes, and begins to flush under authority. A flush that hangs is waited for.
    async fn begin_flush(
        &mut self,
        changes: Changes,
        span: Span,
    ) -> Result<BoxFuture<'static, Result<(), CommitterEnd>>, CommitterEnd> {
        let Committer { env, store, authority, health, .. } = &self.committer;
        authority.await_it().await?;
        let flushing = health.flush_begins(env);
        let begun = env.clock.monotonic();
        self.last = Some(Instant::now());
        store.write(changes).await?;
        // The write may have waited for room.
        authority.await_it().await?;
        env.fail_point("flush.before").await;
        let (store, env) = (store.clone(), env.clone());
        let mut flush = async move {
            let flushed = store.flush().await;
            if flushed.is_ok() {
                env.fail_point("flush.after").await;
            }
            telemetry::flushed(env.clock.monotonic().saturating_sub(begun), flushed.is_ok());
            drop(flushing);
            Ok(flushed?)
        }
        .instrument(span)
        .boxed();
        // From here on it is under way, whoever waits for it.
        match poll!(&mut flush) {
            Poll::Ready(flushed) => Ok(std::future::ready(flushed).boxed()),
            Poll::Pending => Ok(flush),
        }
    }

    /// Lets go of producers that were not used for long. What the store does not show yet stays.
    fn shrink_producers(&mut self) {
        let view = &mut self.committer.state.view;
        for written in &self.airborne {
            for key in &written.producers {
                view.producers.touch(key);
            }
            for key in &written.topic_producers {
                view.topic_producers.touch(key);
            }
        }
        view.producers.shrink();
        view.topic_producers.shrink();
        telemetry::producers(view.producers.len() + view.topic_producers.len());
        telemetry::inline_held(self.committer.state.inline.held());
    }
}

/// The records of these commits as far as the store has them, wherever they stand.
async fn stored_records(
    store: &MetadataStore,
    objects: Vec<ObjectId>,
) -> Result<BTreeMap<ObjectId, Object>, ReadError> {
    let places: Vec<InlinePlace> = objects.iter().copied().map(InlinePlace::of).collect();
    let inline = store.get_all::<InlineRecord>(&places).await?;
    let (mut found, mut missing) = (BTreeMap::new(), Vec::new());
    for (object, inline) in objects.into_iter().zip(inline) {
        match inline.filter(|inline| inline.number == object.number) {
            Some(inline) => drop(found.insert(object, inline.record)),
            None => missing.push(object),
        }
    }
    let records = store.get_all::<Object>(&missing).await?;
    found.extend(missing.into_iter().zip(records).filter_map(|(object, record)| Some((object, record?))));
    Ok(found)
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
    let rows = store.get_all::<R>(&keys).await?;
    Ok(keys.into_iter().zip(rows).collect())
}

/// How many of these go into one group; at least one.
fn fitting(works: &[Work]) -> usize {
    let mut bytes = 0;
    let fits = works.iter().take_while(|work| {
        let inline = match work {
            Work::Commit { request, .. } => request.inline.as_ref().map_or(0, bytes::Bytes::len),
            _ => 0,
        };
        bytes += inline;
        bytes <= GROUP_INLINE_BYTES_MAX
    });
    fits.count().max(1)
}

/// The planted bug [`PlantedBug::DuplicateFromTentative`]: a duplicate of what is being flushed is answered at once.
fn answer_early(committer: &Committer, work: Work) -> Option<Work> {
    let Work::Commit { request, slot, budget } = work else { return Some(work) };
    match duplicates_only(&committer.state.view, &request, Rules::default()) {
        Some(answer) => {
            let reply = CommitReply { object: request.object, result: Ok(answer), takes_inline: true };
            Answer::Commit(slot, reply, budget).give();
            None
        }
        None => Some(Work::Commit { request, slot, budget }),
    }
}
