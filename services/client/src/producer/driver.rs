//! The tasks of a producer: one keeps the stream to the service, one keeps the time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eagre_proto::v1::{
    InitProducerRequest, ProduceStreamRequest, ProduceStreamResponse, produce_stream_response::Outcome,
};
use tokio::{
    sync::{Notify, Semaphore, mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tracing::{debug, warn};

use super::{
    ProducerSettings,
    delivery::ReportQueue,
    encoding::{Encoded, Unencoded},
    pool::{Pool, SettledBatch, Turn},
    sequencing::{Bounds, Identity},
};
use crate::{
    Client,
    backoff::Backoff,
    client::Endpoint,
    error::{CallFailure, Verdict},
};

/// Requests between us and the transport; each is up to a batch.
const OUTBOX_REQUESTS: usize = 2;
/// A stream on which nothing is answered for so long is given up: longer than a gateway takes to answer that it does not
/// know.
const STALL_TIMEOUT: Duration = Duration::from_secs(40);
/// In flight until the service has said how many it takes.
const IN_FLIGHT_FIRST: usize = 1;

/// What the handles and the tasks of a producer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub client: Client,
    pub room: Arc<Semaphore>,
    pool: Mutex<Pool>,
    reports: Option<Arc<ReportQueue>>,
    /// There may be something to send, or all is done.
    sendable: Notify,
    /// The next time to wake is earlier than it was.
    timer: Notify,
    /// [`Pool::first_unsettled`].
    first_unsettled: watch::Sender<u64>,
    /// The last handle was dropped.
    closing: CancellationToken,
}

impl Shared {
    pub fn new(client: Client, settings: &ProducerSettings, reports: Option<Arc<ReportQueue>>) -> Self {
        let bounds = Bounds {
            linger: settings.linger,
            batch_bytes: settings.batch_bytes(),
            compression: settings.compression,
            delivery_timeout: settings.delivery_timeout,
            in_flight_max: IN_FLIGHT_FIRST,
        };
        Self {
            client,
            room: Arc::new(Semaphore::new(settings.memory_bytes())),
            pool: Mutex::new(Pool::new(bounds)),
            reports,
            sendable: Notify::new(),
            timer: Notify::new(),
            first_unsettled: watch::Sender::new(0),
            closing: CancellationToken::new(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn close(&self) {
        self.closing.cancel();
    }

    pub async fn flush(&self) {
        let mut first_unsettled = self.first_unsettled.subscribe();
        let target = {
            let mut pool = self.lock();
            let target = pool.hurry(Instant::now());
            self.announce(pool);
            target
        };
        // The sender lives as long as we do.
        let _ = first_unsettled.wait_for(|first| *first >= target).await;
    }

    /// Wakes the tasks that the pool's state concerns.
    pub fn announce(&self, mut pool: MutexGuard<'_, Pool>) {
        let is_earlier = pool.is_timer_earlier();
        let has_ready = pool.has_ready();
        drop(pool);
        if has_ready {
            self.sendable.notify_one();
        }
        if is_earlier {
            self.timer.notify_one();
        }
    }

    /// Tells everyone of settled batches, once the pool is let go.
    fn settle(&self, pool: MutexGuard<'_, Pool>, settled: &mut Vec<SettledBatch>) {
        let first_unsettled = pool.first_unsettled();
        self.announce(pool);
        if settled.is_empty() {
            return;
        }
        for SettledBatch { topic, partition, batch } in settled.drain(..) {
            batch.receipts.settle(&topic, partition, batch.result, self.reports.as_deref());
        }
        self.first_unsettled.send_replace(first_unsettled);
    }

    /// The next request. `encode` runs without the lock: compressing must not hold up those who hand over records.
    fn take_request(&self, encode: impl Fn(Unencoded) -> Encoded) -> Option<ProduceStreamRequest> {
        let mut settled = Vec::new();
        loop {
            let turn = {
                let mut pool = self.lock();
                let turn = pool.take(Instant::now());
                self.announce(pool);
                turn?
            };
            let (slot, batch) = match turn {
                Turn::Request(request) => return Some(request),
                Turn::Unencoded { slot, batch } => (slot, batch),
            };
            let batch = encode(batch);
            let mut pool = self.lock();
            let request = pool.encoded(slot, batch, Instant::now(), &mut settled);
            self.settle(pool, &mut settled);
            if request.is_some() {
                return request;
            }
        }
    }

    fn take_answer(&self, answer: ProduceStreamResponse) {
        let mut settled = Vec::new();
        let mut pool = self.lock();
        if let Some(Outcome::Error(error)) = &answer.outcome {
            pool.obstacle.clone_from(&error.message);
        }
        let verdict = |topic: &str, partition| match answer.outcome {
            Some(Outcome::Response(response)) => Verdict::Appended { base_offset: response.base_offset },
            Some(Outcome::Error(error)) => Verdict::of_error(error, topic, partition),
            None => Verdict::Again { maybe_appended: true },
        };
        let random = self.client.env().random.as_ref();
        pool.answer(answer.request_id, verdict, Instant::now(), random, &mut settled);
        self.settle(pool, &mut settled);
    }

    fn is_done(&self) -> bool {
        self.closing.is_cancelled() && self.lock().is_empty()
    }
}

/// Starts both tasks. They end when the last handle is dropped and everything is settled.
pub(crate) fn start(shared: Arc<Shared>) {
    tokio::spawn(keep_time(shared.clone()));
    tokio::spawn(async move {
        deliver(&shared).await;
        if let Some(reports) = &shared.reports {
            reports.end();
        }
    });
}

async fn keep_time(shared: Arc<Shared>) {
    let mut settled = Vec::new();
    loop {
        let wakes_at = {
            let mut pool = shared.lock();
            pool.tick(Instant::now(), &mut settled);
            let wakes_at = pool.wakes_at();
            pool.set_timer(wakes_at);
            shared.settle(pool, &mut settled);
            wakes_at
        };
        if shared.is_done() {
            shared.sendable.notify_one();
            return;
        }
        let sleep = async {
            match wakes_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
        biased;
                   () = sleep => {}
                   () = shared.timer.notified() => {}
                   () = shared.closing.cancelled(), if !shared.closing.is_cancelled() => {}
               }
    }
}

async fn deliver(shared: &Shared) {
    let mut backoff = Backoff::default();
    let mut is_troubled = false;
    while wait_for_work(shared).await {
        let ended = match connect(shared).await {
            Ok(mut session) => {
                let ended = session.serve().await;
                if session.has_progress {
                    backoff.reset();
                    is_troubled = false;
                }
                ended
            }
            Err(failure) => Ended::Broken(failure.message),
        };
        leave_stream(shared, ended, &mut is_troubled);
        let pause = backoff.next(shared.client.env().random.as_ref());
        tokio::select! {
        biased;
                   () = tokio::time::sleep(pause) => {}
                   () = until_done(shared) => {}
               }
    }
    // The other task ends with us.
    shared.timer.notify_one();
}

/// What was sent on the stream is to be sent again, on another one.
fn leave_stream(shared: &Shared, ended: Ended, is_troubled: &mut bool) {
    let mut pool = shared.lock();
    pool.disconnect(Instant::now());
    match ended {
        Ended::Done => {}
        Ended::ByService => debug!("the service ended the stream"),
        Ended::NewProducer => debug!("another producer id is needed"),
        Ended::Broken(message) => {
            if !std::mem::replace(is_troubled, true) {
                warn!("{message}; delivering is tried again");
            }
            pool.obstacle = message;
        }
    }
    shared.announce(pool);
    shared.client.try_another_endpoint();
}

/// Whether there is something to deliver; waits for it, or for the end.
async fn wait_for_work(shared: &Shared) -> bool {
    loop {
        if !shared.lock().is_empty() {
            return true;
        }
        if shared.closing.is_cancelled() {
            return false;
        }
        tokio::select! {
        biased;
                   () = shared.sendable.notified() => {}
                   () = shared.closing.cancelled() => {}
               }
    }
}

/// Waits until the last handle is dropped and everything is settled.
async fn until_done(shared: &Shared) {
    shared.closing.cancelled().await;
    let mut first_unsettled = shared.first_unsettled.subscribe();
    let target = shared.lock().hurry(Instant::now());
    let _ = first_unsettled.wait_for(|first| *first >= target).await;
}

/// Opens the stream, after asking who we are where that is not known.
async fn connect(shared: &Shared) -> Result<Session<'_>, CallFailure> {
    if shared.lock().needs_identity() {
        let (mut service, endpoint) = shared.client.produce_service();
        let answer = endpoint.answer(service.init_producer(InitProducerRequest {})).await?;
        let epoch = i16::try_from(answer.producer_epoch)
            .map_err(|_| CallFailure::broken("the service gave no valid producer epoch"))?;
        let identity = Identity { producer_id: answer.producer_id, epoch };
        shared.lock().set_identity(identity, answer.max_in_flight_per_partition as usize);
    }
    let (outbox, requests) = mpsc::channel(OUTBOX_REQUESTS);
    let (mut service, endpoint) = shared.client.produce_service();
    let answers = endpoint.answer(service.produce_stream(ReceiverStream::new(requests))).await?;
    Ok(Session { shared, endpoint: endpoint.clone(), outbox, answers, has_progress: false })
}

/// Why a stream was left.
enum Ended {
    /// There is nothing more to deliver, ever.
    Done,
    /// The service ended it, as it does before it stops.
    ByService,
    /// There is nothing more to deliver by this producer id.
    NewProducer,
    /// It cannot be used any more; says why.
    Broken(String),
}

/// One stream to the service.
struct Session<'a> {
    shared: &'a Shared,
    endpoint: Endpoint,
    outbox: mpsc::Sender<ProduceStreamRequest>,
    answers: Streaming<ProduceStreamResponse>,
    /// Something was answered.
    has_progress: bool,
}

impl Session<'_> {
    async fn serve(&mut self) -> Ended {
        let Self { shared, endpoint, outbox, answers, has_progress } = self;
        let mut stalls_at = Instant::now() + STALL_TIMEOUT;
        loop {
            let (has_ready, has_unanswered, needs_identity) = {
                let pool = shared.lock();
                let needs_identity = pool.needs_identity();
                (pool.has_ready() && !needs_identity, pool.has_unanswered(), needs_identity)
            };
            // What is under way by the id of before is answered first: else it would be in doubt.
            if needs_identity && !has_unanswered {
                return Ended::NewProducer;
            }
            if shared.is_done() {
                return Ended::Done;
            }
            tokio::select! {
            biased;
                           answer = answers.message() => match answer {
                               Ok(Some(answer)) => {
                                   *has_progress |= matches!(answer.outcome, Some(Outcome::Response(_)));
                                   shared.take_answer(answer);
                                   stalls_at = Instant::now() + STALL_TIMEOUT;
                               }
                               Ok(None) => return Ended::ByService,
                               Err(status) => return Ended::Broken(endpoint.failure(&status).message),
                           },
                           place = outbox.reserve(), if has_ready => match place {
                               Ok(place) => {
                                   if !has_unanswered {
                                       stalls_at = Instant::now() + STALL_TIMEOUT;
                                   }
                                   if let Some(request) = shared.take_request(Unencoded::encode) {
                                       place.send(request);
                                   }
                               }
                               Err(_) => return Ended::Broken("the stream was closed".to_owned()),
                           },
                           () = shared.sendable.notified(), if !has_ready => {}
                           () = shared.closing.cancelled(), if !shared.closing.is_cancelled() => {}
                           () = sleep_until(stalls_at), if has_unanswered => {
                               return Ended::Broken(format!("nothing was answered for {STALL_TIMEOUT:?}"));
                           }
                       }
        }
    }
}

#[cfg(test)]
mod tests {
    use eagre_model::{batch::Compression, records::Record};

    use super::{super::delivery::Room, *};

    /// A producer whose tasks do not run, with two batches to send.
    fn shared() -> Shared {
        let client = Client::builder("http://127.0.0.1:1").build().unwrap();
        let settings = ProducerSettings {
            linger: Duration::ZERO,
            compression: Compression::Zstd,
            batch_bytes: 1,
            ..ProducerSettings::default()
        };
        let shared = Shared::new(client, &settings, None);
        shared.lock().set_identity(Identity { producer_id: 1, epoch: 0 }, 5);
        shared.lock().slots_of("id", &"orders".into(), 2, None);
        shared
    }

    fn push(shared: &Shared, slot: usize, value: &'static str) {
        let mut pool = shared.pool.try_lock().expect("nobody holds up whoever hands over records");
        let record = Record { value: Some(value.into()), ..Record::default() };
        let room = || Room::new(shared.room.clone(), 0);
        pool.push(slot, &record, Instant::now(), room, |_, _| ()).0.unwrap();
        shared.announce(pool);
    }

    #[tokio::test]
    async fn records_are_handed_over_while_a_batch_is_compressed() {
        let shared = shared();
        push(&shared, 0, "first");
        let encode = |batch: Unencoded| {
            push(&shared, 0, "to the same partition");
            push(&shared, 1, "to another one");
            assert_eq!(shared.lock().first_unsettled(), 0);
            batch.encode()
        };
        let first = shared.take_request(encode).unwrap();
        let rest: Vec<_> = std::iter::from_fn(|| shared.take_request(Unencoded::encode)).collect();
        let partition = |request: &ProduceStreamRequest| request.request.as_ref().unwrap().partition.unwrap();
        let mut partitions: Vec<_> = rest.iter().map(partition).collect();
        partitions.sort_unstable();
        assert_eq!((partition(&first), partitions), (0, vec![0, 1]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_grows_too_old_while_it_is_compressed_is_given_up_afterwards() {
        let shared = shared();
        push(&shared, 0, "old");
        let mut settled = Vec::new();
        let encode = |batch: Unencoded| {
            let much_later = Instant::now() + Duration::from_secs(3_600);
            let mut settled = Vec::new();
            let mut pool = shared.lock();
            pool.tick(much_later, &mut settled);
            assert_eq!((settled.len(), pool.wakes_at()), (0, None), "it is looked at again when its bytes are made");
            drop(pool);
            batch.encode()
        };
        assert!(shared.take_request(encode).is_some());
        let mut pool = shared.lock();
        let wakes_at = pool.wakes_at().expect("its time counts again");
        pool.tick(wakes_at, &mut settled);
        assert!(matches!(&settled[..], [batch] if batch.batch.result.is_err()), "{settled:?}");
    }
}
