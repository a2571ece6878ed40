use eagre_model::{
    Placement,
    batch::Compression,
    records::{BatchBuilder, ProducerFields},
};
use eagre_objects::BucketKind;
use tokio::sync::oneshot;

use super::*;
use crate::GatewaySettings;
use crate::produce::{
    answer::Reply,
    cutter::Cutter,
    edge::CheckedBatch,
    linger::Linger,
    open::{Next, OpenObjects, PendingBatch},
    origin::Origin,
    upload::build,
};

const WAIT: Duration = Duration::from_secs(30);

/// A queue and what it is told.
struct Play {
    queue: CommitQueue,
    answers: Vec<oneshot::Receiver<Answer>>,
    now: Instant,
    numbers: u64,
    epoch: u64,
}

impl Play {
    fn new() -> Self {
        Self { queue: CommitQueue::new(WAIT, false), answers: Vec::new(), now: Instant::now(), numbers: 0, epoch: 0 }
    }

    fn id(&mut self) -> ObjectId {
        self.numbers += 1;
        ObjectId { epoch: UploadEpoch(self.epoch), incarnation: 1, number: self.numbers }
    }

    /// Cuts an object of one batch and begins to upload it.
    fn cut(&mut self) -> (u64, ObjectId, Parts) {
        let interval = Duration::ZERO;
        let cutter = Cutter {
            bytes_max: 1,
            bytes_busy: 1,
            partitions_max: 1,
            interval_min: interval,
            interval_max: interval,
            inline_bytes_max: 0,
            inline_interval_min: interval,
        };
        let linger = Linger::new(&GatewaySettings::for_bucket(BucketKind::Folder), || 0);
        let open = OpenObjects::new(cutter, Arc::new(linger), Arc::default());
        let mut builder = BatchBuilder::new(ProducerFields::NONE);
        builder.push_parts(None, Some(b"v"), std::iter::empty(), 0).unwrap();
        let encoded = builder.finish(Compression::None).unwrap();
        let (reply, answer) = Reply::unary(Origin::new(None, "t"));
        let partition = TopicPartition { topic: TopicNumber(7), partition: 0 };
        let topic = TopicRecord {
            number: partition.topic,
            name: "t".into(),
            id: 0,
            created_at_ms: 0,
            placement: Placement::Fixed { partitions: 1 },
            partition_map_version: 0,
            config: eagre_model::TopicConfig::default(),
        };
        let batch = CheckedBatch { bytes: encoded.bytes, valid: encoded.valid, part: None };
        open.push(vec![PendingBatch {
            topic: Arc::new(topic),
            partition,
            batch,
            ticket: reply.ticket(partition),
            grant: None,
        }]);
        let Next::Object(object, _) = open.take(self.now, false) else { panic!("one batch is enough") };
        self.answers.push(answer);
        let (order, parts) = self.queue.push(object, self.now);
        let id = self.id();
        self.queue.uploading(order, id);
        (order, id, parts)
    }

    fn upload(&mut self, order: u64, id: ObjectId, parts: Parts) {
        self.finish(order, build(id, parts));
    }

    fn finish(&mut self, order: u64, uploaded: Uploaded) {
        self.queue.uploaded(order, Ok(uploaded));
    }

    fn ready(&mut self) -> ObjectId {
        let (order, id, parts) = self.cut();
        self.upload(order, id, parts);
        id
    }

    fn submit_all(&mut self) -> Vec<ObjectId> {
        std::iter::from_fn(|| self.queue.submit().map(|request| request.object)).collect()
    }

    /// The sequencer appends the object's batch at this offset.
    fn appended(&mut self, object: ObjectId, base_offset: i64) {
        let result = Ok(CommitAnswer { outcomes: vec![BatchOutcome::Appended { base_offset }] });
        for effect in self.queue.reply(CommitReply { object, result, takes_inline: true }).expect("it was waited for") {
            let Effect::Answer(answers) = effect else { panic!("an answer") };
            answers.deliver();
        }
    }

    /// The sequencer refuses the object's epoch; returns what is to be uploaded again.
    fn below_floor(&mut self, object: ObjectId) -> (u64, ObjectId, Uploaded) {
        self.epoch = 1;
        let result = Err(CommitFailure::EpochBelowFloor { upload_epoch: UploadEpoch(1) });
        let mut effects =
            self.queue.reply(CommitReply { object, result, takes_inline: true }).expect("it was waited for");
        let Some(Effect::UploadAgain { order, uploaded, upload_epoch: UploadEpoch(1) }) = effects.pop() else {
            panic!("to be uploaded again")
        };
        let id = self.id();
        self.queue.uploading(order, id);
        (order, id, uploaded.renamed(id))
    }

    fn answer(&mut self, request: usize) -> Option<Result<i64, Refusal>> {
        let answer = self.answers[request].try_recv().ok()?;
        Some(answer.map(|response| response.base_offset))
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_overtakes_an_upload() {
    let mut play = Play::new();
    let (first, first_id, first_parts) = play.cut();
    let second_id = play.ready();
    assert_eq!(play.submit_all(), []);
    play.upload(first, first_id, first_parts);
    assert_eq!(play.submit_all(), [first_id, second_id]);
    play.appended(first_id, 0);
    play.appended(second_id, 1);
    assert_eq!([play.answer(0), play.answer(1)], [Some(Ok(0)), Some(Ok(1))]);
    assert!(play.queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_failed_holds_up_nothing() {
    let mut play = Play::new();
    let (first, _, _) = play.cut();
    let second = play.ready();
    play.queue.uploaded(first, Err(UploadFailure("full".into())));
    assert_eq!(play.answer(0), Some(Err(Refusal::Unavailable("full".into()))));
    assert_eq!(play.submit_all(), [second]);
}

#[tokio::test(start_paused = true)]
async fn after_a_break_the_order_is_the_same() {
    let mut play = Play::new();
    let ids = [play.ready(), play.ready(), play.ready()];
    assert_eq!(play.submit_all(), ids);
    play.appended(ids[0], 0);
    play.queue.stream_lost();
    let newer = play.ready();
    assert_eq!(play.submit_all(), [ids[1], ids[2], newer]);
}

#[tokio::test(start_paused = true)]
async fn the_planted_bug_turns_the_order_round() {
    let mut play = Play::new();
    play.queue.resends_reversed = true;
    let ids = [play.ready(), play.ready(), play.ready()];
    play.submit_all();
    play.queue.stream_lost();
    assert_eq!(play.submit_all(), [ids[2], ids[1], ids[0]]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_something_else_is_not_taken() {
    let mut play = Play::new();
    let ids = [play.ready(), play.ready()];
    play.submit_all();
    let result = Ok(CommitAnswer { outcomes: vec![BatchOutcome::Appended { base_offset: 0 }] });
    assert!(play.queue.reply(CommitReply { object: ids[1], result, takes_inline: true }).is_none());
    play.queue.stream_lost();
    assert_eq!(play.submit_all(), ids);
}

#[tokio::test(start_paused = true)]
async fn below_the_floor_the_order_stays_even_when_the_second_upload_is_quick() {
    let mut play = Play::new();
    let old = [play.ready(), play.ready()];
    assert_eq!(play.submit_all(), old);
    let (first, first_id, object) = play.below_floor(old[0]);
    // Cut and uploaded under the new epoch while the second one is not refused yet.
    let newer = play.ready();
    assert_eq!(play.submit_all(), []);
    play.finish(first, object);
    assert_eq!(play.submit_all(), [first_id], "the second one comes again before the newer one");
    let (second, second_id, object) = play.below_floor(old[1]);
    play.appended(first_id, 0);
    assert_eq!(play.submit_all(), []);
    play.finish(second, object);
    assert_eq!(play.submit_all(), [second_id, newer]);
    play.appended(second_id, 1);
    play.appended(newer, 2);
    assert_eq!([play.answer(0), play.answer(1), play.answer(2)], [Some(Ok(0)), Some(Ok(1)), Some(Ok(2))]);
}

#[tokio::test(start_paused = true)]
async fn what_waited_too_long_is_told_what_is_known() {
    let mut play = Play::new();
    let submitted = play.ready();
    play.submit_all();
    play.queue.stream_lost();
    play.ready();
    let (_, _, _) = play.cut();
    assert_eq!(play.queue.next_expiry(), Some(play.now + WAIT));
    play.queue.note_trouble("no sequencer".into());
    play.queue.expire(play.now + WAIT - Duration::from_millis(1));
    assert_eq!(play.answer(0), None);
    play.queue.expire(play.now + WAIT);
    assert!(matches!(play.answer(0), Some(Err(Refusal::OutcomeUnknown(_)))), "it may have been judged");
    assert_eq!(play.answer(1), Some(Err(Refusal::Unavailable("no sequencer".into()))));
    assert_eq!(play.answer(2), Some(Err(Refusal::Unavailable("no sequencer".into()))));
    assert_eq!(play.queue.next_expiry(), None);
    assert_eq!(play.submit_all(), [submitted], "it is asked for until it is answered");
    play.appended(submitted, 0);
    assert!(play.queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_another_length_is_an_unknown_outcome() {
    let mut play = Play::new();
    let object = play.ready();
    play.submit_all();
    let reply = CommitReply { object, result: Ok(CommitAnswer { outcomes: Vec::new() }), takes_inline: true };
    for effect in play.queue.reply(reply).unwrap() {
        let Effect::Answer(answers) = effect else { panic!("an answer") };
        answers.deliver();
    }
    assert!(matches!(play.answer(0), Some(Err(Refusal::OutcomeUnknown(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_gone_is_forgotten_before_its_client_hears_of_it() {
    let mut play = Play::new();
    let object = play.ready();
    play.submit_all();
    let outcomes = vec![BatchOutcome::Refused(RefusalReason::UnknownPartition)];
    let effects =
        play.queue.reply(CommitReply { object, result: Ok(CommitAnswer { outcomes }), takes_inline: true }).unwrap();
    assert!(matches!(effects[..], [Effect::Forget(TopicNumber(7)), Effect::Answer(_)]));
}
