//! What every [`Sequencer`] does, as a test. It panics at the first difference.

use bytes::Bytes;
use eagre_model::{
    ObjectId, Placement, ProducerEpoch, ProducerId, RunKind, TopicConfig, TopicNumber, TopicPartition, TopicRecord,
    UploadEpoch, batch::crc32c,
};

use crate::{
    BatchOutcome, CommitBatch, CommitFailure, CommitReply, CommitRequest, CommitRun, CommitStream, CreateTopicError,
    Joined, PartOf, PartitionBounds, ProducerSequence, RefusalReason, Sequencer, TailUpdate, TailUpdates, TopicError,
};

/// Puts a sequencer without topics to the test.
pub async fn check(sequencer: &dyn Sequencer) {
    topics(sequencer).await;
    refuses_illegal_topics(sequencer).await;
    gives_numbers_once(sequencer).await;
    commits_in_order(sequencer).await;
    judges_each_batch(sequencer).await;
    judges_numbered_requests_whole(sequencer).await;
    refuses_made_up_producers(sequencer).await;
    answers_a_repetition_from_its_record(sequencer).await;
    answers_many_commits_in_order(sequencer).await;
    finds_runs(sequencer).await;
    stores_inline_bytes(sequencer).await;
    pushes_what_changes(sequencer).await;
    forgets_deleted_topics(sequencer).await;
    ends_streams_that_make_no_sense(sequencer).await;
}

async fn topics(sequencer: &dyn Sequencer) {
    assert_eq!(ok(sequencer.topics("", 10).await), []);
    assert_eq!(sequencer.topic("fixed").await, Err(TopicError::UnknownTopic));
    let fixed = ok(sequencer.create_topic("fixed", Some(3)).await);
    assert_eq!((fixed.name.as_str(), fixed.placement.partitions()), ("fixed", 3));
    let config = TopicConfig { max_message_bytes: Some(65_536) };
    let elastic = ok(sequencer.create_topic_with("elastic", None, config).await);
    assert_eq!((fixed.config, elastic.config), (TopicConfig::default(), config));
    assert!(matches!(&elastic.placement, Placement::Elastic { classes } if classes.len() == 4), "{elastic:?}");
    assert!(elastic.number != fixed.number && elastic.id != fixed.id);
    assert_eq!(sequencer.create_topic("fixed", Some(3)).await, Err(CreateTopicError::Exists));
    assert_eq!(ok(sequencer.topic("fixed").await), fixed);
    assert_eq!(ok(sequencer.topics("", 10).await), [elastic.clone(), fixed.clone()]);
    assert_eq!(ok(sequencer.topics("", 1).await), [elastic]);
    assert_eq!(ok(sequencer.topics("elastic", 10).await), std::slice::from_ref(&fixed));
    ok(sequencer.delete_topic("fixed").await);
    assert_eq!(sequencer.delete_topic("fixed").await, Err(TopicError::UnknownTopic));
    let again = ok(sequencer.create_topic("fixed", Some(1)).await);
    assert!(again.number > fixed.number && again.id != fixed.id, "a name may come back, a number never");
}

async fn refuses_illegal_topics(sequencer: &dyn Sequencer) {
    for name in ["", ".", "..", "a/b", "a b", &"x".repeat(250)] {
        let refused = sequencer.create_topic(name, Some(1)).await;
        assert!(
            matches!(&refused, Err(CreateTopicError::InvalidName(why)) if !why.is_empty()),
            "{name:?}: {refused:?}"
        );
    }
    for partitions in [0, 10_001, u32::MAX] {
        let refused = sequencer.create_topic("many", Some(partitions)).await;
        assert!(matches!(&refused, Err(CreateTopicError::InvalidPartitions(_))), "{partitions}: {refused:?}");
    }
    assert_eq!(sequencer.topic("many").await, Err(TopicError::UnknownTopic));
}

async fn gives_numbers_once(sequencer: &dyn Sequencer) {
    let (first, second) = (ok(sequencer.join().await), ok(sequencer.join().await));
    assert!(second.incarnation > first.incarnation);
    assert_eq!((&first.cluster_id, first.upload_epoch), (&second.cluster_id, second.upload_epoch));
    let (first, second) = (ok(sequencer.init_producer().await), ok(sequencer.init_producer().await));
    assert!(first.0 >= 0 && second > first);
}

async fn commits_in_order(sequencer: &dyn Sequencer) {
    let topic = ok(sequencer.create_topic("ordered", Some(2)).await);
    let mut gateway = Gateway::join(sequencer).await;
    assert_eq!(bounds(sequencer, &topic, 0).await, Some(empty()));
    let runs = [(of(&topic, 0), vec![batch(3), batch(2)]), (of(&topic, 1), vec![batch(1)])];
    assert_eq!(gateway.commit(runs).await, [appended(0), appended(3), appended(0)]);
    assert_eq!(gateway.commit([(of(&topic, 0), vec![batch(1)])]).await, [appended(5)]);
    let full = PartitionBounds { log_start_offset: 0, high_watermark: 6, size_bytes: 600 };
    assert_eq!(bounds(sequencer, &topic, 0).await, Some(full));
    let nowhere = TopicPartition { topic: TopicNumber(u64::MAX), partition: 0 };
    let asked = [of(&topic, 1), nowhere, of(&topic, 2), of(&topic, 0)];
    let answered = ok(sequencer.bounds(&asked).await);
    let ends: Vec<_> = answered.iter().map(|bounds| bounds.map(|bounds| bounds.high_watermark)).collect();
    assert_eq!(ends, [Some(1), None, None, Some(6)]);
    assert_eq!(ok(sequencer.bounds(&[]).await), []);
}

async fn judges_each_batch(sequencer: &dyn Sequencer) {
    let topic = ok(sequencer.create_topic("judged", Some(1)).await);
    let producer = ok(sequencer.init_producer().await);
    let mut gateway = Gateway::join(sequencer).await;
    let by = |epoch, first_sequence, records| CommitBatch {
        producer: Some(ProducerSequence { id: producer, epoch: ProducerEpoch(epoch), first_sequence }),
        ..batch(records)
    };
    let run = vec![by(0, 0, 2), by(0, 0, 2), by(0, 5, 1), batch(1), by(0, 2, 1)];
    assert_eq!(
        gateway.commit([(of(&topic, 0), run)]).await,
        [
            appended(0),
            BatchOutcome::Duplicate { base_offset: 0 },
            refused(RefusalReason::OutOfOrderSequence { expected: 2 }),
            appended(2),
            appended(3),
        ]
    );
    let nowhere = TopicPartition { topic: topic.number, partition: 1 };
    let runs = [(nowhere, vec![batch(1)]), (of(&topic, 0), vec![by(1, 0, 1), by(0, 3, 1)])];
    assert_eq!(
        gateway.commit(runs).await,
        [
            refused(RefusalReason::UnknownPartition),
            appended(4),
            refused(RefusalReason::ProducerFenced { current: ProducerEpoch(1) }),
        ]
    );
    for sequence in 1..18 {
        assert_eq!(
            gateway.commit([(of(&topic, 0), vec![by(1, sequence, 1)])]).await,
            [appended(4 + i64::from(sequence))]
        );
    }
    let runs = [(of(&topic, 0), vec![by(1, 1, 1), by(1, 2, 1)])];
    let expected = [refused(RefusalReason::SequenceTooOld), BatchOutcome::Duplicate { base_offset: 6 }];
    assert_eq!(gateway.commit(runs).await, expected);
}

async fn judges_numbered_requests_whole(sequencer: &dyn Sequencer) {
    let topic = ok(sequencer.create_topic("numbered", Some(3)).await);
    let producer = ok(sequencer.init_producer().await);
    let mut gateway = Gateway::join(sequencer).await;
    let part = |first_sequence, number, records, of_all, partition_map_version| CommitBatch {
        producer: Some(ProducerSequence { id: producer, epoch: ProducerEpoch(0), first_sequence }),
        part: Some(PartOf { number, records: of_all, partition_map_version }),
        ..batch(records)
    };
    let three =
        |number| [(of(&topic, 0), vec![part(0, number, 2, 3, 1)]), (of(&topic, 2), vec![part(0, number, 1, 3, 1)])];
    assert_eq!(gateway.commit(three(1)).await, [appended(0), appended(0)]);
    let duplicate = BatchOutcome::Duplicate { base_offset: 0 };
    assert_eq!(gateway.commit(three(5)).await, [duplicate, duplicate]);
    let elsewhere = [(of(&topic, 1), vec![part(0, 1, 3, 3, 2)])];
    assert_eq!(gateway.commit(elsewhere).await, [BatchOutcome::DuplicateElsewhere]);
    let gap = [(of(&topic, 0), vec![part(4, 1, 1, 2, 1)]), (of(&topic, 1), vec![part(4, 1, 1, 2, 1)])];
    let expected = refused(RefusalReason::OutOfOrderSequence { expected: 3 });
    assert_eq!(gateway.commit(gap).await, [expected, expected]);
    // The state comes back from where it is kept.
    let mut other = Gateway::join(sequencer).await;
    let next = [(of(&topic, 1), vec![part(3, 1, 1, 1, 1), part(0, 2, 3, 3, 2)])];
    assert_eq!(other.commit(next).await, [appended(0), BatchOutcome::DuplicateElsewhere]);
}

async fn refuses_made_up_producers(sequencer: &dyn Sequencer) {
    let topic = ok(sequencer.create_topic("made-up", Some(1)).await);
    let mut gateway = Gateway::join(sequencer).await;
    let by = |id| ProducerSequence { id, epoch: ProducerEpoch(0), first_sequence: 0 };
    let given = ok(sequencer.init_producer().await);
    for made_up in [ProducerId(given.0 + 1), ProducerId(1 << 40), ProducerId(i64::MAX)] {
        let numbered = PartOf { number: 1, records: 1, partition_map_version: 1 };
        let batches = vec![
            CommitBatch { producer: Some(by(made_up)), ..batch(1) },
            CommitBatch { producer: Some(by(made_up)), part: Some(numbered), ..batch(1) },
        ];
        let expected = refused(RefusalReason::UnissuedProducerId);
        assert_eq!(gateway.commit([(of(&topic, 0), batches)]).await, [expected, expected]);
    }
    // It is that of whoever asks next.
    let next = ok(sequencer.init_producer().await);
    assert_eq!(next.0, given.0 + 1);
    let batches = vec![CommitBatch { producer: Some(by(next)), ..batch(1) }];
    assert_eq!(gateway.commit([(of(&topic, 0), batches)]).await, [appended(0)]);
}

async fn answers_a_repetition_from_its_record(sequencer: &dyn Sequencer) {
    let topic = ok(sequencer.create_topic("repeated", Some(1)).await);
    let mut gateway = Gateway::join(sequencer).await;
    let nowhere = TopicPartition { topic: topic.number, partition: 1 };
    let asked =
        gateway.request([(of(&topic, 0), vec![batch(2)]), (nowhere, vec![batch(1)]), (of(&topic, 0), vec![batch(1)])]);
    let expected = vec![appended(0), refused(RefusalReason::UnknownPartition), appended(2)];
    for _ in 0..2 {
        assert_eq!(outcomes(gateway.send(asked.clone()).await), expected);
    }
    // After a reconnect, among others that wait.
    gateway.reopen(sequencer).await;
    assert_eq!(outcomes(gateway.send(asked.clone()).await), expected);
    assert_eq!(bounds(sequencer, &topic, 0).await.map(|bounds| bounds.high_watermark), Some(3));
    let mut other = asked.clone();
    other.runs[0].batches[0].crc32c += 1;
    assert_eq!(gateway.send(other).await.result, Err(CommitFailure::Mismatch));
    let mut future = asked;
    future.object.epoch = UploadEpoch(gateway.joined.upload_epoch.0 + 1);
    let upload_epoch = gateway.joined.upload_epoch;
    assert_eq!(gateway.send(future).await.result, Err(CommitFailure::EpochBelowFloor { upload_epoch }));
}

async fn answers_many_commits_in_order(sequencer: &dyn Sequencer) {
    const COMMITS: i64 = 500;
    let topic = ok(sequencer.create_topic("pipelined", Some(1)).await);
    let mut gateway = Gateway::join(sequencer).await;
    let requests = gateway.stream.requests.clone();
    let asked: Vec<CommitRequest> = (0..COMMITS).map(|_| gateway.request([(of(&topic, 0), vec![batch(2)])])).collect();
    let objects: Vec<ObjectId> = asked.iter().map(|request| request.object).collect();
    let send = async {
        for request in asked {
            ok(requests.send(request).await);
        }
    };
    let receive = async {
        for (number, object) in (0..COMMITS).zip(objects) {
            let reply = gateway.next_reply().await;
            assert_eq!(reply.object, object);
            assert_eq!(outcomes(reply), [appended(2 * number)]);
        }
    };
    futures::join!(send, receive);
}

async fn finds_runs(sequencer: &dyn Sequencer) {
    let topic = ok(sequencer.create_topic("found", Some(2)).await);
    let partition = of(&topic, 0);
    let mut gateway = Gateway::join(sequencer).await;
    assert_eq!(ok(sequencer.find_by_time(partition, i64::MIN).await), None);
    // Five runs of two batches with two records each; the fourth one's times lie back.
    for time in [100, 200, 300, 150, 400] {
        let at = |max_timestamp_ms| CommitBatch { max_timestamp_ms, ..batch(2) };
        gateway.commit([(of(&topic, 1), vec![batch(1)]), (partition, vec![at(time), at(time - 1)])]).await;
    }
    let all = ok(sequencer.read_index(partition, 0, 100).await);
    let spans: Vec<_> = all.iter().map(|run| (run.base_offset, run.last_offset)).collect();
    assert_eq!(spans, [(0, 3), (4, 7), (8, 11), (12, 15), (16, 19)]);
    assert!(all.iter().all(|run| (run.batches, run.length_bytes, run.position_bytes) == (2, 400, 100)), "{all:?}");
    let maxima: Vec<_> = all.iter().map(|run| run.prefix_max_timestamp_ms).collect();
    assert_eq!(maxima, [100, 200, 300, 300, 400]);
    assert_eq!(ok(sequencer.read_index(partition, 7, 2).await), all[1..3]);
    assert_eq!(ok(sequencer.read_index(partition, 8, 1).await), all[2..3]);
    assert_eq!(ok(sequencer.read_index(partition, -5, 1).await), all[..1]);
    for (offset, max_rows) in [(20, 10), (i64::MAX, 10), (0, 0)] {
        assert_eq!(ok(sequencer.read_index(partition, offset, max_rows).await), [], "{offset} {max_rows}");
    }
    assert_eq!(ok(sequencer.read_index(of(&topic, 9), 0, 10).await), []);
    for (time, run) in [(i64::MIN, 0), (100, 0), (101, 1), (200, 1), (300, 2), (301, 4), (400, 4)] {
        assert_eq!(ok(sequencer.find_by_time(partition, time).await), Some(all[run]), "{time}");
    }
    assert_eq!(ok(sequencer.find_by_time(partition, 401).await), None);
    assert_eq!(ok(sequencer.find_by_time(of(&topic, 9), 0).await), None);
}

async fn stores_inline_bytes(sequencer: &dyn Sequencer) {
    let topic = ok(sequencer.create_topic("inline", Some(2)).await);
    let (first, second) = (of(&topic, 0), of(&topic, 1));
    let mut gateway = Gateway::join(sequencer).await;
    let producer = ok(sequencer.init_producer().await);
    let by = |first_sequence| CommitBatch {
        producer: Some(ProducerSequence { id: producer, epoch: ProducerEpoch(0), first_sequence }),
        ..batch(1)
    };
    // One that comes too early stands between two others.
    let (asked, bytes) = gateway.inline([(first, vec![batch(2), by(9), batch(1)]), (second, vec![batch(1)])]);
    let expected = [appended(0), refused(RefusalReason::OutOfOrderSequence { expected: 0 }), appended(2), appended(0)];
    for _ in 0..2 {
        assert_eq!(outcomes(gateway.send(asked.clone()).await), expected, "again: from its record");
    }
    assert_eq!(gateway.commit([(first, vec![batch(1)])]).await, [appended(3)], "an object between inline ones");
    let (asked, later) = gateway.inline([(first, vec![batch(1), batch(1)])]);
    assert_eq!(outcomes(gateway.send(asked).await), [appended(4), appended(5)]);

    let index = ok(sequencer.read_index(first, 0, 10).await);
    let kinds: Vec<_> = index.iter().map(|run| (run.last_offset, run.batches, run.kind)).collect();
    let (wal, inline) = (RunKind::Wal, RunKind::Inline);
    assert_eq!(kinds, [(1, 1, inline), (2, 1, inline), (3, 1, wal), (5, 2, inline)]);
    let wanted = [5, 2, 3, 1, 0, 99, -1];
    let read = ok(sequencer.read_inline(first, &wanted).await);
    let both = Bytes::from([&later[0][..], &later[1]].concat());
    assert_eq!(read, [Some(both), Some(bytes[2].clone()), None, Some(bytes[0].clone()), None, None, None]);
    for (run, place) in [(0, 3), (1, 1), (3, 0)] {
        assert_eq!(read[place].as_ref().map(|bytes| crc32c(bytes)), Some(index[run].crc32c), "as the index says");
    }
    assert_eq!(ok(sequencer.read_inline(second, &[0]).await), [Some(bytes[3].clone())]);
    assert_eq!(ok(sequencer.read_inline(second, &[]).await), Vec::<Option<Bytes>>::new());
    assert_eq!(ok(sequencer.read_inline(of(&topic, 2), &[0]).await), [None]);

    // An answer is bounded, whatever is asked for.
    let large = CommitBatch { length_bytes: 1 << 20, ..batch(1) };
    for offset in 1..3 {
        let (asked, _) = gateway.inline([(second, vec![large.clone()])]);
        assert_eq!(outcomes(gateway.send(asked).await), [appended(offset)]);
    }
    let read = ok(sequencer.read_inline(second, &[1, 2]).await);
    assert_eq!(read.iter().map(|bytes| bytes.as_ref().map(Bytes::len)).collect::<Vec<_>>(), [Some(1 << 20)]);

    // Damaged on the way: nobody can say of it that it was committed.
    let (mut damaged, _) = gateway.inline([(first, vec![batch(1)])]);
    damaged.inline = Some(vec![0; 100].into());
    ok(gateway.stream.requests.send(damaged).await);
    assert_eq!(gateway.stream.replies.recv().await, None);
    assert_eq!(bounds(sequencer, &topic, 0).await.map(|bounds| bounds.high_watermark), Some(6));

    ok(sequencer.delete_topic("inline").await);
    assert_eq!(ok(sequencer.read_inline(first, &[1]).await), [None], "gone with its topic");
}

async fn pushes_what_changes(sequencer: &dyn Sequencer) {
    let topic = ok(sequencer.create_topic("pushed", Some(2)).await);
    let mut gateway = Gateway::join(sequencer).await;
    gateway.commit([(of(&topic, 0), vec![batch(2)])]).await;
    let mut updates = ok(sequencer.subscribe().await);
    let mut late = ok(sequencer.subscribe().await);
    let snapshot = next(&mut updates).await;
    assert_eq!(snapshot.number, 0);
    let ends: Vec<_> = snapshot.tails.iter().filter(|tail| tail.partition.topic == topic.number).collect();
    assert_eq!(ends.iter().map(|tail| tail.high_watermark).collect::<Vec<_>>(), [2, 0]);
    assert!(snapshot.tails.iter().all(|tail| tail.runs.is_empty()));

    gateway.commit([(of(&topic, 1), vec![batch(3)]), (of(&topic, 0), vec![batch(1)])]).await;
    let delta = next(&mut updates).await;
    assert_eq!((delta.number, delta.tails.len()), (1, 2));
    for (tail, (partition, end)) in delta.tails.iter().zip([(0, 3), (1, 3)]) {
        assert_eq!((tail.partition, tail.high_watermark), (of(&topic, partition), end));
        assert_eq!(tail.runs.last().map(eagre_model::Run::next_offset), Some(end));
    }
    assert_eq!(delta.tails[0].runs, ok(sequencer.read_index(of(&topic, 0), 2, 9).await));

    let born = ok(sequencer.create_topic("pushed-too", Some(1)).await);
    let delta = next(&mut updates).await;
    assert_eq!((delta.number, delta.tails.len(), delta.tails[0].partition), (2, 1, of(&born, 0)));
    ok(sequencer.delete_topic("pushed").await);
    let delta = next(&mut updates).await;
    assert_eq!((delta.number, &delta.deleted_topics[..], delta.tails.len()), (3, &[topic.number][..], 0));
    let numbers = [next(&mut late).await.number, next(&mut late).await.number, next(&mut late).await.number];
    assert_eq!(numbers, [0, 1, 2]);
}

async fn forgets_deleted_topics(sequencer: &dyn Sequencer) {
    let topic = ok(sequencer.create_topic("short-lived", Some(1)).await);
    let partition = of(&topic, 0);
    let mut gateway = Gateway::join(sequencer).await;
    assert_eq!(gateway.commit([(partition, vec![batch(1)])]).await, [appended(0)]);
    ok(sequencer.delete_topic("short-lived").await);
    assert_eq!(gateway.commit([(partition, vec![batch(1)])]).await, [refused(RefusalReason::UnknownPartition)]);
    assert_eq!(ok(sequencer.bounds(&[partition]).await), [None]);
    assert_eq!(ok(sequencer.read_index(partition, 0, 10).await), []);
    assert_eq!(ok(sequencer.find_by_time(partition, 0).await), None);
    let again = ok(sequencer.create_topic("short-lived", Some(1)).await);
    assert_eq!(bounds(sequencer, &again, 0).await, Some(empty()));
}

async fn ends_streams_that_make_no_sense(sequencer: &dyn Sequencer) {
    let topic = ok(sequencer.create_topic("sense", Some(1)).await);
    let mut gateway = Gateway::join(sequencer).await;
    let mut foreign = gateway.request([(of(&topic, 0), vec![batch(1)])]);
    foreign.object.incarnation += 1;
    ok(gateway.stream.requests.send(foreign).await);
    assert_eq!(gateway.stream.replies.recv().await, None);
    // A gateway has one stream: its new one ends its old one.
    gateway.reopen(sequencer).await;
    let mut older =
        std::mem::replace(&mut gateway.stream, ok(sequencer.open_commits(gateway.joined.incarnation).await));
    assert_eq!(older.replies.recv().await, None);
    assert_eq!(gateway.commit([(of(&topic, 0), vec![batch(1)])]).await, [appended(0)]);
}

/// A gateway that commits objects that nobody uploads.
struct Gateway {
    joined: Joined,
    stream: CommitStream,
    next_number: u64,
    fill: u8,
}

impl Gateway {
    async fn join(sequencer: &dyn Sequencer) -> Self {
        let joined = ok(sequencer.join().await);
        let stream = ok(sequencer.open_commits(joined.incarnation).await);
        Self { joined, stream, next_number: 0, fill: 1 }
    }

    async fn reopen(&mut self, sequencer: &dyn Sequencer) {
        self.stream = ok(sequencer.open_commits(self.joined.incarnation).await);
    }

    /// A new object whose runs lie one behind the other.
    fn request(&mut self, runs: impl IntoIterator<Item = (TopicPartition, Vec<CommitBatch>)>) -> CommitRequest {
        let (epoch, incarnation) = (self.joined.upload_epoch, self.joined.incarnation);
        let object = ObjectId { epoch, incarnation, number: self.next_number };
        self.next_number += 1;
        let mut object_length_bytes = 0;
        let mut at = |partition, batches: Vec<CommitBatch>| {
            let position_bytes = object_length_bytes;
            object_length_bytes += batches.iter().map(|batch| u64::from(batch.length_bytes)).sum::<u64>();
            CommitRun { partition, position_bytes, batches }
        };
        let runs = runs.into_iter().map(|(partition, batches)| at(partition, batches)).collect();
        CommitRequest { object, object_length_bytes, runs, inline: None, settled_below: 0, traceparent: None }
    }

    /// The same, with its bytes inside: every batch is filled with its own number.
    fn inline(
        &mut self,
        runs: impl IntoIterator<Item = (TopicPartition, Vec<CommitBatch>)>,
    ) -> (CommitRequest, Vec<Bytes>) {
        let mut request = self.request(runs);
        let (mut batches, mut whole) = (Vec::new(), Vec::new());
        for batch in request.runs.iter_mut().flat_map(|run| &mut run.batches) {
            let fill = self.fill;
            self.fill = self.fill.wrapping_add(1);
            let bytes = vec![fill; batch.length_bytes as usize];
            batch.crc32c = crc32c(&bytes);
            whole.extend_from_slice(&bytes);
            batches.push(bytes.into());
        }
        request.inline = Some(whole.into());
        (request, batches)
    }

    async fn send(&mut self, request: CommitRequest) -> CommitReply {
        let object = request.object;
        ok(self.stream.requests.send(request).await);
        let reply = self.next_reply().await;
        assert_eq!(reply.object, object);
        reply
    }

    async fn next_reply(&mut self) -> CommitReply {
        ok(self.stream.replies.recv().await.ok_or("the stream ended"))
    }

    async fn commit(
        &mut self,
        runs: impl IntoIterator<Item = (TopicPartition, Vec<CommitBatch>)>,
    ) -> Vec<BatchOutcome> {
        let request = self.request(runs);
        outcomes(self.send(request).await)
    }
}

fn of(topic: &TopicRecord, partition: u32) -> TopicPartition {
    TopicPartition { topic: topic.number, partition }
}

fn batch(records: u32) -> CommitBatch {
    CommitBatch {
        length_bytes: 100 * records,
        record_count: records,
        crc32c: records,
        max_timestamp_ms: 0,
        attributes: 0,
        producer: None,
        part: None,
    }
}

fn appended(base_offset: i64) -> BatchOutcome {
    BatchOutcome::Appended { base_offset }
}

fn refused(reason: RefusalReason) -> BatchOutcome {
    BatchOutcome::Refused(reason)
}

fn outcomes(reply: CommitReply) -> Vec<BatchOutcome> {
    ok(reply.result).outcomes
}

fn empty() -> PartitionBounds {
    PartitionBounds { log_start_offset: 0, high_watermark: 0, size_bytes: 0 }
}

async fn bounds(sequencer: &dyn Sequencer, topic: &TopicRecord, partition: u32) -> Option<PartitionBounds> {
    ok(sequencer.bounds(&[of(topic, partition)]).await)[0]
}

async fn next(updates: &mut TailUpdates) -> std::sync::Arc<TailUpdate> {
    ok(updates.recv().await.ok_or("the subscription ended"))
}

fn ok<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => unreachable!("the sequencer failed: {error:?}"),
    }
}
