//! Which batches of a partition are altered for its readers, found out by reading the partition from its start: so every
//! reader sees the same, wherever it begins.
//!
//! A partition is surveyed only as far as its readers have got, and no further than its last altered batch. A reader waits
//! until the survey has passed what it is about to show.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eagre_loadtest_stubs::v1::{
    Earliest, FetchEncoding, FetchEnd, FetchPartition, FetchRequest, FetchResponse, ListOffsetsRequest, Position,
    fetch_service_client::FetchServiceClient, position,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, Streaming, transport::Channel};

use crate::{
    batch::{self, NotABatch},
    ledger::Place,
    picker::{Alteration, Picker},
    renumber::{Renumbering, Span},
    service::MESSAGE_BYTES_MAX,
};

/// How long a batch is held back, at the end of a log, for another one to change places with.
const SWAP_WAIT: Duration = Duration::from_millis(500);

/// The surveys of a proxy; clones are the same ones.
#[derive(Clone)]
pub(crate) struct Surveys {
    /// What befalls the batches.
    pub alteration: Alteration,
    upstream: Channel,
    tasks: TaskTracker,
    stopped: CancellationToken,
    partitions: Arc<Mutex<BTreeMap<Place, Survey>>>,
}

/// The survey of one partition; clones are the same one.
#[derive(Clone)]
pub(crate) struct Survey {
    place: Place,
    progress: Arc<watch::Sender<Progress>>,
}

#[derive(Debug, Default)]
struct Progress {
    renumbering: Arc<Renumbering>,
    /// Everything below this stored offset is decided.
    decided_to: i64,
    /// Kept while nobody surveys.
    picker: Option<Picker>,
    is_running: bool,
    /// There will be no more spans.
    is_over: bool,
    /// Why the last one who surveyed stopped.
    failure: Option<Status>,
}

/// Why a survey stops.
enum Stop {
    /// No more batches will be altered.
    Over,
    /// It can be taken up again.
    Failed(Status),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

impl From<NotABatch> for Stop {
    fn from(error: NotABatch) -> Self {
        Self::Failed(Status::data_loss(error.to_string()))
    }
}

impl Surveys {
    /// Of a service behind `upstream`.
    pub fn new(alteration: Alteration, upstream: Channel, tasks: TaskTracker, stopped: CancellationToken) -> Self {
        Self { alteration, upstream, tasks, stopped, partitions: Arc::default() }
    }

    fn partitions(&self) -> MutexGuard<'_, BTreeMap<Place, Survey>> {
        // An entry is whole or not there, whatever the one who held the lock came to.
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The survey of a partition.
    pub fn of(&self, topic: &str, partition: u32) -> Survey {
        let place = (topic.to_owned(), partition);
        let begin = || Survey { place: place.clone(), progress: Arc::default() };
        self.partitions().entry(place.clone()).or_insert_with(begin).clone()
    }

    /// A topic is gone: what comes under its name is another one.
    pub fn forget(&self, topic: &str) {
        self.partitions().retain(|(name, _), _| name != topic);
    }

    /// The spans below a stored offset that is not above the high watermark, and perhaps some above it. Fails when the
    /// partition cannot be read.
    pub async fn until(&self, survey: &Survey, stored: i64) -> Result<Arc<Renumbering>, Status> {
        let mut progress = survey.progress.subscribe();
        let starts = survey.progress.send_if_modified(|progress| {
            let starts = !progress.is_running && !progress.reaches(stored);
            if starts {
                (progress.is_running, progress.failure) = (true, None);
            }
            starts
        });
        if starts {
            let run = survey.clone().run(FetchServiceClient::new(self.upstream.clone()), self.alteration);
            let stopped = self.stopped.clone();
            self.tasks.spawn(async move { stopped.run_until_cancelled(run).await });
        }
        let ready = |progress: &Progress| progress.reaches(stored) || progress.failure.is_some();
        let stopped = || Status::unavailable("the proxy stops");
        tokio::select! {
            found = progress.wait_for(ready) => {
                let found = found.map_err(|_| stopped())?;
                match &found.failure {
                    Some(failure) if !found.reaches(stored) => Err(failure.clone()),
                    _ => Ok(found.renumbering.clone()),
                }
            }
            () = self.stopped.cancelled() => Err(stopped()),
        }
    }
}

impl Progress {
    fn reaches(&self, stored: i64) -> bool {
        self.is_over || self.decided_to >= stored
    }
}

impl Survey {
    /// What has been found so far.
    pub fn so_far(&self) -> Arc<Renumbering> {
        self.progress.borrow().renumbering.clone()
    }

    async fn run(self, client: FetchServiceClient<Channel>, alteration: Alteration) {
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        let stop = self.survey(&mut client, alteration).await;
        self.progress.send_modify(|progress| {
            progress.is_running = false;
            match stop {
                Stop::Over => progress.is_over = true,
                Stop::Failed(status) => progress.failure = Some(status),
            }
        });
    }

    /// Reads on from where everything is decided, until it stops.
    async fn survey(&self, client: &mut FetchServiceClient<Channel>, alteration: Alteration) -> Stop {
        let mut kept = None;
        self.progress.send_if_modified(|progress| {
            kept = progress.picker.take();
            false
        });
        let mut picker = match kept {
            Some(picker) => picker,
            None => match self.log_start(client).await {
                Ok(log_start_offset) => Picker::new(alteration, log_start_offset),
                Err(status) => return Stop::Failed(status),
            },
        };
        self.publish(&picker, None);
        let Err(stop) = self.go_through(client, &mut picker).await;
        picker.go_back();
        self.progress.send_if_modified(|progress| {
            progress.picker = Some(picker);
            false
        });
        stop
    }

    async fn log_start(&self, client: &mut FetchServiceClient<Channel>) -> Result<i64, Status> {
        let request = ListOffsetsRequest { partitions: vec![self.at(position::Position::Earliest(Earliest {}))] };
        let answer = client.list_offsets(request).await?.into_inner();
        answer.offsets.first().map(|found| found.offset).ok_or_else(|| Status::internal("an answer without an offset"))
    }

    fn at(&self, position: position::Position) -> FetchPartition {
        let (topic, partition) = self.place.clone();
        FetchPartition { topic, partition, position: Some(Position { position: Some(position) }) }
    }

    async fn go_through(
        &self,
        client: &mut FetchServiceClient<Channel>,
        picker: &mut Picker,
    ) -> Result<std::convert::Infallible, Stop> {
        let request = FetchRequest {
            partitions: vec![self.at(position::Position::Offset(picker.decided_to()))],
            end: FetchEnd::Follow.into(),
            encoding: FetchEncoding::Batches.into(),
        };
        let mut messages = client.fetch(request).await?.into_inner();
        let mut wait_until = None;
        while !picker.is_over() {
            let Some(message) = next(&mut messages, wait_until).await? else {
                picker.give_up();
                wait_until = None;
                self.publish(picker, None);
                continue;
            };
            if let Some(error) = message.error {
                let status = Status::unavailable(error.message);
                return Err(if error.retriable { Stop::Failed(status) } else { Stop::Over });
            }
            for (header, _) in batch::split(message.batches)? {
                // The first batch may begin below what was asked for.
                if header.base_offset < picker.decided_to() {
                    continue;
                }
                let span = picker.see(header);
                self.publish(picker, span);
            }
            wait_until = picker.is_waiting().then(|| wait_until.unwrap_or_else(|| Instant::now() + SWAP_WAIT));
        }
        Err(Stop::Over)
    }

    fn publish(&self, picker: &Picker, span: Option<Span>) {
        self.progress.send_modify(|progress| {
            if let Some(span) = span {
                Arc::make_mut(&mut progress.renumbering).push(span);
            }
            progress.decided_to = picker.decided_to();
        });
    }
}

/// The next message; `None` when none has come in time.
async fn next(
    messages: &mut Streaming<FetchResponse>,
    until: Option<Instant>,
) -> Result<Option<FetchResponse>, Status> {
    let message = match until {
        None => messages.message().await?,
        Some(until) => match tokio::time::timeout_at(until, messages.message()).await {
            Ok(message) => message?,
            Err(_) => return Ok(None),
        },
    };
    message.map(Some).ok_or_else(|| Status::unavailable("the stream has ended"))
}
