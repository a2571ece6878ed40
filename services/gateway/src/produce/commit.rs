//! The ordered commit stream: submits what is uploaded or small, in the order of the cuts, and gives out the answers.

mod queue;

use std::{sync::Arc, time::Duration};

use eagre_env::{Env, HashMap, PlantedBug};
use eagre_model::{ObjectId, TopicNumber, UploadEpoch};
use eagre_sequencer_api::{CommitReply, CommitStream, Sequencer};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::{self, JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tracing::Instrument as _;

use super::{
    linger::Linger,
    open::OpenObject,
    upload::{Cargo, UploadFailure, Uploaded, Uploader},
};
use crate::{jittered, metrics};
use queue::{CommitQueue, Effect};

const REOPEN_PAUSE_MIN: Duration = Duration::from_millis(20);
const REOPEN_PAUSE_MAX: Duration = Duration::from_millis(1_000);

/// When a commit is not answered for so long, what comes next is uploaded: if the bucket is what is wrong, an upload says so,
/// and the sequencer does not have to hold it.
const INLINE_PATIENCE: Duration = Duration::from_secs(1);

/// An object that was cut, with the right to upload it.
pub(super) struct CutObject {
    pub object: OpenObject,
    pub permit: OwnedSemaphorePermit,
}

/// Uploads in parallel, commits in order.
pub(super) struct Committer {
    env: Env,
    sequencer: Arc<dyn Sequencer>,
    uploader: Uploader,
    incarnation: u64,
    epoch: UploadEpoch,
    next_number: u64,
    queue: CommitQueue,
    linger: Arc<Linger>,
    uploads: JoinSet<Result<Uploaded, UploadFailure>>,
    /// Places of the objects that are being uploaded.
    orders: HashMap<task::Id, u64>,
    forget: Box<dyn Fn(TopicNumber) + Send>,
    /// How long the next stream is waited for when the present one is lost; grows while streams give no answer.
    reopen_pause: Duration,
}

/// Where the stream stands.
enum Link {
    Open(CommitStream),
    /// To be opened at that time.
    Down {
        until: Instant,
        pause: Duration,
    },
}

impl Committer {
    pub fn new(
        env: Env,
        sequencer: Arc<dyn Sequencer>,
        uploader: Uploader,
        (incarnation, epoch): (u64, UploadEpoch),
        linger: Arc<Linger>,
        forget: Box<dyn Fn(TopicNumber) + Send>,
    ) -> Self {
        let queue = CommitQueue::new(uploader.settings.answer_after_max, env.has_planted(PlantedBug::ResendOutOfOrder));
        Self {
            env,
            sequencer,
            uploader,
            incarnation,
            epoch,
            next_number: 0,
            queue,
            linger,
            uploads: JoinSet::new(),
            orders: HashMap::default(),
            forget,
            reopen_pause: REOPEN_PAUSE_MIN,
        }
    }

    /// Runs until `cuts` is closed and everything is answered.
    pub async fn run(mut self, mut cuts: mpsc::Receiver<CutObject>) {
        let mut link = Link::Down { until: Instant::now(), pause: REOPEN_PAUSE_MIN };
        let mut cuts_open = true;
        while cuts_open || !self.queue.is_empty() {
            self.expire();
            metrics::unanswered_objects(self.queue.len());
            link = match link {
                Link::Open(stream) => self.step(stream, &mut cuts, &mut cuts_open).await,
                Link::Down { until, pause } => self.step_down(until, pause, &mut cuts, &mut cuts_open).await,
            };
        }
    }

    /// One event while the stream is open.
    async fn step(
        &mut self,
        mut stream: CommitStream,
        cuts: &mut mpsc::Receiver<CutObject>,
        cuts_open: &mut bool,
    ) -> Link {
        let submits = self.queue.next_to_submit().is_some();
        let expiry = self.queue.next_expiry();
        tokio::select! {
            biased;
            reply = stream.replies.recv() => match reply {
                Some(reply) => {
                    if !self.reply(reply).await {
                        return self.lost("an answer to a commit that was not asked for");
                    }
                }
                None => return self.lost("closed by the sequencer"),
            },
            place = stream.requests.reserve(), if submits => match place {
                Ok(place) => {
                    self.env.fail_point("commit.before").await;
                    if let Some(request) = self.queue.submit() {
                        place.send(request);
                    }
                }
                Err(_) => return self.lost("closed by the sequencer"),
            },
            Some(uploaded) = self.uploads.join_next_with_id() => self.uploaded(uploaded),
            cut = cuts.recv(), if *cuts_open => self.cut(cut, cuts_open),
            () = sleep_until_some(expiry) => {}
        }
        Link::Open(stream)
    }

    /// One event while there is no stream.
    async fn step_down(
        &mut self,
        until: Instant,
        pause: Duration,
        cuts: &mut mpsc::Receiver<CutObject>,
        cuts_open: &mut bool,
    ) -> Link {
        let sequencer = self.sequencer.clone();
        let incarnation = self.incarnation;
        let opened = async {
            sleep_until(until).await;
            sequencer.open_commits(incarnation).await
        };
        let mut opened = std::pin::pin!(opened);
        loop {
            self.expire();
            let expiry = self.queue.next_expiry();
            tokio::select! {
                biased;
                opened = &mut opened => return match opened {
                    Ok(stream) => {
                        tracing::debug!(incarnation, unanswered = self.queue.len(), "commit stream open");
                        Link::Open(stream)
                    }
                    Err(error) => {
                        crate::note_retry(pause, &error, "cannot open the commit stream, trying again");
                        self.queue.note_trouble(error.to_string());
                        let until = Instant::now() + jittered(&self.env, pause);
                        Link::Down { until, pause: (pause * 2).min(REOPEN_PAUSE_MAX) }
                    }
                },
                Some(uploaded) = self.uploads.join_next_with_id() => self.uploaded(uploaded),
                cut = cuts.recv(), if *cuts_open => self.cut(cut, cuts_open),
                () = sleep_until_some(expiry) => {}
            }
            if !*cuts_open && self.queue.is_empty() {
                return Link::Down { until, pause };
            }
        }
    }

    fn lost(&mut self, why: &str) -> Link {
        tracing::warn!(incarnation = self.incarnation, unanswered = self.queue.len(), why, "commit stream lost");
        self.queue.stream_lost();
        let until = Instant::now() + jittered(&self.env, self.reopen_pause);
        self.reopen_pause = (self.reopen_pause * 2).min(REOPEN_PAUSE_MAX);
        Link::Down { until, pause: self.reopen_pause }
    }

    fn cut(&mut self, cut: Option<CutObject>, cuts_open: &mut bool) {
        let Some(CutObject { object, permit }) = cut else {
            *cuts_open = false;
            return;
        };
        let now = Instant::now();
        if self.queue.oldest_age(now) >= INLINE_PATIENCE {
            // Until the next answer says otherwise.
            self.uploader.note_takes_inline(false);
        }
        let (order, parts) = self.queue.push(object, now);
        self.upload(order, Cargo::Batches(parts), Some(permit));
    }

    fn upload(&mut self, order: u64, cargo: Cargo, permit: Option<OwnedSemaphorePermit>) {
        let id = ObjectId { epoch: self.epoch, incarnation: self.incarnation, number: self.next_number };
        self.next_number += 1;
        let span = self.queue.uploading(order, id);
        let cargo = match self.uploader.put_inside(id, cargo) {
            Ok(uploaded) => return self.queue.uploaded(order, Ok(uploaded)),
            Err(cargo) => cargo,
        };
        let uploader = self.uploader.clone();
        let upload = async move {
            let _permit = permit;
            uploader.upload(id, cargo).await
        };
        let upload = self.uploads.spawn(upload.instrument(span));
        self.orders.insert(upload.id(), order);
    }

    fn uploaded(&mut self, ended: Result<(task::Id, Result<Uploaded, UploadFailure>), JoinError>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            // Only a bug ends an upload so; the object has not been submitted, so the failure is a definite one.
            Err(error) => (error.id(), Err(UploadFailure(format!("the upload ended abnormally: {error}")))),
        };
        if let Err(failure) = &result {
            tracing::error!(error = %failure, "an object could not be uploaded, its requests are refused");
        }
        if let Some(order) = self.orders.remove(&id) {
            self.queue.uploaded(order, result);
        }
    }

    /// Whether the answer was one that is waited for.
    async fn reply(&mut self, reply: CommitReply) -> bool {
        self.env.fail_point("commit.after").await;
        self.uploader.note_takes_inline(reply.takes_inline);
        if !reply.takes_inline {
            self.env.fail_point("inline.full").await;
        }
        let Some(effects) = self.queue.reply(reply) else { return false };
        self.reopen_pause = REOPEN_PAUSE_MIN;
        for effect in effects {
            match effect {
                Effect::Answer(answers) => {
                    self.env.fail_point("ack.before").await;
                    if let Some(cut_at) = answers.uploaded_cut_at() {
                        self.linger.answered(cut_at, Instant::now());
                    }
                    answers.deliver();
                    self.env.fail_point("ack.after").await;
                }
                Effect::Forget(topic) => (self.forget)(topic),
                Effect::UploadAgain { order, uploaded, upload_epoch } => {
                    self.epoch = self.epoch.max(upload_epoch);
                    self.upload(order, Cargo::Again(Box::new(uploaded)), None);
                }
            }
        }
        true
    }

    fn expire(&mut self) {
        self.queue.expire(Instant::now());
    }
}

/// For ever when there is no time to wait for.
async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
