//! Holds the steps of a produce together: what is pushed comes out as answers.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use eagre_sequencer_api::{Joined, Sequencer, SequencerError};
use tokio::{
    select,
    sync::{Semaphore, mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    commit::{Committer, CutObject},
    cutter::{CutReason, Cutter},
    linger::Linger,
    open::{Next, OpenObject, OpenObjects, PendingBatch},
    upload::Uploader,
};
use crate::{directory::TopicDirectory, jittered, metrics, refusal::Refusal};

const JOIN_PAUSE_MIN: Duration = Duration::from_millis(20);
const JOIN_PAUSE_MAX: Duration = Duration::from_millis(1_000);
/// Between two attempts those that have waited too long are told, so one takes a part of their time only.
const JOIN_ATTEMPT_MAX: Duration = Duration::from_secs(5);

/// The way of batches into the log. Runs until it is drained or dropped.
pub(crate) struct Pipeline {
    open: Arc<OpenObjects>,
    joined: watch::Receiver<Option<Joined>>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Pipeline {
    /// `gone` is cancelled when the pipeline has ended, whatever ended it.
    pub fn start(
        uploader: Uploader,
        sequencer: Arc<dyn Sequencer>,
        directory: Arc<TopicDirectory>,
        gone: CancellationToken,
    ) -> Self {
        let settings = uploader.settings.clone();
        let cutter = Cutter::of(&settings);
        let linger = Arc::new({
            let bucket = uploader.bucket.clone();
            Linger::new(&settings, move || bucket.puts_made())
        });
        let open = Arc::new(OpenObjects::new(cutter, linger.clone(), uploader.takes_inline.clone()));
        let (joined, watch_joined) = watch::channel(None);
        let end = End { open: open.clone(), gone };
        let run = run(open.clone(), linger, uploader, sequencer, directory, joined);
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let _end = end;
            run.await;
        }));
        Self { open, joined: watch_joined, task: Mutex::new(Some(task)) }
    }

    /// Takes the batches of one request; their tickets are answered in time. The order of calls is the order in each
    /// partition.
    pub fn submit(&self, batches: Vec<PendingBatch>) {
        self.open.push(batches);
    }

    /// What the sequencer said when this gateway joined.
    pub fn joined(&self) -> watch::Receiver<Option<Joined>> {
        self.joined.clone()
    }

    /// Takes no more and returns when everything is answered; returns whether it was within the given time. The rest is
    /// told then what is known of it.
    pub async fn drain(&self, within: Duration) -> bool {
        self.open.drain();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else { return true };
        let ended = timeout(within, &mut task).await;
        let answered = matches!(ended, Ok(Ok(())));
        if !answered {
            tracing::warn!(?within, ?ended, "requests are left unanswered at the end");
        }
        if ended.is_err() {
            // When it is gone, so is everything that it held, and whoever waited is told.
            task.abort();
            let _ = task.await;
        }
        answered
    }
}

/// Dropped with the task. After a drain in time nothing is left. Otherwise what was submitted and is not cut, and what comes
/// later, is refused, because nobody else would ever answer it.
struct End {
    open: Arc<OpenObjects>,
    gone: CancellationToken,
}

impl Drop for End {
    fn drop(&mut self) {
        self.open.drain();
        for object in self.open.take_all() {
            refuse(object, "this gateway is going away or has failed");
        }
        self.gone.cancel();
    }
}

/// Joins, then cuts what is due whenever an upload may begin.
async fn run(
    open: Arc<OpenObjects>,
    linger: Arc<Linger>,
    uploader: Uploader,
    sequencer: Arc<dyn Sequencer>,
    directory: Arc<TopicDirectory>,
    joined: watch::Sender<Option<Joined>>,
) {
    let Some(us) = join(&open, &uploader, &*sequencer).await else { return };
    tracing::info!(incarnation = us.incarnation, upload_epoch = us.upload_epoch.0, "gateway joined");
    let (env, settings) = (uploader.env.clone(), uploader.settings.clone());
    let forget = Box::new(move |topic| directory.forget(topic));
    let place = (us.incarnation, us.upload_epoch);
    let committer = Committer::new(env, sequencer, uploader, place, linger, forget);
    let _ = joined.send(Some(us));
    let (cuts, cut_objects) = mpsc::channel(1);
    let committed = committer.run(cut_objects);
    let cutting = cut(&open, settings.uploads_max, cuts);
    let ((), ()) = tokio::join!(cutting, committed);
}

/// Asks to join until it is granted; meanwhile requests that have waited too long are refused. `None`: drained before.
async fn join(open: &OpenObjects, uploader: &Uploader, sequencer: &dyn Sequencer) -> Option<Joined> {
    let mut wait = JOIN_PAUSE_MIN;
    loop {
        // An answer that comes too late is an incarnation that nobody has, which costs nothing.
        let error = match timeout(JOIN_ATTEMPT_MAX, sequencer.join()).await {
            Ok(Ok(joined)) => return Some(joined),
            Ok(Err(error)) => error,
            Err(_) => SequencerError::Unavailable("the sequencer does not answer".into()),
        };
        crate::note_retry(wait, &error, "cannot join, trying again");
        let limit = Instant::now().checked_sub(uploader.settings.answer_after_max);
        for object in limit.map(|limit| open.take_older(limit)).unwrap_or_default() {
            refuse(object, &error.to_string());
        }
        if open.is_drained() {
            return None;
        }
        sleep(jittered(&uploader.env, wait)).await;
        wait = (wait * 2).min(JOIN_PAUSE_MAX);
    }
}

fn refuse(object: OpenObject, why: &str) {
    for pending in object.runs.into_values().flatten() {
        pending.ticket.answer(Err(Refusal::Unavailable(why.to_owned())));
    }
}

/// Ends when everything is cut after [`OpenObjects::drain`].
async fn cut(open: &OpenObjects, uploads_max: usize, cuts: mpsc::Sender<CutObject>) {
    let uploads = Arc::new(Semaphore::new(uploads_max));
    loop {
        let permit = uploads.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (object, reason) = loop {
            let is_busy = uploads.available_permits() < uploads_max / 2;
            match open.take(Instant::now(), is_busy) {
                Next::Object(object, reason) => break (object, reason),
                Next::Wait(wait) => select! {
                    biased;
                    () = open.changed() => {}
                    () = sleep(wait) => {}
                },
                Next::Empty if open.is_drained() => return,
                Next::Empty => open.changed().await,
            }
        };
        note(&object, reason);
        if cuts.send(CutObject { object, permit }).await.is_err() {
            return;
        }
    }
}

fn note(object: &OpenObject, reason: CutReason) {
    let waited = object.opened.map(|opened| opened.elapsed());
    metrics::cut(reason.name(), object.bytes, waited.unwrap_or_default());
    let joined = object.runs.values().flatten().map(|pending| pending.ticket.span());
    eagre_trace::cut(&object.span, object.bytes, reason.name(), joined);
}
