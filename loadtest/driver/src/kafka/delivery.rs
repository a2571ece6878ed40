//! What became of records that were handed to librdkafka: its delivery reports, told to the judges.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rdkafka::{
    ClientContext, Message as _, Statistics,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::ProducerContext,
};

use crate::run::shared::{LogId, Shared};

/// Records of one lane that stand together and came in within this time are told together.
const TOGETHER_NS: u64 = 100_000;

/// One librdkafka producer's reports. They come one after the other, in the thread that polls.
pub struct Reports {
    shared: Arc<Shared>,
    /// Bytes of records without a report.
    outstanding_bytes: AtomicU64,
    gathered: Mutex<Gathered>,
}

/// A record until its report comes.
pub struct Sent {
    /// Of the run.
    pub producer: u32,
    /// Where it goes.
    pub log: LogId,
    /// In its lane.
    pub sequence: u64,
    /// When it ought to have been sent.
    pub intended_ns: u64,
    /// What it counts for in [`Reports::outstanding_bytes`].
    pub cost_bytes: u64,
}

#[derive(Default)]
struct Gathered {
    acked: Option<Acked>,
    last_error: Option<RDKafkaErrorCode>,
    /// Sums of librdkafka's own: requests sent again, connections lost.
    seen: (u64, u64),
}

/// Consecutive records of one lane, at consecutive offsets.
struct Acked {
    producer: u32,
    log: LogId,
    first: u64,
    base_offset: i64,
    at_ns: u64,
    intended_ns: Vec<u64>,
    value_bytes: u64,
}

impl Reports {
    /// Nothing was sent yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, outstanding_bytes: AtomicU64::new(0), gathered: Mutex::default() }
    }

    /// Of records without a report, with what librdkafka needs for each.
    pub fn outstanding_bytes(&self) -> u64 {
        self.outstanding_bytes.load(Ordering::Acquire)
    }

    /// A record is handed over.
    pub fn begin(&self, cost_bytes: u64) {
        self.outstanding_bytes.fetch_add(cost_bytes, Ordering::AcqRel);
    }

    /// It was not taken, or its report came.
    pub fn end(&self, cost_bytes: u64) {
        self.outstanding_bytes.fetch_sub(cost_bytes, Ordering::AcqRel);
    }

    /// Tells what is gathered still: the rest is told when something else comes. To be called after each poll.
    pub fn flush(&self) {
        if let Some(acked) = self.lock().acked.take() {
            self.tell(&acked);
        }
    }

    /// A record was definitely not appended.
    pub fn failed(&self, sent: &Sent, now_ns: u64) {
        self.shared.judges.of(sent.log).failed(sent.producer, sent.sequence, 1);
        self.shared.recorder.count(sent.producer, now_ns, |counts| counts.failed_records += 1);
    }

    fn unknown(&self, sent: &Sent, now_ns: u64) {
        self.shared.judges.of(sent.log).unknown(sent.producer, sent.sequence, 1);
        self.shared.recorder.count(sent.producer, now_ns, |counts| counts.unknown_records += 1);
    }

    fn acked(&self, sent: &Sent, offset: i64, value_bytes: u64, now_ns: u64) {
        let mut gathered = self.lock();
        if let Some(acked) = &mut gathered.acked
            && acked.is_followed_by(sent, offset, now_ns)
        {
            acked.intended_ns.push(sent.intended_ns);
            acked.value_bytes += value_bytes;
            return;
        }
        let Sent { producer, log, sequence: first, intended_ns, .. } = *sent;
        let intended_ns = vec![intended_ns];
        let next = Acked { producer, log, first, base_offset: offset, at_ns: now_ns, intended_ns, value_bytes };
        if let Some(before) = gathered.acked.replace(next) {
            drop(gathered);
            self.tell(&before);
        }
    }

    fn tell(&self, acked: &Acked) {
        let Acked { producer, log, first, base_offset, at_ns, .. } = *acked;
        let count = acked.intended_ns.len() as u64;
        let after_start_ns = at_ns.saturating_sub(self.shared.start_ns);
        self.shared.judges.of(log).acked(producer, first, count, base_offset, after_start_ns);
        let mut recorder = self.shared.recorder.writer(producer);
        recorder.acked(&acked.intended_ns, at_ns);
        let counts = &mut recorder.second(at_ns).counts;
        counts.acked_records += count;
        counts.acked_bytes += acked.value_bytes;
    }

    /// Says of each kind of error once, as long as no other comes between.
    fn note(&self, code: RDKafkaErrorCode) {
        if self.lock().last_error.replace(code) != Some(code) {
            let kind = if is_definite(code) { "refused" } else { "unknown" };
            self.shared.event(kind, format!("records were given up: {code}"));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Acked {
    fn is_followed_by(&self, sent: &Sent, offset: i64, now_ns: u64) -> bool {
        let count = self.intended_ns.len() as u64;
        (self.producer, self.log, self.first + count) == (sent.producer, sent.log, sent.sequence)
            && offset.checked_sub_unsigned(count) == Some(self.base_offset)
            && now_ns < self.at_ns + TOGETHER_NS
    }
}

impl ClientContext for Reports {
    fn stats(&self, statistics: Statistics) {
        // Those without a number are what librdkafka first asks who the brokers are.
        let brokers = || statistics.brokers.values().filter(|broker| broker.nodeid >= 0);
        let retried = brokers().map(|broker| broker.txretries).sum();
        let lost = brokers().filter_map(|broker| u64::try_from(broker.disconnects?).ok()).sum();
        // Of the time since the last statistics.
        let throttled: u64 = brokers().filter_map(|broker| u64::try_from(broker.throttle.as_ref()?.cnt).ok()).sum();
        let before = mem::replace(&mut self.lock().seen, (retried, lost));
        self.shared.recorder.count(0, self.shared.now_ns(), |counts| {
            counts.retried += retried.saturating_sub(before.0);
            counts.reconnects += lost.saturating_sub(before.1);
            counts.throttled += throttled;
        });
    }

    fn error(&self, _error: KafkaError, reason: &str) {
        self.shared.lost_connection(&format!("a producer: {reason}"));
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, report: &DeliveryResult<'_>, sent: Box<Sent>) {
        let now_ns = self.shared.now_ns();
        match report {
            Ok(message) if message.offset() >= 0 => {
                self.acked(&sent, message.offset(), message.payload_len() as u64, now_ns);
            }
            // It is there, but a broker that got it twice has forgotten where: there is nothing to compare with.
            Ok(_) => self.unknown(&sent, now_ns),
            Err((error, _)) => {
                let code = error.rdkafka_error_code();
                code.into_iter().for_each(|code| self.note(code));
                if code.is_some_and(is_definite) { self.failed(&sent, now_ns) } else { self.unknown(&sent, now_ns) }
            }
        }
        self.end(sent.cost_bytes);
    }
}

/// Whether a record is certainly not in the log. All other errors, such as a time that is over, may have come after an attempt
/// whose answer got lost.
pub fn is_definite(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::QueueFull
            | Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidRecord
            | Code::InvalidTopic
            | Code::InvalidTimestamp
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::PolicyViolation
            | Code::UnknownPartition
            | Code::UnknownTopic
    )
}
