//! A small sequencer in memory: judges as the real one, and does what a test tells it to.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_model::{
    ObjectId, Placement, ProducerId, ResidueClass, Run, RunKind, TopicConfig, TopicNumber, TopicPartition, TopicRecord,
    UploadEpoch,
    batch::{advance_sequence, crc32c_combine},
};
use eagre_sequencer_api::{
    BatchOutcome, CommitAnswer, CommitBatch, CommitFailure, CommitReply, CommitRequest, CommitStream, CreateTopicError,
    Joined, PartitionBounds, RefusalReason, Sequencer, SequencerError, Tail, TailUpdate, TailUpdates, TopicError,
};
use tokio::sync::{mpsc, watch};

/// See the module.
pub struct FakeSequencer {
    state: Arc<Mutex<State>>,
    mood: watch::Sender<Mood>,
}

/// What the sequencer does at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mood {
    /// Refuses every call.
    pub unavailable: bool,
    /// Judges, but does not answer.
    pub silent: bool,
    /// Takes no commits.
    pub busy: bool,
    /// Growing it breaks every commit stream that is open.
    pub streams_broken: u64,
    /// Lets no gateway join.
    pub joins_hang: bool,
    /// Answers no lookup of a topic.
    pub lookups_hang: bool,
    /// Answers no search by time.
    pub searches_hang: bool,
    /// Answers no change: topics and producer ids.
    pub changes_hang: bool,
    /// Opening a commit stream ends in a panic.
    pub open_panics: bool,
}

#[derive(Default)]
pub struct State {
    topics: BTreeMap<String, TopicRecord>,
    /// Those that number their requests per topic.
    numbered: Windows,
    logs: BTreeMap<TopicPartition, Log>,
    records: BTreeMap<ObjectId, (CommitRequest, CommitAnswer)>,
    subscribers: Vec<(u64, mpsc::Sender<Arc<TailUpdate>>)>,
    next_topic: u64,
    next_incarnation: u64,
    next_producer: i64,
    pub epoch: u64,
    pub floor: u64,
    /// Every commit that came, in order.
    pub seen: Vec<ObjectId>,
    pub bounds_calls: usize,
    pub index_calls: usize,
    pub search_calls: usize,
    pub lookup_calls: usize,
    pub inline_calls: usize,
    /// What is said of inline bytes with each answer.
    pub takes_inline: bool,
    /// Pushes that wait to be released; `None`: they go out at once.
    held_pushes: Option<VecDeque<Vec<Tail>>>,
    /// Bytes of inline batches, by where they begin.
    inline: BTreeMap<(ObjectId, u64), Bytes>,
}

type Windows = BTreeMap<(TopicNumber, ProducerId), Vec<Appended>>;

/// Where the parts of an appended request are.
fn places(windows: &mut Windows, (topic, id, first): (TopicNumber, ProducerId, i32)) -> &mut BTreeMap<u32, i64> {
    &mut windows.get_mut(&(topic, id)).unwrap().iter_mut().find(|known| known.0 == first).unwrap().3
}

/// What a numbered request of a commit is: appended, or where its parts are.
type Numbered = BTreeMap<u32, Result<(TopicNumber, ProducerId, i32), BatchOutcome>>;

/// A request that was appended: its first and last sequence, its map version, and where its parts are.
type Appended = (i32, i32, u64, BTreeMap<u32, i64>);

#[derive(Default)]
struct Log {
    runs: Vec<Run>,
    next_offset: i64,
    size_bytes: u64,
    prefix_max: i64,
    producers: BTreeMap<ProducerId, Producer>,
}

#[derive(Default)]
struct Producer {
    epoch: i16,
    window: Vec<(i32, i32, i64)>,
}

impl Log {
    fn judge(&mut self, batch: &CommitBatch) -> BatchOutcome {
        if let Some(sequence) = batch.producer {
            let producer = self.producers.entry(sequence.id).or_default();
            if sequence.epoch.0 < producer.epoch {
                let current = eagre_model::ProducerEpoch(producer.epoch);
                return BatchOutcome::Refused(RefusalReason::ProducerFenced { current });
            }
            if sequence.epoch.0 > producer.epoch {
                *producer = Producer { epoch: sequence.epoch.0, window: Vec::new() };
            }
            let last = advance_sequence(sequence.first_sequence, batch.record_count - 1);
            let known = producer.window.iter().find(|known| (known.0, known.1) == (sequence.first_sequence, last));
            if let Some(&(_, _, base_offset)) = known {
                return BatchOutcome::Duplicate { base_offset };
            }
            let expected = producer.window.last().map_or(0, |known| advance_sequence(known.1, 1));
            if sequence.first_sequence != expected {
                return BatchOutcome::Refused(RefusalReason::OutOfOrderSequence { expected });
            }
            producer.window.push((sequence.first_sequence, last, self.next_offset));
        }
        BatchOutcome::Appended { base_offset: self.append(batch) }
    }

    fn append(&mut self, batch: &CommitBatch) -> i64 {
        let base_offset = self.next_offset;
        self.next_offset += i64::from(batch.record_count);
        self.size_bytes += u64::from(batch.length_bytes);
        self.prefix_max = self.prefix_max.max(batch.max_timestamp_ms);
        base_offset
    }

    fn bounds(&self) -> PartitionBounds {
        PartitionBounds { log_start_offset: 0, high_watermark: self.next_offset, size_bytes: self.size_bytes }
    }
}

impl State {
    fn commit(&mut self, request: &CommitRequest) -> CommitReply {
        assert_eq!(request.check(request.object.incarnation), Ok(()), "{request:?}");
        self.seen.push(request.object);
        let object = request.object;
        if let Some((known, answer)) = self.records.get(&object) {
            // What else it says of earlier ones may have changed.
            let again = CommitRequest { settled_below: known.settled_below, ..request.clone() };
            let result = if *known == again { Ok(answer.clone()) } else { Err(CommitFailure::Mismatch) };
            return CommitReply { object, result, takes_inline: self.takes_inline };
        }
        if object.epoch.0 < self.floor {
            let upload_epoch = UploadEpoch(self.epoch);
            let result = Err(CommitFailure::EpochBelowFloor { upload_epoch });
            return CommitReply { object, result, takes_inline: self.takes_inline };
        }
        let numbered = self.judge_numbered(request);
        let mut outcomes = Vec::new();
        let mut tails = Vec::new();
        for run in &request.runs {
            let Some(log) = self.logs.get_mut(&run.partition) else {
                outcomes.extend(run.batches.iter().map(|_| BatchOutcome::Refused(RefusalReason::UnknownPartition)));
                continue;
            };
            let mut position_bytes = run.position_bytes;
            let mut added: Vec<Run> = Vec::new();
            let mut joins = false;
            for batch in &run.batches {
                let part = batch.part.map(|part| numbered[&part.number]);
                let partition = run.partition.partition;
                let outcome = match part {
                    None => log.judge(batch),
                    Some(Ok(key)) => {
                        let base_offset = log.append(batch);
                        places(&mut self.numbered, key).insert(partition, base_offset);
                        BatchOutcome::Appended { base_offset }
                    }
                    Some(Err(BatchOutcome::Duplicate { .. })) => {
                        let sequence = batch.producer.unwrap();
                        let key = (run.partition.topic, sequence.id, sequence.first_sequence);
                        BatchOutcome::Duplicate { base_offset: places(&mut self.numbered, key)[&partition] }
                    }
                    Some(Err(outcome)) => outcome,
                };
                outcomes.push(outcome);
                if let BatchOutcome::Appended { base_offset } = outcome {
                    if let Some(inline) = &request.inline {
                        let start = usize::try_from(position_bytes).unwrap();
                        let bytes = inline.slice(start..start + batch.length_bytes as usize);
                        self.inline.insert((object, position_bytes), bytes);
                    }
                    let one = Run {
                        kind: if request.inline.is_some() { RunKind::Inline } else { RunKind::Wal },
                        base_offset,
                        last_offset: base_offset + i64::from(batch.record_count) - 1,
                        object,
                        position_bytes,
                        length_bytes: batch.length_bytes,
                        batches: 1,
                        crc32c: batch.crc32c,
                        prefix_max_timestamp_ms: log.prefix_max,
                    };
                    match added.last_mut().filter(|_| joins) {
                        Some(last) => {
                            last.last_offset = one.last_offset;
                            last.crc32c = crc32c_combine(last.crc32c, one.crc32c, one.length_bytes.into());
                            last.length_bytes += one.length_bytes;
                            last.batches += 1;
                            last.prefix_max_timestamp_ms = one.prefix_max_timestamp_ms;
                        }
                        None => added.push(one),
                    }
                    joins = true;
                } else {
                    joins = false;
                }
                position_bytes += u64::from(batch.length_bytes);
            }
            log.runs.extend(&added);
            let high_watermark = log.next_offset;
            if !added.is_empty() {
                tails.push(Tail { partition: run.partition, log_start_offset: 0, high_watermark, runs: added });
            }
        }
        let answer = CommitAnswer { outcomes };
        self.records.insert(object, (request.clone(), answer.clone()));
        self.push(tails, Vec::new());
        CommitReply { object, result: Ok(answer), takes_inline: self.takes_inline }
    }

    /// Numbered requests are judged whole, in the order of their numbers.
    fn judge_numbered(&mut self, request: &CommitRequest) -> Numbered {
        let mut judged = Numbered::new();
        let batches = request.runs.iter().flat_map(|run| run.batches.iter().map(move |batch| (run.partition, batch)));
        let mut parts: Vec<_> =
            batches.filter_map(|(partition, batch)| Some((batch.part?, partition, batch))).collect();
        parts.sort_by_key(|(part, ..)| part.number);
        for (part, partition, batch) in parts {
            let sequence = batch.producer.unwrap();
            let (topic, first) = (partition.topic, sequence.first_sequence);
            let window = self.numbered.entry((topic, sequence.id)).or_default();
            judged.entry(part.number).or_insert_with(|| {
                let last = advance_sequence(first, part.records - 1);
                let expected = window.last().map_or(0, |known| advance_sequence(known.1, 1));
                if let Some(known) = window.iter().find(|known| (known.0, known.1) == (first, last)) {
                    let same_map = known.2 == part.partition_map_version;
                    let duplicate = BatchOutcome::Duplicate { base_offset: 0 };
                    return Err(if same_map { duplicate } else { BatchOutcome::DuplicateElsewhere });
                }
                if first != expected {
                    return Err(BatchOutcome::Refused(RefusalReason::OutOfOrderSequence { expected }));
                }
                window.push((first, last, part.partition_map_version, BTreeMap::new()));
                Ok((topic, sequence.id, first))
            });
        }
        judged
    }

    /// As if the topic's partitions had changed: gateways that look it up again see another version of the map.
    pub fn change_map(&mut self, name: &str) {
        self.topics.get_mut(name).unwrap().partition_map_version += 1;
    }

    /// From now on pushes wait for [`release_pushes`](Self::release_pushes), though the index shows their rows.
    pub fn hold_pushes(&mut self) {
        self.held_pushes.get_or_insert_default();
    }

    /// Lets the next so many out.
    pub fn release_pushes(&mut self, count: usize) {
        let mut held = self.held_pushes.take().unwrap();
        for tails in held.drain(..count) {
            self.push(tails, Vec::new());
        }
        self.held_pushes = Some(held);
    }

    fn push(&mut self, tails: Vec<Tail>, deleted_topics: Vec<TopicNumber>) {
        if let Some(held) = &mut self.held_pushes {
            held.push_back(tails);
            return;
        }
        self.subscribers.retain_mut(|(number, subscriber)| {
            *number += 1;
            let update = TailUpdate { number: *number, tails: tails.clone(), deleted_topics: deleted_topics.clone() };
            subscriber.try_send(Arc::new(update)).is_ok()
        });
    }

    fn snapshot(&self) -> TailUpdate {
        let tail = |(partition, log): (&TopicPartition, &Log)| Tail {
            partition: *partition,
            log_start_offset: 0,
            high_watermark: log.next_offset,
            runs: Vec::new(),
        };
        TailUpdate { number: 0, tails: self.logs.iter().map(tail).collect(), deleted_topics: Vec::new() }
    }

    /// Ends every subscription.
    pub fn cut_subscribers_off(&mut self) {
        self.subscribers.clear();
    }

    /// Gives every object of a partition's rows another number; returns the old and the new.
    pub fn move_objects(&mut self, partition: TopicPartition) -> Vec<(ObjectId, ObjectId)> {
        let mut moved = Vec::new();
        for run in &mut self.logs.get_mut(&partition).unwrap().runs {
            let old = run.object;
            run.object.number += 1_000_000;
            moved.push((old, run.object));
        }
        moved
    }

    /// Points every row of a partition at an object that is not there.
    pub fn lose_objects(&mut self, partition: TopicPartition) {
        self.move_objects(partition);
    }

    /// Moves every inline run of a partition into an object of its own; returns what is to be stored.
    pub fn spill(&mut self, partition: TopicPartition) -> Vec<(ObjectId, Bytes)> {
        let mut stored = Vec::new();
        for run in &mut self.logs.get_mut(&partition).unwrap().runs {
            if run.kind == RunKind::Inline {
                let end = run.position_bytes + u64::from(run.length_bytes);
                let batches = self.inline.range((run.object, run.position_bytes)..(run.object, end));
                let bytes = batches.flat_map(|(_, bytes)| bytes.iter().copied()).collect::<Bytes>();
                (run.kind, run.position_bytes) = (RunKind::Wal, 0);
                run.object.number += 2_000_000 + u64::from(partition.partition);
                stored.push((run.object, bytes));
            }
        }
        stored
    }

    /// Forgets inline bytes that the index still names.
    pub fn lose_inline(&mut self) {
        self.inline.clear();
    }

    /// The next object below which epochs are refused.
    pub fn raise_floor(&mut self) {
        self.epoch += 1;
        self.floor = self.epoch;
    }
}

impl FakeSequencer {
    async fn unless_changes_hang(&self) {
        // The sender lives as long as this.
        let _ = self.mood.subscribe().wait_for(|mood| !mood.changes_hang).await;
    }

    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: Arc::default(), mood: watch::channel(Mood::default()).0 })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn change(&self, change: impl FnOnce(&mut Mood)) {
        self.mood.send_modify(change);
    }

    /// Records of a partition.
    pub fn appended(&self, partition: TopicPartition) -> i64 {
        self.state().logs.get(&partition).map_or(0, |log| log.next_offset)
    }

    fn available(&self) -> Result<(), SequencerError> {
        if self.mood.borrow().unavailable {
            return Err(SequencerError::Unavailable("the test says so".into()));
        }
        Ok(())
    }
}

async fn serve_commits(
    state: Arc<Mutex<State>>,
    mut mood: watch::Receiver<Mood>,
    mut requests: mpsc::Receiver<CommitRequest>,
    replies: mpsc::Sender<CommitReply>,
) {
    let broken = mood.borrow().streams_broken;
    let busy = mood.clone();
    loop {
        let request = tokio::select! {
            biased;
            _ = mood.wait_for(|mood| mood.streams_broken != broken) => return,
            request = async {
                let request = requests.recv().await;
                let _ = busy.clone().wait_for(|mood| !mood.busy).await;
                request
            } => request,
        };
        let Some(request) = request else { return };
        let reply = state.lock().unwrap().commit(&request);
        let is_broken = {
            let mood = mood.wait_for(|mood| !mood.silent || mood.streams_broken != broken).await.unwrap();
            mood.streams_broken != broken
        };
        if is_broken {
            return;
        }
        if replies.send(reply).await.is_err() {
            return;
        }
    }
}

#[async_trait]
impl Sequencer for FakeSequencer {
    async fn join(&self) -> Result<Joined, SequencerError> {
        self.available()?;
        // The sender lives as long as this.
        let _ = self.mood.subscribe().wait_for(|mood| !mood.joins_hang).await;
        let mut state = self.state();
        state.next_incarnation += 1;
        let (incarnation, upload_epoch) = (state.next_incarnation, UploadEpoch(state.epoch));
        Ok(Joined { incarnation, upload_epoch, cluster_id: "test".into() })
    }

    async fn open_commits(&self, _incarnation: u64) -> Result<CommitStream, SequencerError> {
        self.available()?;
        assert!(!self.mood.borrow().open_panics, "the test says so");
        let (requests, received) = mpsc::channel(4);
        let (replies, answers) = mpsc::channel(4);
        tokio::spawn(serve_commits(self.state.clone(), self.mood.subscribe(), received, replies));
        Ok(CommitStream { requests, replies: answers })
    }

    async fn subscribe(&self) -> Result<TailUpdates, SequencerError> {
        self.available()?;
        let (sender, updates) = mpsc::channel(1_024);
        let mut state = self.state();
        sender.try_send(Arc::new(state.snapshot())).unwrap();
        state.subscribers.push((0, sender));
        Ok(updates)
    }

    async fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<PartitionBounds>>, SequencerError> {
        self.available()?;
        let mut state = self.state();
        state.bounds_calls += 1;
        Ok(partitions.iter().map(|partition| state.logs.get(partition).map(Log::bounds)).collect())
    }

    async fn read_index(
        &self,
        partition: TopicPartition,
        offset: i64,
        max_rows: usize,
    ) -> Result<Vec<Run>, SequencerError> {
        self.available()?;
        let mut state = self.state();
        state.index_calls += 1;
        let Some(log) = state.logs.get(&partition) else { return Ok(Vec::new()) };
        Ok(log.runs.iter().filter(|run| run.last_offset >= offset).take(max_rows).copied().collect())
    }

    async fn read_inline(
        &self,
        partition: TopicPartition,
        last_offsets: &[i64],
    ) -> Result<Vec<Option<Bytes>>, SequencerError> {
        self.available()?;
        let mut state = self.state();
        state.inline_calls += 1;
        let bytes = |last_offset: &i64| {
            let run = state.logs.get(&partition)?.runs.iter().find(|run| run.last_offset == *last_offset)?;
            let end = run.position_bytes + u64::from(run.length_bytes);
            let batches = state.inline.range((run.object, run.position_bytes)..(run.object, end));
            let bytes = batches.flat_map(|(_, bytes)| bytes.iter().copied()).collect::<Bytes>();
            (run.kind == RunKind::Inline && !bytes.is_empty()).then_some(bytes)
        };
        Ok(last_offsets.iter().map(bytes).collect())
    }

    async fn find_by_time(&self, partition: TopicPartition, timestamp_ms: i64) -> Result<Option<Run>, SequencerError> {
        self.available()?;
        self.state().search_calls += 1;
        let _ = self.mood.subscribe().wait_for(|mood| !mood.searches_hang).await;
        let state = self.state();
        let Some(log) = state.logs.get(&partition) else { return Ok(None) };
        Ok(log.runs.iter().find(|run| run.prefix_max_timestamp_ms >= timestamp_ms).copied())
    }

    async fn create_topic_with(
        &self,
        name: &str,
        partitions: Option<u32>,
        config: TopicConfig,
    ) -> Result<TopicRecord, CreateTopicError> {
        self.available()?;
        self.unless_changes_hang().await;
        eagre_model::names::validate_topic_name(name)
            .map_err(|error| CreateTopicError::InvalidName(error.to_string()))?;
        if partitions.is_some_and(|count| !(1..=10_000).contains(&count)) {
            return Err(CreateTopicError::InvalidPartitions("1 to 10000 partitions".into()));
        }
        let mut state = self.state();
        if state.topics.contains_key(name) {
            return Err(CreateTopicError::Exists);
        }
        let number = TopicNumber(state.next_topic);
        state.next_topic += 1;
        let class = |remainder| ResidueClass { remainder, modulus: 4 };
        let placement = match partitions {
            Some(partitions) => Placement::Fixed { partitions },
            None => Placement::Elastic { classes: (0..4).map(class).collect() },
        };
        let mut tails = Vec::new();
        for partition in 0..placement.partitions() {
            let partition = TopicPartition { topic: number, partition };
            state.logs.insert(partition, Log { prefix_max: i64::MIN, ..Log::default() });
            tails.push(Tail { partition, log_start_offset: 0, high_watermark: 0, runs: Vec::new() });
        }
        let record = TopicRecord {
            number,
            name: name.to_owned(),
            id: u128::from(number.0),
            created_at_ms: 0,
            placement,
            partition_map_version: 0,
            config,
        };
        state.topics.insert(name.to_owned(), record.clone());
        state.push(tails, Vec::new());
        Ok(record)
    }

    async fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        self.available()?;
        self.unless_changes_hang().await;
        let mut state = self.state();
        let record = state.topics.remove(name).ok_or(TopicError::UnknownTopic)?;
        state.logs.retain(|partition, _| partition.topic != record.number);
        state.push(Vec::new(), vec![record.number]);
        Ok(())
    }

    async fn topic(&self, name: &str) -> Result<TopicRecord, TopicError> {
        self.available()?;
        self.state().lookup_calls += 1;
        let _ = self.mood.subscribe().wait_for(|mood| !mood.lookups_hang).await;
        self.state().topics.get(name).cloned().ok_or(TopicError::UnknownTopic)
    }

    async fn topics(&self, after: &str, max: usize) -> Result<Vec<TopicRecord>, SequencerError> {
        self.available()?;
        let state = self.state();
        let later = state.topics.range::<str, _>((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
        Ok(later.take(max).map(|(_, record)| record.clone()).collect())
    }

    async fn init_producer(&self) -> Result<ProducerId, SequencerError> {
        self.available()?;
        self.unless_changes_hang().await;
        let mut state = self.state();
        state.next_producer += 1;
        Ok(ProducerId(state.next_producer))
    }
}
