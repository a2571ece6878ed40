//! The queue against a model of the service that appends by the rules: next sequence, window, epoch.

use std::{collections::BTreeMap, sync::Arc};

use eagre_env::SeededRandomness;
use eagre_model::{
    batch::{BatchHeader, Limits, validate},
    records::records,
};
use tokio::sync::Semaphore;

use super::*;
use crate::producer::delivery::Room;

const WINDOW: usize = 4;

fn bounds() -> Bounds {
    Bounds {
        linger: Duration::from_millis(1),
        batch_bytes: 300,
        compression: Compression::None,
        delivery_timeout: Duration::from_secs(10),
        in_flight_max: WINDOW,
    }
}

/// One partition of the service.
#[derive(Default)]
struct Service {
    producers: BTreeMap<i64, Known>,
    /// Lower ids do not begin.
    forgotten_below: i64,
    /// Values of the records in the log.
    log: Vec<String>,
}

/// What the service knows of a producer.
#[derive(Default)]
struct Known {
    epoch: i16,
    next_sequence: i32,
    /// First sequence and base offset of the last batches.
    window: VecDeque<(i32, i64)>,
}

impl Service {
    fn append(&mut self, bytes: &Bytes) -> Verdict {
        let header = validate(bytes, &Limits::default()).unwrap().header;
        let id = header.producer_id;
        if !self.producers.contains_key(&id) && id < self.forgotten_below {
            return Verdict::ProducerForgotten("who is it?".into());
        }
        self.producers.entry(id).or_default().append(&mut self.log, bytes)
    }

    /// All that have appended.
    fn forget(&mut self) {
        let next = self.producers.last_key_value().map_or(0, |(id, _)| id + 1);
        self.forgotten_below = self.forgotten_below.max(next);
        self.producers.clear();
    }
}

impl Known {
    fn append(&mut self, log: &mut Vec<String>, bytes: &Bytes) -> Verdict {
        let header = validate(bytes, &Limits::default()).unwrap().header;
        if header.producer_epoch < self.epoch {
            return Verdict::Refused(SendError::Refused("fenced".into()));
        }
        let is_new = header.producer_epoch > self.epoch;
        let expected = if is_new { 0 } else { self.next_sequence };
        if header.base_sequence != expected {
            if is_new {
                return Verdict::OutOfOrder("a new epoch begins with 0".into());
            }
            return match self.window.iter().find(|(first, _)| *first == header.base_sequence) {
                Some(&(_, base_offset)) => Verdict::Appended { base_offset },
                None if header.base_sequence < expected => Verdict::Unknowable("too old".into()),
                None => Verdict::OutOfOrder("gap".into()),
            };
        }
        if is_new {
            self.epoch = header.producer_epoch;
            self.window.clear();
        }
        let base_offset = log.len() as i64;
        log.extend(values(bytes));
        self.next_sequence = advance_sequence(expected, header.record_count.unsigned_abs());
        self.window.push_back((header.base_sequence, base_offset));
        if self.window.len() > WINDOW {
            self.window.pop_front();
        }
        Verdict::Appended { base_offset }
    }
}

fn values(bytes: &Bytes) -> Vec<String> {
    let value = |record: Result<eagre_model::records::DecodedRecord, _>| {
        String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap()
    };
    records(bytes, &Limits::default()).unwrap().map(value).collect()
}

/// A queue, its time, and what it was given and has settled.
struct Bench {
    queue: PartitionQueue,
    bounds: Bounds,
    random: SeededRandomness,
    now: Instant,
    attempts: u64,
    batches: u64,
    records: u64,
    identities: i64,
    /// Values of each batch.
    pushed: BTreeMap<u64, Vec<String>>,
    settled: Vec<Settled>,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let mut queue = PartitionQueue::default();
        queue.set_identity(Identity { producer_id: 9, epoch: 0 });
        Self {
            queue,
            bounds: bounds(),
            random: SeededRandomness::new(seed),
            now: Instant::now(),
            attempts: 0,
            batches: 0,
            records: 0,
            identities: 0,
            pushed: BTreeMap::new(),
            settled: Vec::new(),
        }
    }

    /// Gives the queue another producer id where it needs one.
    fn identify(&mut self) {
        if self.queue.needs_identity() {
            self.identities += 1;
            self.queue.set_identity(Identity { producer_id: 9 + self.identities, epoch: 0 });
        }
    }

    fn push(&mut self) {
        let value = format!("record {}", self.records);
        self.records += 1;
        let record = Record { value: Some(value.clone().into()), ..Record::default() };
        let next_id = self.batches;
        let room = Room::new(Arc::new(Semaphore::new(0)), 0);
        self.queue.push(&record, self.now, &self.bounds, || (next_id, Receipts::new(room))).unwrap();
        if self.queue.open.as_ref().unwrap().id == next_id {
            self.batches += 1;
        }
        self.pushed.entry(self.batches - 1).or_default().push(value);
    }

    /// A batch of one record, closed.
    fn push_batch(&mut self) {
        self.push();
        self.queue.close();
    }

    fn take(&mut self) -> Option<(u64, Outgoing)> {
        self.take_with(|_| ())
    }

    /// `meanwhile` happens while the batch is encoded.
    fn take_with(&mut self, meanwhile: impl FnOnce(&mut Self)) -> Option<(u64, Outgoing)> {
        self.attempts += 1;
        let outgoing = match self.queue.take(self.now, &self.bounds, self.attempts)? {
            Taken::Outgoing(outgoing) => outgoing,
            Taken::Unencoded(batch) => {
                let encoded = batch.encode();
                meanwhile(self);
                self.queue.encoded(encoded, self.attempts, &mut self.settled)?
            }
        };
        Some((self.attempts, outgoing))
    }

    fn take_all(&mut self) -> Vec<(u64, Outgoing)> {
        std::iter::from_fn(|| self.take()).collect()
    }

    fn answer(&mut self, sent: &(u64, Outgoing), verdict: Verdict) {
        self.queue.answer(sent.1.serial, sent.0, verdict, self.now, &self.random, &mut self.settled);
    }

    fn sleep(&mut self, duration: Duration) {
        self.now += duration;
        self.queue.expire(self.now, &self.bounds, "nobody is there", &mut self.settled);
    }

    fn results(&self) -> Vec<(u64, Result<i64, SendError>)> {
        self.settled.iter().map(|settled| (settled.batch_id, settled.result.clone())).collect()
    }
}

fn sequences(sent: &[(u64, Outgoing)]) -> Vec<(i16, i32)> {
    let header = |outgoing: &Outgoing| BatchHeader::parse(&outgoing.bytes).unwrap();
    sent.iter().map(|(_, outgoing)| (header(outgoing).producer_epoch, header(outgoing).base_sequence)).collect()
}

fn appended(base_offset: i64) -> Verdict {
    Verdict::Appended { base_offset }
}

#[test]
fn a_batch_waits_for_the_linger_or_until_it_is_full() {
    let mut bench = Bench::new(1);
    bench.push();
    assert!(bench.take().is_none());
    assert_eq!(bench.queue.wakes_at(bench.now, &bench.bounds), Some(bench.now + bench.bounds.linger));
    bench.sleep(bench.bounds.linger);
    assert_eq!(values(&bench.take().unwrap().1.bytes), ["record 0"]);
    while bench.queue.closed.len() < 2 {
        bench.push();
    }
    let full = bench.take().unwrap().1.bytes;
    assert!(full.len() <= bench.bounds.batch_bytes && full.len() > bench.bounds.batch_bytes - 30, "{}", full.len());
    assert!(bench.take().is_none(), "what is open waits");
    bench.queue.hurry();
    assert!(bench.take().is_some());
}

#[test]
fn while_the_window_is_full_the_open_batch_grows() {
    let mut bench = Bench::new(1);
    for _ in 0..WINDOW {
        bench.push_batch();
    }
    let sent = bench.take_all();
    assert_eq!(sequences(&sent), [(0, 0), (0, 1), (0, 2), (0, 3)]);
    bench.push();
    bench.push();
    bench.sleep(bench.bounds.linger);
    assert!(bench.take().is_none());
    // Whatever was answered behind it, the first unanswered batch holds the window.
    bench.answer(&sent[1], appended(1));
    assert!(bench.take().is_none());
    bench.answer(&sent[0], appended(0));
    let more = bench.take_all();
    assert_eq!(values(&more[0].1.bytes), ["record 4", "record 5"]);
    assert_eq!(sequences(&more), [(0, 4)]);
}

#[test]
fn batches_are_spread_over_the_time_that_an_answer_takes() {
    let mut bench = Bench::new(1);
    bench.bounds.batch_bytes = 100_000;
    let (step, round_trip) = (Duration::from_millis(10), Duration::from_millis(400));
    let mut unanswered = VecDeque::new();
    let mut sent_at = Vec::new();
    let begin = bench.now;
    for _ in 0..200 {
        bench.push();
        bench.sleep(step);
        while unanswered.front().is_some_and(|(at, _)| *at <= bench.now) {
            let (_, sent) = unanswered.pop_front().unwrap();
            bench.answer(&sent, appended(0));
        }
        if let Some(sent) = bench.take() {
            sent_at.push((bench.now - begin).as_millis());
            unanswered.push_back((bench.now + round_trip, sent));
        }
    }
    let begun = sent_at.iter().position(|at| *at > 800).unwrap();
    let apart: Vec<_> = sent_at[begun..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(apart.iter().all(|apart| *apart == 100), "each a fourth of the time of an answer: {apart:?}");
    // One that somebody waits for goes at once.
    for (_, sent) in unanswered {
        bench.answer(&sent, appended(0));
    }
    bench.sleep(round_trip);
    bench.push();
    bench.sleep(bench.bounds.linger);
    assert!(bench.take().is_some(), "the last one was long ago");
    bench.push();
    bench.sleep(bench.bounds.linger);
    assert!(bench.take().is_none());
    bench.queue.hurry();
    assert!(bench.take().is_some());
}

#[test]
fn after_a_disconnect_the_unanswered_are_sent_again_lowest_first() {
    let mut bench = Bench::new(1);
    for _ in 0..WINDOW + 2 {
        bench.push_batch();
    }
    let sent = bench.take_all();
    bench.answer(&sent[0], appended(0));
    bench.answer(&sent[2], appended(2));
    bench.queue.disconnect();
    let again = bench.take_all();
    assert_eq!(sequences(&again), [(0, 1), (0, 3), (0, 4)]);
    assert_eq!(again[0].1.bytes, sent[1].1.bytes, "the same bytes");
    bench.answer(&sent[1], appended(77));
    assert_eq!(bench.settled.len(), 2, "an answer to an earlier attempt is ignored");
}

#[test]
fn a_retriable_error_pauses_and_keeps_the_order() {
    let mut bench = Bench::new(1);
    for _ in 0..3 {
        bench.push_batch();
    }
    let sent = bench.take_all();
    bench.answer(&sent[0], Verdict::Again { maybe_appended: false });
    bench.answer(&sent[1], Verdict::OutOfOrder("gap".into()));
    bench.answer(&sent[2], Verdict::OutOfOrder("gap".into()));
    assert!(bench.take().is_none(), "it pauses");
    bench.now = bench.queue.wakes_at(bench.now, &bench.bounds).unwrap();
    assert_eq!(sequences(&bench.take_all()), [(0, 0), (0, 1), (0, 2)]);
    assert!(bench.settled.is_empty());
}

#[test]
fn a_refused_batch_fails_alone_and_the_others_get_new_numbers() {
    let mut bench = Bench::new(1);
    for _ in 0..3 {
        bench.push_batch();
    }
    let sent = bench.take_all();
    bench.answer(&sent[1], Verdict::Refused(SendError::TooLarge("big".into())));
    assert!(bench.settled.is_empty(), "the one before it is not settled");
    bench.answer(&sent[0], appended(0));
    assert_eq!(bench.results(), [(0, Ok(0)), (1, Err(SendError::TooLarge("big".into())))]);
    bench.push_batch();
    let again = bench.take_all();
    assert_eq!(sequences(&again), [(1, 0), (1, 1)]);
    assert_eq!(values(&again[0].1.bytes), ["record 2"]);
    assert_eq!(values(&again[1].1.bytes), ["record 3"]);
}

#[test]
fn a_gap_before_the_first_unanswered_batch_is_an_error() {
    let mut bench = Bench::new(1);
    bench.push_batch();
    let sent = bench.take_all();
    bench.answer(&sent[0], Verdict::OutOfOrder("expected 7".into()));
    let (_, result) = bench.results().remove(0);
    assert!(matches!(result, Err(SendError::Refused(message)) if message.contains("expected 7")));
}

#[test]
fn what_expires_before_it_was_sent_is_a_definite_failure() {
    let mut bench = Bench::new(1);
    bench.push_batch();
    bench.sleep(Duration::from_secs(1));
    bench.push();
    bench.sleep(bench.bounds.delivery_timeout - Duration::from_secs(1));
    assert_eq!(bench.results(), [(0, Err(SendError::Expired("nobody is there".into())))]);
    bench.sleep(Duration::from_secs(1));
    assert_eq!(bench.settled.len(), 2);
    assert!(bench.queue.is_empty());
    bench.push_batch();
    assert_eq!(sequences(&bench.take_all()), [(0, 0)], "nothing was numbered");
}

#[test]
fn what_expires_after_it_was_sent_is_unknown_and_so_is_all_that_was_sent_behind_it() {
    let mut bench = Bench::new(1);
    bench.push_batch();
    let first = bench.take_all();
    bench.sleep(Duration::from_secs(1));
    for _ in 0..WINDOW {
        bench.push_batch();
    }
    bench.take_all();
    bench.sleep(bench.bounds.delivery_timeout - Duration::from_secs(1));
    let results = bench.results();
    assert_eq!(results.len(), WINDOW);
    assert!(results.iter().all(|(_, result)| matches!(result, Err(SendError::OutcomeUnknown(_)))), "{results:?}");
    bench.answer(&first[0], appended(0));
    assert_eq!(bench.settled.len(), WINDOW, "a late answer changes nothing");
    assert_eq!(sequences(&bench.take_all()), [(1, 0)], "the one that was never sent goes on");
}

#[test]
fn a_definite_expiry_does_not_take_others_along() {
    let mut bench = Bench::new(1);
    bench.push_batch();
    bench.sleep(Duration::from_secs(1));
    bench.push_batch();
    let sent = bench.take_all();
    bench.answer(&sent[0], Verdict::Again { maybe_appended: false });
    bench.answer(&sent[1], Verdict::OutOfOrder("gap".into()));
    bench.sleep(bench.bounds.delivery_timeout - Duration::from_secs(1));
    assert_eq!(bench.results(), [(0, Err(SendError::Expired("nobody is there".into())))]);
    assert_eq!(sequences(&bench.take_all()), [(1, 0)]);
}

#[test]
fn an_epoch_that_ends_while_a_batch_is_encoded_gives_it_another_number() {
    let mut bench = Bench::new(1);
    bench.push_batch();
    bench.sleep(Duration::from_secs(1));
    bench.push_batch();
    assert_eq!(sequences(&[bench.take().unwrap()]), [(0, 0)]);
    // The first one grows too old, and with it the epoch of the second one's number ends.
    let timeout = bench.bounds.delivery_timeout;
    assert!(bench.take_with(|bench| bench.sleep(timeout - Duration::from_secs(1))).is_none());
    assert!(matches!(&bench.results()[..], [(0, Err(SendError::OutcomeUnknown(_)))]));
    assert_eq!(sequences(&bench.take_all()), [(1, 0)]);
}

#[test]
fn the_last_epoch_is_followed_by_another_producer_id() {
    let mut bench = Bench::new(1);
    let last = Identity { producer_id: 9, epoch: i16::MAX };
    bench.queue.set_identity(last);
    bench.push_batch();
    bench.push_batch();
    let sent = bench.take_all();
    bench.answer(&sent[0], Verdict::Refused(SendError::Refused("no".into())));
    assert!(bench.take().is_none() && bench.queue.needs_identity() && bench.queue.has_used_up(&last));
    bench.queue.set_identity(Identity { producer_id: 10, epoch: 0 });
    let header = BatchHeader::parse(&bench.take().unwrap().1.bytes).unwrap();
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (10, 0, 0));
}

/// The identity, and the first sequence, of a batch.
fn header_of((_, outgoing): &(u64, Outgoing)) -> (i64, i16, i32) {
    let header = BatchHeader::parse(&outgoing.bytes).unwrap();
    (header.producer_id, header.producer_epoch, header.base_sequence)
}

#[test]
fn a_forgotten_producer_takes_another_id_and_loses_nothing() {
    let mut bench = Bench::new(1);
    bench.push_batch();
    bench.push_batch();
    bench.push_batch();
    let (first, second) = (bench.take().unwrap(), bench.take().unwrap());
    bench.answer(&first, Verdict::ProducerForgotten("forgotten".into()));
    bench.answer(&second, Verdict::ProducerForgotten("forgotten".into()));
    assert!(bench.settled.is_empty() && bench.take().is_none() && bench.queue.needs_identity());
    assert!(bench.queue.has_used_up(&Identity { producer_id: 9, epoch: 0 }));
    bench.identify();
    let sent = bench.take_all();
    assert_eq!(sent.iter().map(header_of).collect::<Vec<_>>(), [(10, 0, 0), (10, 0, 1), (10, 0, 2)]);
}

#[test]
fn what_may_have_been_appended_under_a_forgotten_id_is_unknown() {
    let mut bench = Bench::new(1);
    for _ in 0..3 {
        bench.push_batch();
    }
    let first = bench.take().unwrap();
    bench.answer(&first, Verdict::Again { maybe_appended: true });
    bench.sleep(Duration::from_secs(1));
    let again = bench.take().unwrap();
    bench.answer(&again, Verdict::ProducerForgotten("forgotten".into()));
    assert!(matches!(&bench.results()[..], [(0, Err(SendError::OutcomeUnknown(_)))]), "{:?}", bench.results());
    bench.identify();
    let rest: Vec<_> = bench.take_all().iter().map(header_of).collect();
    assert_eq!(rest, [(10, 0, 0), (10, 0, 1)], "never sent before: they go on");
}

#[test]
fn a_batch_behind_one_that_is_not_answered_waits_for_it() {
    let mut bench = Bench::new(1);
    bench.push_batch();
    bench.push_batch();
    let (first, second) = (bench.take().unwrap(), bench.take().unwrap());
    bench.answer(&second, Verdict::ProducerForgotten("forgotten".into()));
    assert!(!bench.queue.needs_identity());
    bench.answer(&first, Verdict::ProducerForgotten("forgotten".into()));
    assert!(bench.queue.needs_identity() && bench.settled.is_empty());
}

/// A network that loses, delays and breaks; a service that refuses now and then. Whatever happens: what was acknowledged
/// is in the log once, at its offset; what definitely failed is not; and the log is in order.
#[test]
fn nothing_is_lost_doubled_or_reordered() {
    for seed in 0..2_000 {
        let mut bench = Bench::new(seed);
        let mut service = Service::default();
        let mut on_the_way: VecDeque<(u64, Outgoing)> = VecDeque::new();
        // Batches of broken connections that the service may still get, late.
        let mut stragglers: Vec<Outgoing> = Vec::new();
        for _ in 0..300 {
            bench.identify();
            match bench.random.below(101) {
                0..40 => bench.push(),
                40..55 => on_the_way.extend(bench.take()),
                // Things happen while a batch is encoded: records come, others grow too old.
                55..60 => on_the_way.extend(bench.take_with(|bench| {
                    bench.push();
                    bench.sleep(Duration::from_millis(bench.random.below(6_000)));
                    bench.push();
                })),
                60..80 => answer_one(&mut bench, &mut service, &mut on_the_way),
                80..90 => bench.sleep(Duration::from_millis(7)),
                90..94 => {
                    bench.queue.disconnect();
                    stragglers.extend(on_the_way.drain(..).map(|(_, outgoing)| outgoing));
                }
                94..97 => {
                    if let Some(outgoing) = stragglers.pop() {
                        service.append(&outgoing.bytes);
                    }
                }
                97..99 => bench.sleep(Duration::from_secs(1)),
                99 => service.forget(),
                _ => bench.sleep(Duration::from_secs(6)),
            }
        }
        // The network heals.
        bench.queue.hurry();
        for _ in 0..10_000 {
            bench.identify();
            on_the_way.extend(bench.take());
            if let Some(sent) = on_the_way.pop_front() {
                let verdict = service.append(&sent.1.bytes);
                bench.answer(&sent, verdict);
            } else if bench.queue.is_empty() {
                break;
            } else {
                bench.now = bench.queue.wakes_at(bench.now, &bench.bounds).unwrap();
                bench.sleep(Duration::ZERO);
            }
        }
        assert!(bench.queue.is_empty(), "seed {seed}: something is stuck");
        check(seed, &bench, &service);
    }
}

fn answer_one(bench: &mut Bench, service: &mut Service, on_the_way: &mut VecDeque<(u64, Outgoing)>) {
    let Some(sent) = on_the_way.pop_front() else { return };
    let verdict = match bench.random.below(20) {
        0 => Verdict::Again { maybe_appended: false },
        1 => Verdict::Again { maybe_appended: true },
        2 => {
            // Appended, and the answer is lost.
            service.append(&sent.1.bytes);
            Verdict::Again { maybe_appended: true }
        }
        3 => Verdict::Refused(SendError::Refused("not today".into())),
        _ => service.append(&sent.1.bytes),
    };
    bench.answer(&sent, verdict);
}

fn check(seed: u64, bench: &Bench, service: &Service) {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, value) in service.log.iter().enumerate() {
        assert!(places.insert(value, place).is_none(), "seed {seed}: {value} is there twice");
    }
    let order: Vec<u64> = service.log.iter().map(|value| value["record ".len()..].parse().unwrap()).collect();
    assert!(order.is_sorted(), "seed {seed}: {order:?}");
    assert_eq!(bench.settled.len() as u64, bench.batches, "seed {seed}: each batch is settled once");
    for (batch, result) in bench.results() {
        for (index, value) in bench.pushed[&batch].iter().enumerate() {
            let place = places.get(value.as_str());
            match &result {
                Ok(base) => assert_eq!(place, Some(&(*base as usize + index)), "seed {seed}: {value} was acknowledged"),
                Err(SendError::OutcomeUnknown(_)) => {}
                Err(error) => assert_eq!(place, None, "seed {seed}: {value} failed definitely: {error}"),
            }
        }
    }
}
